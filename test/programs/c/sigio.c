// sigio: signals when files get ready, and processes as descriptors.
#include "tell.h"
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <poll.h>

static volatile int count, code, fd, band, number;
static void note(int sig, siginfo_t *info, void *uc) {
	count++, number = sig, code = info->si_code, fd = info->si_fd, band = info->si_band;
}

static void show(const char *what) {
	printf("%s: %d", what, count);
	if (count && number != SIGIO) printf(" signal %d code %d fd %d band %x", number, code, fd, band);
	else if (count) printf(" SIGIO code %x", code);
	puts("");
	count = 0;
}

#define NR(n, a, b, c, d) syscall(n, (long)(a), (long)(b), (long)(c), (long)(d))

int main(void) {
	struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGIO, &sa, 0), sigaction(SIGRTMIN + 1, &sa, 0), sigaction(SIGCHLD, &sa, 0);
	int p[2], s[2];
	char c;
	if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM, 0, s)) return 99;
	puts("-- pipes");
	TELL(write(p[1], "x", 1)), show("without");
	TELL(fcntl(p[0], F_SETFL, O_ASYNC)), show("nobody's");
	TELL(fcntl(p[0], F_GETFL));
	TELL(write(p[1], "x", 1)), show("nobody's");
	TELL(fcntl(p[0], F_SETOWN, getpid()));
	TELL(write(p[1], "x", 1)), show("mine");
	TELL(fcntl(p[0], F_SETSIG, SIGRTMIN + 1));
	TELL(write(p[1], "x", 1)), show("real-time");
	TELL(fcntl(p[0], F_SETSIG, SIGCHLD));
	TELL(write(p[1], "x", 1)), show("with codes of its own");
	TELL(fcntl(p[0], F_SETSIG, 0));
	TELL(write(p[1], "x", 1)), show("SIGIO again");
	int on = 0;
	TELL(ioctl(p[0], FIOASYNC, &on));
	TELL(write(p[1], "x", 1)), show("off");
	on = 1;
	TELL(ioctl(p[1], FIOASYNC, &on));
	fcntl(p[1], F_SETOWN, getpid()), fcntl(p[1], F_SETSIG, SIGRTMIN + 1);
	TELL(read(p[0], &c, 1)), show("writable");
	TELL(fcntl(p[0], F_SETFL, O_ASYNC));
	fcntl(p[1], F_SETFL, 0);
	close(p[1]), show("closed");
	puts("-- sockets");
	TELL(fcntl(s[0], F_SETFL, O_ASYNC));
	fcntl(s[0], F_SETOWN, getpid());
	TELL(write(s[1], "x", 1)), show("SIGIO");
	fcntl(s[0], F_SETSIG, SIGRTMIN + 1);
	sigset_t set;
	sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, 0);
	int sf = signalfd(-1, &set, 0);
	TELL(write(s[1], "x", 1));
	struct signalfd_siginfo si;
	TELL(read(sf, &si, sizeof si));
	printf("%d code %d fd %d band %x\n", si.ssi_signo, si.ssi_code, si.ssi_fd == s[0], si.ssi_band & POLLIN);
	puts("-- terminals");
	sigprocmask(SIG_UNBLOCK, &set, 0);
	int m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	on = 0;
	ioctl(m, TIOCSPTLCK, &on);
	int y = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	TELL(fcntl(y, F_SETFL, O_ASYNC));
	printf("owner %d\n", fcntl(y, F_GETOWN) == getpid());
	TELL(write(m, "line", 4)), show("a part");
	TELL(write(m, "\n", 1));
	struct pollfd line = {y, POLLIN, 0};
	while (poll(&line, 1, -1) < 1); // Linux's line discipline sees it in its own time
	show("a line");
	puts("-- what has none");
	TELL(fcntl(sf, F_SETFL, O_ASYNC));
	TELL(fcntl(sf, F_GETFL));

	puts("-- pidfd");
	signal(SIGUSR1, SIG_DFL), sigaction(SIGUSR1, &sa, 0);
	int pf = NR(SYS_pidfd_open, getpid(), 0, 0, 0);
	printf("%d %d\n", pf >= 0, fcntl(pf, F_GETFD));
	TELL(NR(SYS_pidfd_open, getpid(), 1, 0, 0));
	TELL(NR(SYS_pidfd_open, 0, 0, 0, 0));
	TELL(NR(SYS_pidfd_open, 4194303, 0, 0, 0));
	TELL(NR(SYS_pidfd_send_signal, pf, SIGUSR1, 0, 0)), printf("%d signal %d code %d\n", count, number, code);
	TELL(NR(SYS_pidfd_send_signal, pf, 0, 0, 0));
	TELL(NR(SYS_pidfd_send_signal, pf, 65, 0, 0));
	TELL(NR(SYS_pidfd_send_signal, pf, SIGUSR1, 0, 1 << 20));
	TELL(NR(SYS_pidfd_send_signal, pf, SIGUSR1, 8, 0));
	TELL(NR(SYS_pidfd_send_signal, sf, SIGUSR1, 0, 0));
	TELL(NR(SYS_pidfd_send_signal, -1, SIGUSR1, 0, 0));
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	TELL(NR(SYS_pidfd_send_signal, pf, SIGUSR1, &info, 0)), printf("%d code %d\n", count, code);
	TELL(NR(SYS_pidfd_send_signal, pf, SIGUSR2, &info, 0));
	int dup = NR(SYS_pidfd_getfd, pf, 1, 0, 0);
	printf("%d %d\n", dup >= 0, fcntl(dup, F_GETFD));
	TELL(NR(SYS_pidfd_getfd, pf, 999, 0, 0));
	TELL(NR(SYS_pidfd_getfd, pf, 1, 1, 0));
	struct pollfd pl = {pf, POLLIN, 0};
	TELL(poll(&pl, 1, 0));
	TELL(read(pf, &c, 1));
	TELL(waitid(3, pf, &info, WEXITED));
	return 0;
}

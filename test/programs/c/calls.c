// Makes calls whose arguments strace(1) takes apart.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void handler(int sig) { (void)sig; }

int main(void) {
	char buf[200], dir[] = "/tmp/gosv-calls";
	struct stat st;
	memset(buf, 'x', sizeof buf);

	// Files.
	mkdir(dir, 0755);
	chdir(dir);
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0640);
	write(fd, "text \"quoted\"\n\t\001\377", 16);
	write(fd, buf, sizeof buf);
	struct iovec iov[2] = {{"one", 3}, {buf, 100}};
	writev(fd, iov, 2);
	pwrite(fd, "at", 2, 10);
	lseek(fd, 0, SEEK_SET);
	read(fd, buf, 10);
	read(fd, buf, 100);
	readv(fd, iov + 1, 1);
	lseek(fd, -1, SEEK_SET);
	ftruncate(fd, 1000);
	syscall(SYS_newfstatat, AT_FDCWD, "file", &st, 0);
	syscall(SYS_newfstatat, AT_FDCWD, "nothing", &st, AT_SYMLINK_NOFOLLOW);
	syscall(SYS_stat, "/dev/null", &st);
	access("file", R_OK | W_OK);
	faccessat(AT_FDCWD, "file", F_OK, 0);
	char stx[256]; // struct statx
	syscall(SYS_statx, AT_FDCWD, "file", AT_SYMLINK_NOFOLLOW, 0x202, stx);
	struct timespec times[2] = {{1, 2}, {0, UTIME_OMIT}};
	utimensat(AT_FDCWD, "file", times, 0);
	symlink("file", "link");
	readlink("link", buf, sizeof buf);
	rename("file", "other");
	chmod("other", 0600);
	umask(027);
	umask(022);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, O_RDWR | O_APPEND | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_GETFD);
	close(fcntl(fd, F_DUPFD_CLOEXEC, 20));
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 5};
	fcntl(fd, F_SETLK, &lock);
	close(dup2(fd, 30));
	close(fd);
	close(fd);
	unlink("link");
	unlinkat(AT_FDCWD, "other", 0);
	rmdir(dir);
	chdir("/");
	fd = open("/nonexistent/file", O_RDONLY | O_CLOEXEC);
	syscall(SYS_openat, AT_FDCWD, (char *)16, O_WRONLY | O_DIRECTORY);

	// Memory.
	char *p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p, 8192, PROT_READ);
	madvise(p, 8192, MADV_DONTNEED);
	p = mremap(p, 8192, 16384, MREMAP_MAYMOVE);
	msync(p, 4096, MS_SYNC);
	munmap(p, 16384);
	munmap((void *)1, 1);

	// Signals.
	struct sigaction sa = {.sa_handler = SIG_IGN, .sa_flags = SA_RESTART};
	sigset_t set, old;
	sigaddset(&sa.sa_mask, SIGINT);
	sigaddset(&sa.sa_mask, SIGTERM);
	sigaction(SIGUSR1, &sa, 0);
	sa.sa_handler = handler;
	sigaction(SIGUSR2, &sa, &sa);
	signal(SIGUSR2, SIG_DFL);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	sigpending(&set);
	sigprocmask(SIG_SETMASK, &old, 0);
	stack_t ss = {.ss_sp = malloc(SIGSTKSZ), .ss_size = 8192};
	sigaltstack(&ss, 0);
	struct timespec ts = {0, 1000000};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigtimedwait(&set, 0, &ts);
	kill(0x7fffffff, 0);

	// Readiness.
	int fds[2];
	pipe(fds);
	struct pollfd pf[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT | POLLHUP, 0}};
	poll(pf, 2, 10);
	poll(pf, 1, 1);
	ppoll(pf, 2, &ts, 0);
	fd_set rd;
	FD_ZERO(&rd);
	FD_SET(fds[0], &rd);
	struct timeval tv = {0, 1000};
	syscall(SYS_select, fds[0] + 1, &rd, 0, 0, &tv);
	FD_SET(fds[1], &rd);
	tv.tv_sec = 1;
	FD_ZERO(&rd);
	FD_SET(fds[1], &rd);
	syscall(SYS_select, fds[1] + 1, 0, &rd, 0, 0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {EPOLLIN | EPOLLET, {.u64 = 0x1234}};
	epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &ev);
	epoll_ctl(ep, EPOLL_CTL_DEL, 77, 0);
	epoll_wait(ep, &ev, 1, 0);
	write(fds[1], "x", 1);
	epoll_wait(ep, &ev, 1, -1);
	close(eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK));
	struct itimerspec its = {{0, 0}, {1, 500}};
	int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	timerfd_settime(tfd, 0, &its, 0);

	// The machine.
	struct rlimit rl;
	syscall(SYS_getrlimit, RLIMIT_CORE, &rl);
	rl.rlim_cur = 0;
	rl.rlim_max = RLIM_INFINITY;
	syscall(SYS_prlimit64, 0, RLIMIT_CORE, &rl, 0);
	syscall(SYS_setrlimit, 99, &rl);
	syscall(SYS_clock_getres, CLOCK_MONOTONIC, &ts);
	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){0, 5}, 0);
	nanosleep(&(struct timespec){0, 1}, &ts);
	syscall(SYS_clock_gettime, 99, &ts);
	prctl(PR_SET_NAME, "name");
	prctl(PR_GET_DUMPABLE);
	struct itimerval iv = {{0, 0}, {10, 0}};
	setitimer(ITIMER_REAL, &iv, 0);
	iv.it_value.tv_sec = 0;
	setitimer(ITIMER_REAL, &iv, 0);
	getpid();
	getrandom(buf, 0, GRND_NONBLOCK);
	syscall(SYS_getgroups, -1, 0);
	wait4(-1, 0, WNOHANG, 0);
	sched_yield();
	ioctl(fds[0], FIONREAD, &fd);
	ioctl(fds[0], TCGETS, buf);
	ioctl(fds[0], TIOCGWINSZ, buf);
	syscall(SYS_futex, &fd, 129, 1, 0, 0, 0);
	fd = 1;
	syscall(SYS_futex, &fd, 128, 2, 0, 0, 0);
	syscall(SYS_futex, &fd, 128 | 9, 1, &(struct timespec){0, 0}, 0, ~0u);

	// A signal that is handled, and one that is not.
	sa.sa_handler = handler;
	sa.sa_flags = 0;
	sigaction(SIGUSR2, &sa, 0);
	raise(SIGUSR2);
	*(volatile int *)24 = 0;
}

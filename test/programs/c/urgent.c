// urgent: TCP's urgent data over loopback: MSG_OOB, the mark, SO_OOBINLINE, POLLPRI, SIGURG.
#include "show.h"
#include "await.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

static struct sockaddr_in to = {.sin_family = AF_INET};
static int lis, c, x;

static volatile sig_atomic_t urgent, ready, code, band;
static void caught(int sig, siginfo_t *i, void *u) {
	if (sig == SIGURG) urgent++;
	else if (sig == SIGIO) ready++;
	else code = i->si_code, band = i->si_band;
}

static void begin(const char *what) {
	printf("- %s\n", what);
	c = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(c, (struct sockaddr *)&to, sizeof to)) perror("connect");
	x = accept4(lis, 0, 0, SOCK_NONBLOCK);
}

static void end(void) { close(c), close(x); }

// settled waits for events, which are other than before.
static int settled(int fd, int want) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND, 0};
	for (int i = 0; i < 4000; i++) {
		poll(&p, 1, 0);
		if ((p.revents & want) == want) break;
		usleep(1000);
	}
	return p.revents;
}

static int queued(int fd) {
	int n = -1;
	return ioctl(fd, FIONREAD, &n) ? -1 : n;
}

// has waits until so much can be read.
static void has(int fd, int n) {
	for (int i = 0; i < 4000 && queued(fd) < n; i++) usleep(1000);
	printf("\t%d to read\n", queued(fd));
}

// acked waits until all that c has sent has come.
static void acked(void) {
	for (int i = 0, n = 1; i < 4000 && !ioctl(c, TIOCOUTQ, &n) && n; i++) usleep(1000);
}

static int atmark(int fd) {
	int n = -1;
	return ioctl(fd, SIOCATMARK, &n) ? -1 : n;
}

static char buf[100];
static void get(int fd, int n, int flags) {
	memset(buf, 0, sizeof buf);
	struct iovec v = {buf, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	char what[100];
	sprintf(what, "recvmsg %d %#x", n, flags);
	if (result(what, recvmsg(fd, &m, flags)) >= 0) printf("\t%s, flags %#x, mark %d\n", buf, m.msg_flags, atmark(fd));
}

static volatile int waiter;

static void *wait_all(void *n) {
	fcntl(x, F_SETFL, 0);
	waiter = own_tid();
	get(x, 10, MSG_WAITALL);
	return 0;
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	struct sigaction sa = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGURG, &sa, 0), sigaction(SIGIO, &sa, 0), sigaction(SIGUSR1, &sa, 0);
	int one = 1, zero = 0, v;
	socklen_t n = sizeof to;
	lis = socket(AF_INET, SOCK_STREAM, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(lis, (struct sockaddr *)&to, n) || listen(lis, 16) || getsockname(lis, (struct sockaddr *)&to, &n)) perror("listen");

	begin("none");
	printf("mark %d\n", atmark(x));
	get(x, 10, MSG_OOB);
	get(lis, 10, MSG_OOB);
	SHOW(atmark(lis));
	SHOW(send(c, "", 0, MSG_OOB));
	v = socket(AF_INET, SOCK_STREAM, 0);
	get(v, 10, MSG_OOB);
	SHOW(send(v, "x", 1, MSG_OOB));
	SHOW(atmark(v));
	n = sizeof v;
	int on = -1;
	SHOW(getsockopt(v, SOL_SOCKET, SO_OOBINLINE, &on, &n));
	printf("%d\n", on);
	close(v);
	end();

	begin("one, up to which is read");
	int pid = getpid(), owner = 0;
	SHOW(ioctl(x, FIOSETOWN, &pid));
	SHOW(ioctl(x, SIOCGPGRP, &owner));
	printf("%d\n", owner == pid && owner == fcntl(x, F_GETOWN));
	SHOW(send(c, "abc", 3, MSG_OOB));
	v = settled(x, POLLPRI);
	printf("%#x, %d SIGURG, %d SIGIO\n", v, urgent, ready);
	SHOW(send(c, "de", 2, 0));
	acked();
	has(x, 2);
	printf("mark %d\n", atmark(x));
	get(x, 10, 0);
	SHOW(queued(x));
	printf("%#x\n", settled(x, POLLPRI));
	get(x, 10, MSG_OOB | MSG_PEEK);
	get(x, 0, MSG_OOB | MSG_PEEK);
	get(x, 10, MSG_OOB | MSG_PEEK | MSG_TRUNC);
	get(x, 10, MSG_OOB);
	get(x, 10, MSG_OOB);
	printf("%#x\n", settled(x, POLLIN));
	get(x, 10, MSG_PEEK);
	get(x, 10, 0);
	get(x, 10, 0);
	end();

	begin("one that is not taken");
	SHOW(send(c, "abc", 3, MSG_OOB));
	settled(x, POLLPRI);
	SHOW(send(c, "de", 2, 0));
	acked();
	get(x, 1, MSG_PEEK);
	get(x, 10, MSG_PEEK);
	get(x, 1, 0);
	get(x, 10, MSG_WAITALL);
	get(x, 1, 0);
	get(x, 10, MSG_OOB);
	get(x, 10, 0);
	end();

	begin("nothing else");
	urgent = 0;
	SHOW(send(c, "!", 1, MSG_OOB));
	v = settled(x, POLLPRI);
	printf("%#x, %d SIGURG: nobody's\n", v, urgent);
	printf("mark %d, %d to read\n", atmark(x), queued(x));
	get(x, 10, MSG_PEEK);
	fd_set r, e;
	FD_ZERO(&r);
	FD_ZERO(&e);
	FD_SET(x, &r);
	FD_SET(x, &e);
	struct timeval tv = {0, 0};
	SHOW(select(x + 1, &r, 0, &e, &tv));
	printf("%d %d\n", FD_ISSET(x, &r), FD_ISSET(x, &e));
	get(x, 10, 0);
	get(x, 10, MSG_OOB);
	SHOW(send(c, "more", 4, 0));
	printf("%#x\n", settled(x, POLLIN));
	get(x, 10, 0);
	end();

	begin("in line");
	SHOW(setsockopt(x, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one));
	SHOW(getsockopt(x, SOL_SOCKET, SO_OOBINLINE, &on, &n));
	printf("%d\n", on);
	SHOW(send(c, "abc", 3, MSG_OOB));
	settled(x, POLLPRI);
	SHOW(send(c, "de", 2, 0));
	has(x, 5);
	printf("%#x\n", settled(x, POLLPRI));
	get(x, 10, MSG_OOB);
	get(x, 10, 0);
	printf("%#x\n", settled(x, POLLPRI));
	get(x, 10, 0);
	printf("%#x\n", settled(x, 0));
	SHOW(send(c, "!", 1, MSG_OOB));
	printf("%#x\n", settled(x, POLLPRI));
	SHOW(atmark(x));
	get(x, 10, 0);
	end();

	begin("a second one");
	SHOW(send(c, "ab", 2, MSG_OOB));
	settled(x, POLLPRI);
	SHOW(send(c, "cd", 2, MSG_OOB));
	acked();
	has(x, 3);
	get(x, 10, 0);
	get(x, 10, MSG_OOB);
	get(x, 10, 0);
	SHOW(send(c, "e", 1, MSG_OOB)); // at the mark, twice
	settled(x, POLLPRI);
	SHOW(send(c, "f", 1, MSG_OOB));
	for (int i = 0; i < 1000 && (recv(x, buf, 1, MSG_OOB | MSG_PEEK) != 1 || buf[0] != 'f'); i++) usleep(1000);
	printf("mark %d, %d to read\n", atmark(x), queued(x));
	get(x, 10, MSG_OOB);
	SHOW(send(c, "gh", 2, 0));
	printf("%#x\n", settled(x, POLLIN));
	get(x, 10, 0);
	end();

	begin("all, up to the mark");
	SHOW(send(c, "abcd", 4, MSG_OOB));
	settled(x, POLLPRI);
	SHOW(send(c, "efghijklmnop", 12, 0));
	fcntl(x, F_SETFL, 0);
	get(x, 10, MSG_WAITALL);
	get(x, 10, MSG_WAITALL);
	pthread_t t;
	pthread_create(&t, 0, wait_all, 0);
	await_asleep(&waiter);
	send(c, "!", 1, MSG_OOB);
	pthread_join(t, 0);
	end();

	begin("a second owner, a signal of choice, epoll");
	urgent = 0;
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLPRI | EPOLLET};
	SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, x, &ev));
	struct f_owner_ex o = {F_OWNER_TID, gettid()};
	SHOW(fcntl(x, F_SETOWN_EX, &o));
	SHOW(fcntl(x, F_SETFL, O_ASYNC | O_NONBLOCK));
	SHOW(fcntl(x, F_SETSIG, SIGUSR1));
	SHOW(send(c, "!", 1, MSG_OOB));
	SHOW(epoll_wait(ep, &ev, 1, 10000));
	printf("%#x, %d SIGURG, another %d\n", ev.events, urgent, code != 0);
	get(x, 10, MSG_OOB);
	SHOW(epoll_wait(ep, &ev, 1, 0));
	fcntl(x, F_SETFL, O_NONBLOCK);
	SHOW(send(c, "?", 1, MSG_OOB));
	SHOW(epoll_wait(ep, &ev, 1, 10000));
	printf("%d SIGURG\n", urgent);
	SHOW(fcntl(x, F_SETOWN, 0));
	SHOW(send(c, "?", 1, MSG_OOB));
	SHOW(epoll_wait(ep, &ev, 1, 10000));
	printf("%d SIGURG\n", urgent);
	close(ep);
	end();

	begin("the end");
	SHOW(send(c, "ab", 2, MSG_OOB));
	close(c);
	printf("%#x\n", settled(x, POLLPRI | POLLRDHUP));
	get(x, 10, 0);
	printf("%#x\n", settled(x, POLLPRI | POLLRDHUP));
	get(x, 10, 0);
	get(x, 10, MSG_OOB);
	close(x);
	begin("the end, taken");
	SHOW(send(c, "ab", 2, MSG_OOB));
	shutdown(c, SHUT_WR);
	SHOW(send(c, "ab", 2, MSG_OOB));
	settled(x, POLLPRI | POLLRDHUP);
	get(x, 10, 0);
	get(x, 10, MSG_OOB);
	get(x, 10, 0);
	get(x, 10, MSG_OOB);
	end();

	begin("much before it");
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &zero, sizeof zero);
	static char big[100000], in[100000];
	memset(big, 'x', sizeof big);
	fcntl(x, F_SETFL, 0);
	int sent = 0;
	fcntl(c, F_SETFL, O_NONBLOCK);
	while ((v = send(c, big, 20000, 0)) > 0 && sent < 60000) sent += v;
	fcntl(c, F_SETFL, 0);
	SHOW(send(c, "12345", 5, MSG_OOB));
	SHOW(send(c, "67", 2, MSG_MORE));
	SHOW(send(c, "89", 2, 0));
	int all = 0;
	while (all < sent + 4 + (v > 0 ? v : 0) && (v = recv(x, in, sizeof in, 0)) > 0) {
		all += v;
		if (atmark(x)) break;
	}
	printf("%d, mark %d, %.4s\n", all > sent, atmark(x), in + v - 4);
	settled(x, POLLPRI);
	get(x, 10, MSG_OOB);
	get(x, 4, MSG_WAITALL);
	end();

	printf("- other sockets\n");
	c = socket(AF_INET, SOCK_DGRAM, 0), x = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = to;
	a.sin_port = 0;
	n = sizeof a;
	bind(x, (struct sockaddr *)&a, sizeof a), getsockname(x, (struct sockaddr *)&a, &n);
	connect(c, (struct sockaddr *)&a, n);
	SHOW(send(c, "x", 1, MSG_OOB));
	SHOW(send(c, "x", 1, 0));
	settled(x, POLLIN);
	get(x, 10, MSG_OOB);
	SHOW(atmark(x));
	end();
	c = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	get(c, 10, MSG_OOB);
	SHOW(sendto(c, "x", 1, MSG_OOB, (struct sockaddr *)&a, n));
	SHOW(atmark(c));
	close(c);
	return 0;
}

// unixurgent: urgent data of Unix sockets: MSG_OOB, the mark, SO_OOBINLINE, POLLPRI, SIGURG, files.
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

static int c, x;

static volatile sig_atomic_t urgent, code, band;
static void caught(int sig, siginfo_t *i, void *u) {
	if (sig == SIGURG) urgent++;
	else code = i->si_code, band = i->si_band;
}

static void begin(const char *what) {
	printf("- %s\n", what);
	int s[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s)) perror("socketpair");
	c = s[0], x = s[1];
	fcntl(x, F_SETFL, O_NONBLOCK);
}

static void end(void) { close(c), close(x); }

// state is all that is to be known of what has come.
static void state(void) {
	struct pollfd p = {x, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND, 0};
	int queued = -1, mark = -1;
	poll(&p, 1, 0);
	ioctl(x, FIONREAD, &queued), ioctl(x, SIOCATMARK, &mark);
	printf("\tevents %#x, %d to read, mark %d\n", p.revents, queued, mark);
}

static void get(int n, int flags) {
	char buf[100] = "", what[100], control[100];
	struct iovec v = {buf, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	sprintf(what, "recvmsg %d %#x", n, flags);
	if (result(what, recvmsg(x, &m, flags)) < 0) return;
	printf("\t%s, flags %#x\n", buf, m.msg_flags);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		printf("\twith message %d\n", h->cmsg_type);
		if (h->cmsg_type == SCM_RIGHTS) close(*(int *)CMSG_DATA(h));
	}
}

// give sends data, with a pipe's other end, which is told of when it is nowhere any more.
static int give(const char *s, int flags) {
	int p[2];
	if (pipe(p)) perror("pipe");
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec v = {(char *)s, strlen(s)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)CMSG_DATA(h) = p[1];
	SHOW(sendmsg(c, &m, flags));
	close(p[1]);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	return p[0];
}

static void *later(void *s) {
	usleep(20000);
	if (*(char *)s == '!') send(c, "!", 1, MSG_OOB);
	send(c, s, strlen(s), 0);
	return 0;
}

int main(void) {
	signal(SIGPIPE, SIG_IGN);
	struct sigaction sa = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGURG, &sa, 0), sigaction(SIGUSR1, &sa, 0);
	int one = 1, v;
	char b;

	begin("none");
	state();
	get(10, MSG_OOB);
	SHOW(send(c, "", 0, MSG_OOB));
	end();

	begin("one, up to which is read");
	SHOW(send(c, "abc", 3, MSG_OOB));
	SHOW(send(c, "de", 2, 0));
	state();
	get(1, 0);
	get(10, MSG_PEEK);
	get(10, 0);
	state();
	get(10, MSG_OOB | MSG_PEEK);
	SHOW(recv(x, &b, 0, MSG_OOB | MSG_PEEK));
	get(10, MSG_OOB | MSG_TRUNC);
	get(10, MSG_OOB);
	state();
	get(10, MSG_PEEK);
	get(10, MSG_WAITALL);
	get(10, 0);
	end();

	begin("one that is passed");
	SHOW(send(c, "abc", 3, MSG_OOB));
	SHOW(send(c, "de", 2, 0));
	get(10, MSG_WAITALL);
	get(10, MSG_PEEK);
	get(10, 0);
	get(10, MSG_OOB);
	SHOW(send(c, "!", 1, MSG_OOB));
	get(10, 0);
	get(10, MSG_OOB);
	end();

	begin("one that is gone");
	SHOW(send(c, "abc", 3, MSG_OOB));
	SHOW(send(c, "de", 2, 0));
	get(10, MSG_OOB);
	state();
	get(10, 0);
	state();
	get(10, 0);
	state();
	SHOW(send(c, "!", 1, MSG_OOB));
	get(10, MSG_OOB);
	state();
	get(10, 0);
	state();
	end();

	begin("a second one");
	SHOW(send(c, "ab", 2, MSG_OOB));
	SHOW(send(c, "cd", 2, MSG_OOB));
	get(10, 0);
	get(10, MSG_OOB);
	get(10, MSG_OOB);
	end();

	begin("in line");
	SHOW(setsockopt(x, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one));
	SHOW(send(c, "abc", 3, MSG_OOB));
	SHOW(send(c, "de", 2, 0));
	get(10, MSG_OOB);
	get(10, 0);
	state();
	get(10, 0);
	state();
	end();

	begin("waiting");
	pthread_t t;
	fcntl(x, F_SETFL, 0);
	pthread_create(&t, 0, later, "!more");
	get(10, 0);
	pthread_join(t, 0);
	end();
	begin("waiting for all");
	fcntl(x, F_SETFL, 0);
	SHOW(send(c, "a", 1, 0));
	pthread_create(&t, 0, later, "!more");
	get(10, MSG_WAITALL);
	pthread_join(t, 0);
	state();
	end();

	begin("SIGURG");
	SHOW(send(c, "!", 1, MSG_OOB));
	printf("%d SIGURG\n", urgent);
	SHOW(fcntl(x, F_SETOWN, getpid()));
	SHOW(send(c, "abc", 3, MSG_OOB));
	printf("%d SIGURG\n", urgent);
	SHOW(send(c, "abc", 3, 0));
	printf("%d SIGURG\n", urgent);
	SHOW(fcntl(x, F_SETOWN, 0));
	SHOW(send(c, "!", 1, MSG_OOB));
	printf("%d SIGURG\n", urgent);
	end();

	begin("epoll, select");
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLPRI | EPOLLET};
	SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, x, &ev));
	SHOW(send(c, "ab", 2, 0));
	SHOW(epoll_wait(ep, &ev, 1, 0));
	SHOW(send(c, "!", 1, MSG_OOB));
	SHOW(epoll_wait(ep, &ev, 1, 10000));
	printf("%#x\n", ev.events);
	SHOW(epoll_wait(ep, &ev, 1, 0));
	fd_set r, e;
	FD_ZERO(&r);
	FD_ZERO(&e);
	FD_SET(x, &r);
	FD_SET(x, &e);
	struct timeval tv = {0, 0};
	SHOW(select(x + 1, &r, 0, &e, &tv));
	printf("%d %d\n", FD_ISSET(x, &r), FD_ISSET(x, &e));
	close(ep);
	end();

	begin("files");
	v = give("abc", MSG_OOB);
	get(10, MSG_OOB);
	get(10, 0);
	SHOW(read(v, &b, 1));
	close(v);
	v = give("!", MSG_OOB);
	get(10, MSG_OOB);
	SHOW(read(v, &b, 1));
	get(10, 0);
	SHOW(read(v, &b, 1));
	close(v);
	v = give("!", MSG_OOB);
	SHOW(send(c, "a", 1, 0));
	get(10, 0);
	SHOW(read(v, &b, 1));
	close(v);
	v = give("!", MSG_OOB);
	SHOW(send(c, "a", 1, MSG_OOB));
	get(10, 0);
	SHOW(read(v, &b, 1));
	close(v);
	SHOW(setsockopt(x, SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
	SHOW(send(c, "ab", 2, MSG_OOB));
	get(10, MSG_OOB);
	get(10, 0);
	end();

	begin("the end");
	SHOW(send(c, "ab", 2, MSG_OOB));
	SHOW(shutdown(c, SHUT_WR));
	SHOW(send(c, "ab", 2, MSG_OOB));
	state();
	get(10, 0);
	get(10, 0);
	get(10, 0);
	SHOW(close(x));
	SHOW(send(c, "a", 1, MSG_OOB));
	close(c);
	begin("closed, with the byte to be read");
	SHOW(send(c, "!", 1, MSG_OOB));
	SHOW(close(x));
	SHOW(recv(c, &b, 1, 0));
	close(c);
	begin("closed, and it was read");
	SHOW(send(c, "!", 1, MSG_OOB));
	get(10, MSG_OOB);
	SHOW(close(x));
	SHOW(recv(c, &b, 1, 0));
	close(c);

	printf("- other sockets\n");
	int kinds[] = {SOCK_DGRAM, SOCK_SEQPACKET};
	for (int i = 0; i < 2; i++) {
		int s[2];
		socketpair(AF_UNIX, kinds[i], 0, s);
		x = s[1];
		SHOW(send(s[0], "a", 1, MSG_OOB));
		get(10, MSG_OOB);
		SHOW(ioctl(x, SIOCATMARK, &v));
		close(s[0]), close(s[1]);
	}
	x = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(send(x, "a", 1, MSG_OOB));
	get(10, MSG_OOB);
	SHOW(ioctl(x, SIOCATMARK, &v));
	return 0;
}

// unixnames: Unix sockets with names: files, abstract ones and such that are made up;
// listening, connecting, datagrams to and from names.
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static struct sockaddr_un at(const char *path) {
	struct sockaddr_un a = {AF_UNIX};
	strcpy(a.sun_path, path);
	return a;
}

static struct sockaddr_un abstract(const char *name) {
	struct sockaddr_un a = {AF_UNIX};
	strcpy(a.sun_path + 1, name);
	return a;
}

#define LEN(a) ((socklen_t)(offsetof(struct sockaddr_un, sun_path) + ((a).sun_path[0] ? strlen((a).sun_path) + 1 : 1 + strlen((a).sun_path + 1))))
#define ADDR(a) (struct sockaddr *)&(a), LEN(a)

static void name(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd) {
	struct sockaddr_un a = {0};
	socklen_t n = sizeof a;
	if (result(what, get(fd, (struct sockaddr *)&a, &n)) == 0)
		printf("\tfamily %d, length %d, %s%s\n", a.sun_family, n, n > 2 && !a.sun_path[0] ? "@" : "", n > 2 ? a.sun_path + !a.sun_path[0] : "-");
}

static int events(int fd) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLWRBAND, 0};
	poll(&p, 1, 0);
	return p.revents;
}

static int option(int fd, int opt) {
	int v = -1;
	socklen_t n = sizeof v;
	if (getsockopt(fd, SOL_SOCKET, opt, &v, &n)) return -errno;
	return v;
}

static int listener(int type, struct sockaddr_un a, int backlog) {
	int s = socket(AF_UNIX, type, 0);
	if (bind(s, ADDR(a)) || listen(s, backlog)) perror("listener");
	return s;
}

static int dial(int type, struct sockaddr_un a) {
	int s = socket(AF_UNIX, type, 0);
	if (connect(s, ADDR(a))) { close(s); return -1; }
	return s;
}

static void binding(void) {
	struct sockaddr_un a = at("one"), b = at("two"), in = at("no/such"), dir = at(".");
	int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_STREAM, 0);
	name("getsockname unbound", getsockname, s);
	name("getpeername unbound", getpeername, s);
	SHOW(listen(s, 5));
	SHOW(bind(s, (struct sockaddr *)&a, 1));
	SHOW(bind(s, (struct sockaddr *)&a, sizeof a + 1));
	SHOW(bind(s, ADDR(in)));
	SHOW(bind(s, ADDR(dir)));
	SHOW(bind(s, ADDR(a)));
	name("getsockname", getsockname, s);
	SHOW(bind(s, ADDR(b)));
	SHOW(bind(t, ADDR(a)));
	struct stat st;
	SHOW(stat("one", &st));
	printf("mode %o\n", st.st_mode);
	SHOW(open("one", O_RDWR));
	a.sun_family = AF_INET;
	SHOW(bind(t, ADDR(a)));
	a.sun_family = AF_UNIX;
	SHOW(connect(t, ADDR(a)));
	SHOW(connect(t, ADDR(b)));
	SHOW(listen(s, 0));
	SHOW(option(s, SO_ACCEPTCONN));
	SHOW(option(t, SO_ACCEPTCONN));
	printf("listener %#x\n", events(s));
	printf("unconnected %#x\n", events(t));
	SHOW(connect(s, ADDR(a)));
	char c;
	SHOW(read(s, &c, 1));
	SHOW(write(t, "x", 1));
	SHOW(accept(t, 0, 0));
	fcntl(s, F_SETFL, O_NONBLOCK);
	SHOW(accept(s, 0, 0));
	int d = socket(AF_UNIX, SOCK_DGRAM, 0), q = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	SHOW(connect(d, ADDR(a)));
	SHOW(connect(q, ADDR(a)));
	SHOW(listen(d, 1));
	SHOW(accept(d, 0, 0));
	close(s);
	SHOW(connect(t, ADDR(a)));
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind(s, ADDR(a)));
	SHOW(unlink("one"));
	SHOW(bind(s, ADDR(a)));
	SHOW(rename("one", "elsewhere"));
	SHOW(listen(s, 1));
	SHOW(connect(t, ADDR(a)));
	a = at("elsewhere");
	SHOW(connect(t, ADDR(a)));
	name("getpeername", getpeername, t);
	SHOW(connect(t, ADDR(a)));
	close(s), close(t), close(d), close(q);
	int f = open("plain", O_CREAT | O_RDWR, 0600);
	a = at("plain");
	t = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(t, ADDR(a)));
	close(f), close(t);
	// A path that fills sun_path has no zero at its end.
	struct sockaddr_un full = {AF_UNIX};
	memset(full.sun_path, 'x', sizeof full.sun_path);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(bind(s, (struct sockaddr *)&full, sizeof full));
	struct { struct sockaddr_un a; char more[8]; } big = {0};
	socklen_t n = sizeof big;
	SHOW(getsockname(s, (struct sockaddr *)&big, &n));
	printf("length %d\n", n);
	close(s);
}

static void names(void) {
	struct sockaddr_un a = abstract("gosv-test-name"), longer = abstract("gosv-test-name2");
	int s = listener(SOCK_STREAM, a, 3), t = socket(AF_UNIX, SOCK_STREAM, 0);
	name("abstract", getsockname, s);
	SHOW(bind(t, ADDR(a)));
	SHOW(connect(t, ADDR(longer)));
	SHOW(connect(t, (struct sockaddr *)&a, LEN(a) + 1)); // a zero more is another name
	SHOW(connect(t, ADDR(a)));
	name("peer", getpeername, t);
	name("own", getsockname, t);
	struct sockaddr_un from;
	socklen_t n = sizeof from;
	int c = accept4(s, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	printf("accepted %d, address of %d, flags %d %#x\n", c >= 0, n, fcntl(c, F_GETFD), fcntl(c, F_GETFL));
	name("accepted's own", getsockname, c);
	name("accepted's peer", getpeername, c);
	SHOW(write(t, "hello", 5));
	char buf[20];
	n = sizeof from;
	SHOW(recvfrom(c, buf, sizeof buf, 0, (struct sockaddr *)&from, &n));
	printf("from %d\n", n);
	SHOW(shutdown(t, SHUT_WR));
	SHOW(read(c, buf, 1));
	printf("half closed %#x %#x\n", events(c), events(t));
	close(t);
	printf("closed %#x\n", events(c));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	close(c);
	close(s);
	t = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(t, ADDR(a)));
	// Binding to nothing makes a name up.
	sa_family_t none = AF_UNIX;
	SHOW(bind(t, (struct sockaddr *)&none, sizeof none));
	struct sockaddr_un made;
	n = sizeof made;
	SHOW(getsockname(t, (struct sockaddr *)&made, &n));
	printf("length %d, first %d\n", n, made.sun_path[0]);
	SHOW(bind(t, (struct sockaddr *)&none, sizeof none));
	SHOW(listen(t, 1));
	int u = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(u, (struct sockaddr *)&made, n));
	close(t), close(u);
}

static void backlog(int type) {
	struct sockaddr_un a = abstract("gosv-test-backlog");
	int s = listener(type, a, 2), c[5];
	for (int i = 0; i < 5; i++) {
		c[i] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
		SHOW(connect(c[i], ADDR(a)));
	}
	printf("waiting %#x, refused %#x\n", events(c[0]), events(c[4]));
	SHOW(write(c[0], "early", 5));
	printf("listener %#x\n", events(s));
	int x = accept(s, 0, 0);
	char buf[10];
	SHOW(read(x, buf, 10));
	SHOW(connect(c[4], ADDR(a)));
	struct timeval tv = {0, 20000};
	int b = socket(AF_UNIX, type, 0);
	setsockopt(b, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	SHOW(connect(b, ADDR(a)));
	SHOW(listen(s, 10));
	SHOW(connect(b, ADDR(a)));
	close(s);
	SHOW(read(c[1], buf, 1));
	SHOW(read(c[1], buf, 1));
	printf("listener gone %#x\n", events(c[2]));
	SHOW(option(c[2], SO_ERROR));
	SHOW(option(c[2], SO_ERROR));
	SHOW(send(c[2], "x", 1, MSG_NOSIGNAL));
	SHOW(recv(x, buf, 1, MSG_DONTWAIT));
	for (int i = 0; i < 5; i++) close(c[i]);
	close(x), close(b);
}

static void *later(void *p) {
	usleep(20000);
	int s = dial(SOCK_STREAM, *(struct sockaddr_un *)p);
	write(s, "late", 4);
	usleep(20000);
	close(s);
	return 0;
}

static void waiting(void) {
	struct sockaddr_un a = abstract("gosv-test-waiting");
	int s = listener(SOCK_STREAM, a, 5), ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN | EPOLLET, {.fd = s}}, got[4];
	epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
	pthread_t t;
	pthread_create(&t, 0, later, &a);
	SHOW(epoll_wait(ep, got, 4, -1));
	SHOW(epoll_wait(ep, got, 4, 0));
	int c = accept(s, 0, 0);
	char buf[10];
	SHOW(read(c, buf, 10));
	SHOW(read(c, buf, 10));
	pthread_join(t, 0);
	close(c);
	pthread_create(&t, 0, later, &a);
	c = accept(s, 0, 0);
	SHOW(recv(c, buf, 10, MSG_WAITALL));
	pthread_join(t, 0);
	struct timeval tv = {0, 20000};
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	SHOW(accept(s, 0, 0));
	close(c), close(s), close(ep);
}

static void *drain(void *p) {
	char buf[100];
	usleep(20000);
	for (int i = 0; i < 3; i++) recv(*(int *)p, buf, sizeof buf, 0);
	return 0;
}

static void datagrams(void) {
	struct sockaddr_un a = abstract("gosv-test-a"), b = abstract("gosv-test-b"), from;
	int x = socket(AF_UNIX, SOCK_DGRAM, 0), y = socket(AF_UNIX, SOCK_DGRAM, 0), z = socket(AF_UNIX, SOCK_DGRAM, 0);
	char buf[100];
	SHOW(send(x, "x", 1, 0));
	SHOW(sendto(x, "x", 1, 0, ADDR(a)));
	SHOW(bind(x, ADDR(a)));
	SHOW(bind(y, ADDR(b)));
	SHOW(sendto(x, "to b", 4, 0, ADDR(b)));
	SHOW(sendto(z, "from nobody", 11, 0, ADDR(b)));
	SHOW(sendto(z, "", 0, 0, ADDR(b)));
	for (int i = 0; i < 3; i++) {
		socklen_t n = sizeof from;
		memset(&from, 0, sizeof from);
		SHOW(recvfrom(y, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &n));
		printf("from %d %s\n", n, n > 3 ? from.sun_path + 1 : "");
	}
	SHOW(recv(y, buf, sizeof buf, MSG_DONTWAIT));
	SHOW(connect(x, ADDR(b)));
	name("datagram peer", getpeername, x);
	SHOW(send(x, "connected", 9, 0));
	SHOW(sendto(x, "and", 3, 0, ADDR(a)));
	SHOW(connect(y, ADDR(a)));
	SHOW(sendto(z, "third", 5, 0, ADDR(b)));
	SHOW(connect(z, ADDR(b)));
	SHOW(recv(y, buf, sizeof buf, 0));
	// A receiver takes no more than so many.
	int n = 0;
	struct sockaddr_un none = {AF_UNSPEC};
	SHOW(connect(y, (struct sockaddr *)&none, sizeof none));
	SHOW(connect(x, (struct sockaddr *)&none, sizeof none));
	while (recv(y, buf, sizeof buf, MSG_DONTWAIT) >= 0) ;
	while (sendto(x, "x", 1, MSG_DONTWAIT, ADDR(b)) == 1) n++;
	printf("%d datagrams until %s\n", n, strerror(errno));
	SHOW(connect(z, ADDR(b)));
	printf("full %#x\n", events(z));
	pthread_t t;
	pthread_create(&t, 0, drain, &y);
	SHOW(sendto(x, "waited", 6, 0, ADDR(b)));
	SHOW(send(z, "waited", 6, 0));
	pthread_join(t, 0);
	close(y);
	SHOW(send(z, "gone", 4, 0));
	SHOW(send(z, "gone", 4, 0));
	SHOW(sendto(x, "gone", 4, 0, ADDR(b)));
	SHOW(sendto(x, "self", 4, 0, ADDR(a)));
	SHOW(recv(x, buf, sizeof buf, MSG_DONTWAIT));
	close(x), close(z);
}

static void passing(void) {
	struct sockaddr_un a = at("pass");
	int s = listener(SOCK_STREAM, a, 1), c = dial(SOCK_STREAM, a), x = accept(s, 0, 0), on = 1;
	struct ucred cred = {0};
	socklen_t n = sizeof cred;
	SHOW(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &n));
	printf("peer is us: %d\n", cred.pid == getpid());
	SHOW(getsockopt(x, SOL_SOCKET, SO_PEERCRED, &cred, &n));
	printf("peer is us: %d\n", cred.pid == getpid());
	SHOW(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &n));
	printf("listener: %d\n", cred.pid == getpid());
	int p[2];
	pipe(p);
	union { char b[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof cred)]; struct cmsghdr h; } u = {0};
	struct iovec v = {"f", 1};
	struct msghdr m = {0, 0, &v, 1, u.b, CMSG_SPACE(sizeof(int)), 0};
	u.h = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&u.h), &p[1], sizeof(int));
	SHOW(setsockopt(x, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	SHOW(sendmsg(c, &m, 0));
	close(p[1]);
	char byte;
	v = (struct iovec){&byte, 1};
	m.msg_controllen = sizeof u.b;
	SHOW(recvmsg(x, &m, MSG_CMSG_CLOEXEC));
	int fd = -1;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		printf("control %d %d\n", h->cmsg_level, h->cmsg_type);
		if (h->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(h), sizeof fd);
		if (h->cmsg_type == SCM_CREDENTIALS) printf("from us: %d\n", ((struct ucred *)CMSG_DATA(h))->pid == getpid());
	}
	SHOW(write(fd, "through", 7));
	char buf[10];
	SHOW(read(p[0], buf, 10));
	SHOW(fcntl(p[0], F_SETFL, O_NONBLOCK));
	SHOW(read(p[0], buf, 10)); // its other end is open, though the sender has closed it
	close(c), close(x), close(s), close(fd), close(p[0]);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	scratch();
	binding();
	names();
	backlog(SOCK_STREAM);
	backlog(SOCK_SEQPACKET);
	waiting();
	datagrams();
	passing();
}

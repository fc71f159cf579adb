// sockets: pairs of Unix sockets, what is sent through them and how they end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/time.h>
#include <unistd.h>

static const struct { int type; const char *name; } kinds[] = {{SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}, {SOCK_SEQPACKET, "seqpacket"}};
static const char *kind;
static int pipes;
static char buf[300000];

static void onpipe(int s) { pipes++; }

// say prints the result of a call, and what it left in errno.
static void say(const char *what, long r) {
	printf("%s %s: %ld%s%s%s\n", kind, what, r, r < 0 ? " " : "", r < 0 ? strerror(errno) : "", pipes ? ", SIGPIPE" : "");
	pipes = 0;
}

static void events(const char *what, int fd) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND, 0};
	int r = poll(&p, 1, 0);
	printf("%s %s: poll %d %#x\n", kind, what, r, p.revents);
}

static int pair(int type, int sv[2]) {
	int r = socketpair(AF_UNIX, type, 0, sv);
	if (r) say("socketpair", r);
	return r;
}

static void basics(int type) {
	int sv[2];
	if (pair(type | SOCK_CLOEXEC | SOCK_NONBLOCK, sv)) return;
	say("F_GETFD", fcntl(sv[1], F_GETFD));
	say("F_GETFL", fcntl(sv[0], F_GETFL));
	events("fresh", sv[0]);
	say("read of nothing", read(sv[0], buf, 10));
	say("write", write(sv[0], "one", 3));
	say("send", send(sv[0], "two!", 4, 0));
	events("full", sv[1]);
	int n = -1;
	say("FIONREAD", ioctl(sv[1], FIONREAD, &n));
	say("= ", n);
	say("peek", recv(sv[1], buf, 2, MSG_PEEK));
	say("peek with MSG_TRUNC", recv(sv[1], buf, 2, MSG_PEEK | MSG_TRUNC));
	say("read 2", read(sv[1], buf, 2));
	say("recv 100", recv(sv[1], buf, 100, 0));
	printf("%.*s\n", 4, buf);
	say("recv 100", recv(sv[1], buf, 100, MSG_DONTWAIT));
	say("empty", send(sv[0], "", 0, 0));
	events("after empty", sv[1]);
	say("recv empty", recv(sv[1], buf, 100, 0));
	say("out of band", recv(sv[1], buf, 100, MSG_OOB) < 0);
	struct sockaddr_un a;
	socklen_t len = sizeof a;
	memset(&a, 7, sizeof a);
	say("getsockname", getsockname(sv[0], (void *)&a, &len));
	printf("%d %d %d\n", a.sun_family, len, a.sun_path[0]);
	len = 1;
	say("getpeername", getpeername(sv[0], (void *)&a, &len));
	printf("%d\n", len);
	len = sizeof a;
	write(sv[0], "x", 1);
	say("recvfrom", recvfrom(sv[1], buf, 10, 0, (void *)&a, &len));
	printf("address of %d\n", len);
	a.sun_family = AF_UNIX;
	strcpy(a.sun_path, "/no/such/socket");
	say("sendto", sendto(sv[0], "x", 1, 0, (void *)&a, sizeof a));
	say("drain", recv(sv[1], buf, 10, 0));
	say("lseek", lseek(sv[0], 0, SEEK_CUR));
	say("pread", pread(sv[0], buf, 1, 0));
	struct stat st;
	say("fstat", fstat(sv[0], &st));
	printf("%o\n", st.st_mode);
	say("bad buffer", send(sv[0], (void *)8, 10, 0));
	say("too long", type == SOCK_STREAM ? 0 : send(sv[0], buf, sizeof buf, 0));
	static const int options[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_ACCEPTCONN, SO_SNDBUF, SO_RCVBUF, SO_RCVLOWAT, SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_PASSCRED, SO_DEBUG, 999};
	for (int i = 0; i < sizeof options / sizeof *options; i++) {
		int v = -1;
		len = sizeof v;
		int r = getsockopt(sv[0], SOL_SOCKET, options[i], &v, &len), e = r ? errno : 0;
		printf("%s option %d: %d %s %d %d\n", kind, options[i], r, strerror(e), len, v);
	}
	int one = 1, v = 0;
	say("SO_PASSCRED", setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
	len = sizeof v;
	getsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &v, &len);
	one = 10000;
	say("SO_SNDBUF", setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &one, sizeof one));
	getsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &one, &len);
	printf("%d %d\n", v, one);
	say("short option", setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &one, 2));
	say("SO_TYPE", setsockopt(sv[0], SOL_SOCKET, SO_TYPE, &one, sizeof one));
	say("level", setsockopt(sv[0], 12345, 1, &one, sizeof one));
	say("level", getsockopt(sv[0], 12345, 1, &one, &len));
	struct ucred c;
	len = sizeof c;
	say("SO_PEERCRED", getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &c, &len));
	printf("%d %d %d %d\n", c.pid == getpid(), c.uid, c.gid, len);
	close(sv[0]);
	close(sv[1]);

	pair(type, sv);
	struct timeval tv = {0, 20000};
	say("SO_RCVTIMEO", setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	say("recv in time", recv(sv[0], buf, 1, 0));
	long n0 = 0;
	while (send(sv[0], buf, 1000, MSG_DONTWAIT) == 1000) n0++;
	printf("%s: full after %s: %s\n", kind, n0 > 20 && n0 < 2000 ? "some" : "too few or many", strerror(errno));
	events("full", sv[0]);
	while (recv(sv[1], buf, 1000, MSG_DONTWAIT) > 0) n0--;
	printf("%ld left\n", n0);
	events("drained", sv[0]);
	close(sv[0]);
	close(sv[1]);
}

static void ends(int type) {
	for (int how = 0; how < 3; how++) {
		int sv[2];
		pair(type, sv);
		printf("shutdown %d\n", how);
		write(sv[0], "abc", 3);
		write(sv[1], "def", 3);
		say("shutdown", shutdown(sv[0], how));
		events("this", sv[0]);
		events("peer", sv[1]);
		say("read", recv(sv[0], buf, 10, MSG_DONTWAIT));
		say("read", recv(sv[0], buf, 10, MSG_DONTWAIT));
		say("write", write(sv[0], "x", 1));
		say("peer's read", recv(sv[1], buf, 10, MSG_DONTWAIT));
		say("peer's read", recv(sv[1], buf, 10, MSG_DONTWAIT));
		say("peer's write", send(sv[1], "x", 1, 0));
		say("peer's write, MSG_NOSIGNAL", send(sv[1], "x", 1, MSG_NOSIGNAL));
		close(sv[0]);
		events("closed", sv[1]);
		close(sv[1]);
	}
	for (int unread = 0; unread < 2; unread++) {
		int sv[2], v;
		socklen_t len = sizeof v;
		pair(type, sv);
		printf("close with%s unread\n", unread ? "" : "out");
		write(sv[0], "left", 4);
		if (unread) write(sv[1], "unread", 6);
		close(sv[0]);
		events("peer", sv[1]);
		say("read", recv(sv[1], buf, 10, MSG_DONTWAIT));
		say("read", recv(sv[1], buf, 10, MSG_DONTWAIT));
		say("read", recv(sv[1], buf, 10, MSG_DONTWAIT));
		say("SO_ERROR", getsockopt(sv[1], SOL_SOCKET, SO_ERROR, &v, &len));
		printf("%d\n", v);
		say("write", write(sv[1], "x", 1));
		say("write, MSG_NOSIGNAL", send(sv[1], "x", 1, MSG_NOSIGNAL));
		say("getpeername", getpeername(sv[1], (struct sockaddr *)buf, &len) < 0);
		close(sv[1]);
	}
	int s = socket(AF_UNIX, type, 0), v;
	socklen_t len = sizeof v;
	say("socket", s < 0);
	events("not connected", s);
	say("send", send(s, "x", 1, 0));
	say("recv", recv(s, buf, 1, MSG_DONTWAIT));
	say("shutdown", shutdown(s, SHUT_WR));
	say("getpeername", getpeername(s, (struct sockaddr *)buf, &len));
	struct sockaddr_un a = {AF_UNIX, "/no/such/socket"};
	say("connect", connect(s, (void *)&a, sizeof a));
	strcpy(a.sun_path, "/");
	say("connect", connect(s, (void *)&a, sizeof a) < 0);
	a.sun_family = AF_INET;
	say("connect", connect(s, (void *)&a, sizeof a));
	close(s);
}

// message sends or receives with a control buffer of so many bytes.
static long message(int fd, int sending, char *control, size_t n, int flags, struct msghdr *m) {
	struct iovec v[2] = {{buf, 2}, {buf + 10, 3}};
	memset(m, 0, sizeof *m);
	m->msg_iov = v;
	m->msg_iovlen = 2;
	m->msg_control = n ? control : 0;
	m->msg_controllen = n;
	return sending ? sendmsg(fd, m, flags) : recvmsg(fd, m, flags);
}

static void rights(int type) {
	int sv[2], p[2], fds[2];
	char control[256] __attribute__((aligned(8)));
	struct msghdr m;
	pair(type, sv);
	pipe(p);
	memcpy(buf, "he", 2);
	memcpy(buf + 10, "llo", 3);
	struct cmsghdr *c = (void *)control;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(8);
	memcpy(CMSG_DATA(c), (int[]){p[0], p[1]}, 8);
	for (int i = 0; i < 4; i++) {
		say("sendmsg", message(sv[0], 1, control, CMSG_SPACE(8), 0, &m));
		write(sv[0], "behind", 6);
	}
	close(p[0]);
	close(p[1]);
	char got[256] __attribute__((aligned(8)));
	static const size_t room[] = {sizeof got, CMSG_LEN(4), 0, 10};
	for (int i = 0; i < 4; i++) {
		memset(buf, 0, 20);
		say("recvmsg", message(sv[1], 0, got, room[i], i == 0 ? MSG_CMSG_CLOEXEC : MSG_DONTWAIT, &m));
		printf("%.2s %.3s control %zd flags %#x name %d\n", buf, buf + 10, (size_t)m.msg_controllen, m.msg_flags, m.msg_namelen);
		c = CMSG_FIRSTHDR(&m);
		if (c) {
			int k = (c->cmsg_len - CMSG_LEN(0)) / 4;
			memcpy(fds, CMSG_DATA(c), 4 * k);
			printf("%d %d: %d descriptors, cloexec %d\n", c->cmsg_level, c->cmsg_type, k, fcntl(fds[0], F_GETFD));
			if (k == 2) {
				say("write into it", write(fds[1], "through", 7));
				say("read from it", read(fds[0], buf, 10));
			}
			while (k--) close(fds[k]);
		}
		say("behind", read(sv[1], buf, 100));
	}
	memcpy(CMSG_DATA(c = (void *)control), (int[]){12345, -1}, 8);
	say("bad descriptor", message(sv[0], 1, control, CMSG_SPACE(8), 0, &m));
	c->cmsg_len = 4;
	say("bad length", message(sv[0], 1, control, CMSG_SPACE(8), 0, &m));
	c->cmsg_len = CMSG_LEN(8);
	c->cmsg_type = 77;
	say("bad type", message(sv[0], 1, control, CMSG_SPACE(8), 0, &m));
	int one = 1;
	setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	write(sv[0], "creds", 5);
	say("recvmsg", message(sv[1], 0, got, sizeof got, 0, &m));
	c = CMSG_FIRSTHDR(&m);
	struct ucred *u = c ? (void *)CMSG_DATA(c) : 0;
	if (u) printf("%d %d: %d %d %d\n", c->cmsg_level, c->cmsg_type, u->pid == getpid(), u->uid, u->gid);
	close(sv[0]);
	close(sv[1]);

	struct mmsghdr many[3];
	struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
	memset(many, 0, sizeof many);
	for (int i = 0; i < 3; i++) many[i].msg_hdr.msg_iov = &v[i], many[i].msg_hdr.msg_iovlen = 1;
	pair(type, sv);
	say("sendmmsg", sendmmsg(sv[0], many, 3, 0));
	printf("%d %d %d\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
	for (int i = 0; i < 3; i++) v[i] = (struct iovec){buf + 10 * i, 10};
	say("recvmmsg", recvmmsg(sv[1], many, 3, MSG_DONTWAIT, 0));
	printf("%d\n", many[0].msg_len);
	close(sv[0]);
	close(sv[1]);
}

// A stream with more in flight than fits, both ways at once, and epoll at its ends.
static int big[2];
static void *feed(void *arg) {
	static unsigned char out[1 << 20];
	for (int i = 0; i < sizeof out; i++) out[i] = i * 7 >> 3;
	long r = send(big[0], out, sizeof out, 0);
	shutdown(big[0], SHUT_WR);
	return (void *)r;
}

static void flood(int type) {
	pthread_t t;
	pair(type, big);
	int ep = epoll_create1(0), n;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};
	epoll_ctl(ep, EPOLL_CTL_ADD, big[1], &ev);
	pthread_create(&t, 0, feed, 0);
	long total = 0, wrong = 0;
	while (epoll_wait(ep, &ev, 1, -1) == 1 && (n = recv(big[1], buf, 12345, MSG_DONTWAIT)) > 0)
		for (int i = 0; i < n; i++, total++) wrong += (unsigned char)buf[i] != (unsigned char)(total * 7 >> 3);
	void *r;
	pthread_join(t, &r);
	printf("flood: sent %ld, got %ld, wrong %ld, end %#x\n", (long)r, total, wrong, ev.events);
	close(big[0]);
	close(big[1]);
	pair(type, big);
	pthread_create(&t, 0, feed, 0);
	say("MSG_WAITALL", recv(big[1], buf, sizeof buf, MSG_WAITALL));
	shutdown(big[1], SHUT_RD);
	pthread_join(t, &r);
	printf("cut short: %d, SIGPIPE %d\n", (long)r < 1 << 20, pipes);
	pipes = 0;
	close(big[0]);
	close(big[1]);
}

static int give(int over, int fd) {
	struct iovec v = {"x", 1};
	char control[CMSG_SPACE(4)] __attribute__((aligned(8))) = {0};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(4);
	memcpy(CMSG_DATA(c), &fd, 4);
	return sendmsg(over, &m, MSG_DONTWAIT);
}

// circle sends a socket to itself, and a pipe with it, which ends when they are gone.
static void circle(void) {
	int p[2], sv[2];
	pipe(p);
	pair(SOCK_STREAM, sv);
	int path = open("/", O_PATH);
	say("with O_PATH", give(sv[0], path));
	close(path);
	say("itself", give(sv[1], sv[0]));
	say("and a pipe", give(sv[1], p[1]));
	close(p[1]);
	close(sv[0]);
	close(sv[1]);
	say("end of the pipe", read(p[0], buf, 1));
	close(p[0]);
}

// limit sends more descriptors than may be on their way.
static void limit(void) {
	struct rlimit few = {20, 20};
	int sv[2], n = 0;
	setrlimit(RLIMIT_NOFILE, &few);
	setuid(54321);
	pair(SOCK_DGRAM, sv);
	while (n < 100 && give(sv[0], 0) == 1) n++;
	say("one too many", -1);
	say("on their way", n);
	recv(sv[1], buf, 1, 0);
	say("one fewer", give(sv[0], 0));
	recv(sv[1], buf, 1, 0);
	recv(sv[1], buf, 1, 0);
	say("two fewer", give(sv[0], 0));
	close(sv[0]);
	close(sv[1]);
}

int main(void) {
	signal(SIGPIPE, onpipe);
	for (int i = 0; i < 3; i++) {
		kind = kinds[i].name;
		basics(kinds[i].type);
		ends(kinds[i].type);
		rights(kinds[i].type);
	}
	kind = "";
	flood(SOCK_STREAM);
	circle();
	int sv[2], z = open("/dev/null", O_RDWR);
	say("send to no socket", send(z, "x", 1, 0));
	say("getsockopt of no socket", getsockopt(z, SOL_SOCKET, SO_TYPE, buf, (socklen_t *)(buf + 8)));
	say("bad fd", send(77, "x", 1, 0));
	say("family", socketpair(999, SOCK_STREAM, 0, sv));
	say("type", socketpair(AF_UNIX, 7, 0, sv));
	say("type", socketpair(AF_UNIX, 12, 0, sv));
	say("flags", socketpair(AF_UNIX, SOCK_STREAM | 0x10, 0, sv));
	say("protocol", socketpair(AF_UNIX, SOCK_STREAM, 5, sv));
	say("fault", socketpair(AF_UNIX, SOCK_STREAM, 0, (void *)8));
	say("next descriptor", dup(0));
	limit();
	return 0;
}

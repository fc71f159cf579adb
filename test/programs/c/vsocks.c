// vsocks: stream sockets of AF_VSOCK within one machine: addresses, errors, how
// connections begin and end, and what poll says at each moment.
#include "show.h"
#include "await.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <linux/vm_sockets.h>

static char buf[600000];

static struct sockaddr_vm addr(unsigned cid, unsigned port) {
	return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static int bindTo(int s, unsigned cid, unsigned port) {
	struct sockaddr_vm a = addr(cid, port);
	return bind(s, (void *)&a, sizeof a);
}

static int connectTo(int s, unsigned cid, unsigned port) {
	struct sockaddr_vm a = addr(cid, port);
	return connect(s, (void *)&a, sizeof a);
}

static int stream(int flags) { return socket(AF_VSOCK, SOCK_STREAM | flags, 0); }

static void name(const char *what, int s, int (*get)(int, struct sockaddr *, socklen_t *)) {
	struct sockaddr_vm a = {0};
	socklen_t n = sizeof a;
	int r = get(s, (void *)&a, &n);
	if (r) result(what, r);
	else printf("%s: length %d family %d cid %d port %d flags %d\n", what, n, a.svm_family, a.svm_cid, a.svm_port > 70000 ? -1 : a.svm_port, a.svm_flags);
}

// settle waits until what was sent has come, and what the other end has answered: Linux delivers packets a little later, but in
// order, those of other connections too.
static void settle(void) {
	static int probe[2];
	if (!probe[0]) {
		int l = stream(0);
		if (bindTo(l, VMADDR_CID_ANY, 9999) || listen(l, 1)) exit(99);
		probe[0] = stream(0);
		if (connectTo(probe[0], VMADDR_CID_LOCAL, 9999) || (probe[1] = accept(l, 0, 0)) < 0) exit(99);
		close(l);
	}
	for (int i = 0; i < 3; i++) {
		char c;
		if (write(probe[0], "x", 1) != 1 || read(probe[1], &c, 1) != 1) exit(99);
	}
}

static void events(const char *what, int fd) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND, 0};
	settle();
	int r = poll(&p, 1, 0);
	printf("%s: poll %d %#x\n", what, r, p.revents);
}

static void pending(const char *what, int s) {
	int e = 0;
	socklen_t n = sizeof e;
	int r = getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &n);
	printf("%s: SO_ERROR %d %s\n", what, r, e ? strerror(e) : "none");
}

static int listener(unsigned port, int backlog) {
	int l = stream(0);
	OK(bindTo(l, VMADDR_CID_ANY, port));
	OK(listen(l, backlog));
	return l;
}

// pair makes a connection.
static void pair(int l, unsigned port, int sv[2]) {
	sv[0] = stream(0);
	OK(connectTo(sv[0], VMADDR_CID_LOCAL, port));
	sv[1] = accept(l, 0, 0);
	OK(sv[1]);
}

static void kinds(void) {
	for (int k = 0; k < 12; k++) {
		int fd = socket(AF_VSOCK, k, 0);
		printf("kind %d: %s\n", k, fd < 0 ? strerror(errno) : "ok");
		if (fd >= 0) close(fd);
	}
	OK(socket(AF_VSOCK, SOCK_STREAM, 1));
	OK(socket(AF_VSOCK, SOCK_STREAM, AF_VSOCK));
	int sv[2];
	SHOW(socketpair(AF_VSOCK, SOCK_STREAM, 0, sv));
	int fd = open("/dev/vsock", O_RDONLY);
	OK(fd);
	unsigned cid = 0;
	SHOW(ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid));
	SHOW(ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, 8));
	SHOW(ioctl(fd, FIONREAD, &cid));
	SHOW(read(fd, buf, 1));
	close(fd);
}

static void unconnected(void) {
	int s = stream(0);
	name("new", s, getsockname);
	name("new, peer", s, getpeername);
	events("new", s);
	SHOW(read(s, buf, 10));
	SHOW(read(s, buf, 0));
	SHOW(write(s, buf, 10));
	SHOW(send(s, buf, 10, MSG_OOB));
	struct sockaddr_vm a = addr(1, 1);
	SHOW(sendto(s, buf, 10, 0, (void *)&a, sizeof a));
	SHOW(shutdown(s, SHUT_RD));
	SHOW(shutdown(s, 3));
	SHOW(listen(s, 1));
	SHOW(accept(s, 0, 0));
	int n = 0;
	SHOW(ioctl(s, FIONREAD, &n));
	SHOW(ioctl(s, TIOCOUTQ, &n));
	SHOW(lseek(s, 0, SEEK_SET));
	SHOW(bindTo(s, 77, 1));
	SHOW(bind(s, (void *)&a, sizeof a - 1));
	SHOW(bind(s, (void *)&a, sizeof a + 4));
	a.svm_family = AF_INET;
	SHOW(bind(s, (void *)&a, sizeof a));
	SHOW(connect(s, (void *)&a, sizeof a));
	a = addr(1, 1), a.svm_flags = 2;
	SHOW(connect(s, (void *)&a, sizeof a));
	SHOW(connectTo(s, 3, 1));
	SHOW(connectTo(s, VMADDR_CID_LOCAL, 1));
	pending("refused", s);
	pending("refused", s);
	events("refused", s);
	name("refused", s, getsockname);
	SHOW(connectTo(s, VMADDR_CID_HOST, 1));
	SHOW(connectTo(s, VMADDR_CID_LOCAL, 1));
	close(s);
	s = stream(SOCK_NONBLOCK);
	SHOW(connectTo(s, VMADDR_CID_LOCAL, 1) && errno == EINPROGRESS);
	events("refused", s);
	pending("refused", s);
	pending("refused", s);
	SHOW(bindTo(s, VMADDR_CID_ANY, 1234));
	close(s);
	int q = socket(AF_VSOCK, SOCK_SEQPACKET, 0);
	SHOW(connectTo(q, 3, 1));
	close(q);
}

static void addresses(void) {
	int a = stream(0), b = stream(0), c = stream(0);
	OK(bindTo(a, VMADDR_CID_ANY, 5000));
	SHOW(bindTo(a, VMADDR_CID_ANY, 5001));
	SHOW(bindTo(b, VMADDR_CID_ANY, 5000));
	SHOW(bindTo(b, VMADDR_CID_LOCAL, 5000));
	SHOW(bindTo(b, VMADDR_CID_HOST, 5001));
	OK(bindTo(b, VMADDR_CID_LOCAL, 5001));
	SHOW(bindTo(c, VMADDR_CID_ANY, 5001));
	OK(bindTo(c, VMADDR_CID_ANY, VMADDR_PORT_ANY));
	name("a", a, getsockname);
	name("b", b, getsockname);
	name("c", c, getsockname);
	close(a);
	a = stream(0);
	OK(bindTo(a, VMADDR_CID_LOCAL, 1000));
	OK(listen(a, 0));
	OK(listen(a, 5));
	SHOW(connectTo(a, VMADDR_CID_LOCAL, 5001));
	events("listening", a);
	SHOW(shutdown(a, SHUT_RDWR));
	SHOW(read(a, buf, 1));
	SHOW(write(a, buf, 1));
	SHOW(connectTo(b, VMADDR_CID_LOCAL, 5001)); // to itself, which does not listen
	close(a), close(b), close(c);
}

static void options(void) {
	int s = stream(0);
	uint64_t v = 0;
	socklen_t n = sizeof v;
	for (int o = 0; o < 10; o++) {
		struct timeval tv[2] = {0};
		n = sizeof tv;
		int r = getsockopt(s, AF_VSOCK, o, tv, &n);
		printf("option %d: %s length %d value %ld %ld\n", o, r ? strerror(errno) : "ok", n, tv[0].tv_sec, tv[0].tv_usec);
	}
	n = 4;
	SHOW(getsockopt(s, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &v, &n));
	n = sizeof v;
	SHOW(getsockopt(s, AF_VSOCK + 1, SO_VM_SOCKETS_BUFFER_SIZE, &v, &n));
	SHOW(getsockopt(s, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &v, (void *)8));
	static const struct { int o; uint64_t v; } sets[] = {{0, 1}, {0, 1 << 20}, {2, 1 << 22}, {0, 1 << 20}, {1, 1 << 21}, {0, 5}, {2, 1000}, {1, 1}, {0, 5}, {0, 5000}};
	for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
		v = sets[i].v;
		int r = setsockopt(s, AF_VSOCK, sets[i].o, &v, sizeof v);
		printf("set %d to %lu: %d;", sets[i].o, sets[i].v, r);
		for (int o = 0; o < 3; o++) {
			n = sizeof v;
			getsockopt(s, AF_VSOCK, o, &v, &n);
			printf(" %lu", v);
		}
		puts("");
	}
	SHOW(setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &v, 4));
	SHOW(setsockopt(s, AF_VSOCK, 9, &v, 8));
	SHOW(setsockopt(s, 6, 0, &v, 8));
	struct timeval tv = {3, 500000};
	SHOW(setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof tv));
	SHOW(setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, 8));
	tv.tv_usec = 1000000;
	SHOW(setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof tv));
	tv = (struct timeval){-1, 0};
	SHOW(setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof tv));
	n = sizeof tv;
	SHOW(getsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, &n));
	printf("%ld %ld\n", tv.tv_sec, tv.tv_usec);
	int i = 0;
	static const int generic[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_SNDBUF, SO_RCVBUF};
	for (unsigned k = 0; k < sizeof generic / sizeof *generic; k++) {
		n = sizeof i;
		getsockopt(s, SOL_SOCKET, generic[k], &i, &n);
		printf("SOL_SOCKET %d: %d\n", generic[k], i);
	}
	close(s);
}

static void streams(void) {
	int l = listener(6000, 1), sv[2];
	pair(l, 6000, sv);
	name("client", sv[0], getsockname);
	name("client's peer", sv[0], getpeername);
	name("server", sv[1], getsockname);
	name("server's peer", sv[1], getpeername);
	SHOW(connectTo(sv[0], 1, 6000));
	SHOW(bindTo(sv[0], 1, 6001));
	SHOW(listen(sv[0], 1));
	SHOW(accept(sv[0], 0, 0));
	events("fresh", sv[0]);
	SHOW(write(sv[0], "one", 3));
	SHOW(write(sv[0], "two", 3));
	SHOW(write(sv[0], "", 0));
	events("written to", sv[1]);
	SHOW(recv(sv[1], buf, 2, MSG_PEEK));
	SHOW(recv(sv[1], buf, 4, MSG_WAITALL));
	SHOW(read(sv[1], buf, 100));
	SHOW(memcmp(buf, "wo", 2));
	SHOW(recv(sv[1], buf, 100, MSG_DONTWAIT));
	SHOW(recv(sv[1], buf, 100, MSG_OOB));
	SHOW(recv(sv[1], buf, 300000, MSG_WAITALL));
	SHOW(recv(sv[1], buf, 0, 0));
	struct sockaddr_vm a = addr(1, 6000);
	SHOW(sendto(sv[0], buf, 1, 0, (void *)&a, sizeof a));
	SHOW(write(sv[0], buf, 5));
	SHOW(read(sv[1], buf, 10));
	struct timeval tv = {0, 50000};
	SHOW(setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	SHOW(read(sv[1], buf, 10));

	// Without a reader.
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	long total = 0, n;
	while ((n = write(sv[0], buf, 100000)) > 0) total += n;
	printf("%s fit: %s\n", total >= 200000 && total <= 256 << 10 ? "as many as shall" : "not as many as shall", strerror(errno));
	events("full", sv[0]);
	while (total > 0 && (n = read(sv[1], buf, 4096)) > 0) total -= n;
	printf("%ld left\n", total);
	events("emptied", sv[0]);

	// A small buffer.
	uint64_t size = 1000;
	SHOW(setsockopt(sv[1], AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof size));
	settle();
	SHOW(write(sv[0], buf, 5000));
	SHOW(read(sv[1], buf, 5000));
	events("after that", sv[0]);

	// The ends, one after the other.
	SHOW(shutdown(sv[0], SHUT_WR));
	SHOW(write(sv[0], buf, 1));
	events("no more to write", sv[0]);
	events("nothing more to read", sv[1]);
	SHOW(read(sv[1], buf, 1));
	SHOW(write(sv[1], "still", 5));
	SHOW(read(sv[0], buf, 1));
	SHOW(shutdown(sv[1], SHUT_RD));
	events("reads no more", sv[1]);
	SHOW(read(sv[1], buf, 1));
	SHOW(shutdown(sv[0], SHUT_RD));
	SHOW(read(sv[0], buf, 10));
	name("client's peer", sv[0], getpeername);
	name("server's peer", sv[1], getpeername);
	events("client in the end", sv[0]);
	events("server in the end", sv[1]);
	SHOW(write(sv[1], buf, 1));
	close(sv[0]), close(sv[1]);

	// A peer that goes.
	pair(l, 6000, sv);
	SHOW(write(sv[0], "last words", 10));
	close(sv[0]);
	events("peer gone, unread", sv[1]);
	SHOW(write(sv[1], buf, 1));
	SHOW(read(sv[1], buf, 100));
	events("peer gone", sv[1]);
	SHOW(read(sv[1], buf, 100));
	SHOW(write(sv[1], buf, 1));
	pending("peer gone", sv[1]);
	SHOW(connectTo(sv[1], 1, 6000));
	SHOW(shutdown(sv[1], SHUT_WR));
	close(sv[1]);
	pair(l, 6000, sv);
	SHOW(write(sv[1], "unread", 6));
	close(sv[0]);
	settle();
	events("peer gone that had something to read", sv[1]);
	SHOW(read(sv[1], buf, 100));
	SHOW(write(sv[1], buf, 1));
	pending("peer gone that had something to read", sv[1]);
	close(sv[1]);
	pair(l, 6000, sv);
	SHOW(shutdown(sv[0], SHUT_RDWR));
	events("shut", sv[0]);
	events("peer shut", sv[1]);
	SHOW(read(sv[1], buf, 100));
	SHOW(write(sv[1], buf, 100));
	SHOW(read(sv[0], buf, 100));
	SHOW(write(sv[0], buf, 100));
	name("shut", sv[0], getpeername);
	name("peer shut", sv[1], getpeername);
	close(sv[0]), close(sv[1]);
	close(l);
}

static void backlog(void) {
	int l = listener(7000, 1), c[4], n = 0;
	for (int i = 0; i < 4; i++) {
		c[i] = stream(0);
		if (connectTo(c[i], VMADDR_CID_LOCAL, 7000)) printf("connection %d: %s\n", i, strerror(errno));
		else n++;
	}
	printf("%d of 4 wait\n", n);
	events("they wait", l);
	close(accept(l, 0, 0));
	fcntl(l, F_SETFL, O_NONBLOCK);
	int a = accept4(l, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
	printf("accept4: %d %d\n", fcntl(a, F_GETFL) & O_NONBLOCK ? 1 : 0, fcntl(a, F_GETFD));
	SHOW(accept(l, 0, 0));
	SHOW(accept4(l, 0, 0, 1));
	events("nobody waits", l);
	int late = stream(0);
	OK(connectTo(late, VMADDR_CID_LOCAL, 7000));
	SHOW(write(late, "x", 1));
	close(l);
	events("never accepted", late);
	SHOW(read(late, buf, 1));
	SHOW(write(late, "x", 1));
	SHOW(connectTo(stream(0), VMADDR_CID_LOCAL, 7000));
	l = listener(7000, 1);
	close(l);
	for (int i = 0; i < 4; i++) close(c[i]);
	close(a), close(late);
}

static int main_thread;

static void *later(void *p) {
	await_asleep(&main_thread);
	int s = *(int *)p;
	write(s, "woken", 5);
	return 0;
}

static void nothing(int s) {}

static void *interrupt(void *thread) {
	await_asleep(&main_thread);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return 0;
}

#define INTERRUPTED(call) \
	do { \
		pthread_create(&t, 0, interrupt, &self); \
		SHOW(call); \
		pthread_join(t, 0); \
	} while (0)

static void waits(void) {
	main_thread = getpid();
	int l = listener(8000, 5), sv[2];
	pair(l, 8000, sv);
	int ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN | EPOLLET, {.fd = sv[0]}}, out[4];
	epoll_ctl(ep, EPOLL_CTL_ADD, sv[0], &e);
	pthread_t t;
	pthread_create(&t, 0, later, &sv[1]);
	SHOW(read(sv[0], buf, 100));
	pthread_join(t, 0);
	SHOW(epoll_wait(ep, out, 4, 0));
	pthread_create(&t, 0, later, &sv[1]);
	SHOW(epoll_wait(ep, out, 4, 5000));
	SHOW(epoll_wait(ep, out, 4, 0));
	pthread_join(t, 0);
	SHOW(write(sv[1], "more", 4));
	SHOW(epoll_wait(ep, out, 4, 5000));
	SHOW(read(sv[0], buf, 100));
	struct sigaction sa = {.sa_handler = nothing};
	sigaction(SIGUSR1, &sa, 0);
	pthread_t self = pthread_self();
	INTERRUPTED(read(sv[0], buf, 100));
	INTERRUPTED(accept(l, 0, 0));
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, 0);
	struct timeval long_one = {1000, 0}, tv = {0, 200000};
	SHOW(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &long_one, sizeof long_one));
	INTERRUPTED(read(sv[0], buf, 100));
	SHOW(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	SHOW(accept(l, 0, 0));
	SHOW(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
	SHOW(write(sv[0], buf, sizeof buf));
	SHOW(write(sv[0], buf, sizeof buf));
	close(sv[0]), close(sv[1]), close(l), close(ep);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	kinds();
	unconnected();
	addresses();
	options();
	streams();
	backlog();
	waits();
	return 0;
}

// inet: TCP and UDP sockets over loopback, IPv4 and IPv6: how they come up, what is
// sent, how they end, what they tell, and which errors there are.
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

static int family;
static const char *version;
union addr { struct sockaddr a; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_storage s; };

static union addr at(int port) {
	union addr a;
	memset(&a, 0, sizeof a);
	if (family == AF_INET)
		a.v4 = (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}};
	else
		a.v6 = (struct sockaddr_in6){AF_INET6, htons(port), 0, IN6ADDR_LOOPBACK_INIT};
	return a;
}

#define LEN (family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6))
#define ADDR(x) (&(x).a), LEN

static union addr own(int fd) {
	union addr a = {0};
	socklen_t n = sizeof a;
	getsockname(fd, &a.a, &n);
	return a;
}

static void name(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd, int port) {
	union addr a = {0};
	socklen_t n = sizeof a;
	char s[100] = "?";
	if (result(what, get(fd, &a.a, &n))) return;
	inet_ntop(a.a.sa_family, a.a.sa_family == AF_INET ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr, s, sizeof s);
	printf("\t%d bytes, family %d, %s, port %s\n", n, a.a.sa_family, s, ntohs(a.v4.sin_port) == port ? "as expected" : a.v4.sin_port ? "some" : "none");
}

// settled waits until what happens on the other side has come through.
static int settled(int fd, int want) {
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
	for (int i = 0; i < 2000; i++) {
		poll(&p, 1, 0);
		if ((p.revents & want) == want) break;
		usleep(1000);
	}
	return p.revents;
}

static int option(int fd, int level, int opt) {
	int v = -1;
	socklen_t n = sizeof v;
	if (getsockopt(fd, level, opt, &v, &n)) return -errno;
	return v;
}

static int set(int fd, int level, int opt, int v) { return setsockopt(fd, level, opt, &v, sizeof v) ? -errno : 0; }

static int listener(void) {
	union addr a = at(0);
	int s = socket(family, SOCK_STREAM, 0);
	if (bind(s, ADDR(a)) || listen(s, 16)) perror("listener");
	return s;
}

static int dial(int s) {
	union addr a = own(s);
	int c = socket(family, SOCK_STREAM, 0);
	if (connect(c, ADDR(a))) { perror("dial"); close(c); return -1; }
	return c;
}

static void creation(void) {
	static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RDM, 0, 11};
	static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, 255, 256, -1};
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 6; j++) {
			int fd = socket(family, kinds[i], protocols[j]);
			printf("%s %d %d: ", version, kinds[i], protocols[j]);
			result("socket", fd < 0 ? -1 : 0);
			if (fd >= 0) {
				printf("\ttype %d, protocol %d, domain %d\n", option(fd, SOL_SOCKET, SO_TYPE), option(fd, SOL_SOCKET, SO_PROTOCOL), option(fd, SOL_SOCKET, SO_DOMAIN));
				close(fd);
			}
		}
	int sv[2];
	SHOW(socketpair(family, SOCK_STREAM, 0, sv));
}

static void binding(void) {
	union addr a = at(0), b, w;
	int s = socket(family, SOCK_STREAM, 0), t = socket(family, SOCK_STREAM, 0);
	name("getsockname unbound", getsockname, s, 0);
	name("getpeername unbound", getpeername, s, 0);
	printf("fresh %#x\n", settled(s, 0));
	SHOW(bind(s, &a.a, 2));
	SHOW(bind(s, &a.a, LEN - 5));
	w = a;
	w.a.sa_family = AF_UNIX;
	SHOW(bind(s, ADDR(w)));
	w = a;
	if (family == AF_INET) w.v4.sin_addr.s_addr = htonl(0xc0000201); else inet_pton(AF_INET6, "2001:db8::1", &w.v6.sin6_addr);
	SHOW(bind(s, ADDR(w)));
	SHOW(bind(s, ADDR(a)));
	b = own(s);
	name("getsockname", getsockname, s, ntohs(b.v4.sin_port));
	SHOW(bind(s, ADDR(a)));
	SHOW(bind(t, ADDR(b)));
	SHOW(set(t, SOL_SOCKET, SO_REUSEADDR, 1));
	SHOW(bind(t, ADDR(b)));
	close(s);
	s = socket(family, SOCK_STREAM, 0);
	SHOW(set(s, SOL_SOCKET, SO_REUSEADDR, 1));
	SHOW(bind(s, ADDR(b)));
	SHOW(bind(t, ADDR(b)));
	SHOW(listen(s, 1));
	SHOW(listen(t, 1));
	close(t);
	t = socket(family, SOCK_DGRAM, 0);
	SHOW(bind(t, ADDR(b))); // another protocol's ports are others
	SHOW(listen(t, 1));
	SHOW(accept(t, 0, 0));
	int u = socket(family, SOCK_DGRAM, 0);
	SHOW(bind(u, ADDR(b)));
	close(u), close(t);
	t = socket(family, SOCK_STREAM, 0);
	SHOW(accept(t, 0, 0));
	SHOW(listen(t, 1)); // gets a port
	b = own(t);
	printf("port %d\n", b.v4.sin_port != 0);
	SHOW(option(t, SOL_SOCKET, SO_ACCEPTCONN));
	SHOW(connect(t, ADDR(b)));
	close(t), close(s);
	int x = socket(family, SOCK_STREAM, 0), y = socket(family, SOCK_STREAM, 0);
	set(x, SOL_SOCKET, SO_REUSEPORT, 1), set(y, SOL_SOCKET, SO_REUSEPORT, 1);
	SHOW(bind(x, ADDR(a)));
	b = own(x);
	SHOW(bind(y, ADDR(b)));
	SHOW(listen(x, 1));
	SHOW(listen(y, 1));
	close(x), close(y);
}

static void stream(void) {
	int s = listener(), c = dial(s), n = -1;
	union addr from;
	socklen_t len = sizeof from;
	int x = accept4(s, &from.a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	union addr ca = own(c), sa = own(s);
	printf("accepted: %d bytes, flags %d %#x, port %s\n", len, fcntl(x, F_GETFD), fcntl(x, F_GETFL) & O_NONBLOCK,
		from.v4.sin_port == ca.v4.sin_port ? "the client's" : "another");
	name("accepted's own", getsockname, x, ntohs(sa.v4.sin_port));
	name("accepted's peer", getpeername, x, ntohs(ca.v4.sin_port));
	name("client's peer", getpeername, c, ntohs(sa.v4.sin_port));
	SHOW(connect(c, ADDR(sa)));
	SHOW(bind(c, ADDR(sa)));
	SHOW(listen(c, 1));
	printf("listener %#x, connected %#x %#x\n", settled(s, 0), settled(c, POLLOUT), settled(x, POLLOUT));
	char buf[1000];
	SHOW(read(x, buf, sizeof buf));
	SHOW(write(c, "hello", 5));
	printf("readable %#x\n", settled(x, POLLIN));
	SHOW(ioctl(x, FIONREAD, &n));
	printf("%d\n", n);
	for (int i = 0; i < 1000 && !ioctl(c, TIOCOUTQ, &n) && n; i++) usleep(1000);
	printf("on the way: %d\n", n);
	SHOW(recv(x, buf, 2, MSG_PEEK));
	SHOW(recv(x, buf, 2, 0));
	SHOW(recv(x, buf, 2, MSG_TRUNC));
	SHOW(recv(x, buf, 10, 0));
	SHOW(recv(x, buf, 10, MSG_DONTWAIT));
	SHOW(recv(x, buf, 10, MSG_OOB));
	struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
	SHOW(sendmsg(c, &m, 0));
	SHOW(sendto(c, "to", 2, 0, ADDR(sa)));
	settled(x, POLLIN);
	fcntl(x, F_SETFL, 0);
	len = sizeof from;
	SHOW(recvfrom(x, buf, 7, MSG_WAITALL, &from.a, &len));
	printf("%.7s\n", buf);
	struct timeval tv = {0, 20000};
	SHOW(setsockopt(x, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	SHOW(recv(x, buf, 10, 0));
	SHOW(send(c, "x", 1, MSG_MORE));
	SHOW(send(c, "y", 1, 0));
	SHOW(recv(x, buf, 2, MSG_WAITALL));
	// Half closed.
	SHOW(shutdown(c, 7));
	SHOW(shutdown(c, SHUT_WR));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	printf("half closed %#x %#x\n", settled(x, POLLRDHUP), settled(c, 0));
	SHOW(recv(x, buf, 10, 0));
	SHOW(send(x, "still", 5, 0));
	SHOW(recv(c, buf, 10, 0));
	SHOW(shutdown(x, SHUT_RDWR));
	printf("closed %#x %#x\n", settled(c, POLLHUP), settled(x, POLLHUP));
	SHOW(recv(c, buf, 10, 0));
	SHOW(recv(x, buf, 10, 0));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	SHOW(getpeername(c, &from.a, &len));
	SHOW(shutdown(c, SHUT_RDWR));
	close(c), close(x);
	// What was not read is answered with a reset.
	c = dial(s), x = accept(s, 0, 0);
	write(c, "unread", 6);
	settled(x, POLLIN);
	close(x);
	printf("reset %#x\n", settled(c, POLLHUP | POLLERR));
	SHOW(recv(c, buf, 10, 0));
	SHOW(recv(c, buf, 10, 0));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	printf("after %#x\n", settled(c, 0));
	close(c);
	// So is a linger of no time.
	c = dial(s), x = accept(s, 0, 0);
	struct linger l = {1, 0};
	SHOW(setsockopt(x, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	close(x);
	printf("reset %#x\n", settled(c, POLLHUP | POLLERR));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	printf("taken %#x\n", settled(c, 0));
	SHOW(recv(c, buf, 10, 0));
	close(c);
	// Writing to one that has closed: first nothing, then a reset, then a broken pipe.
	c = dial(s), x = accept(s, 0, 0);
	close(x);
	settled(c, POLLRDHUP);
	SHOW(recv(c, buf, 10, 0));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	settled(c, POLLHUP);
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	close(c);
	// A shutdown for reading.
	c = dial(s), x = accept(s, 0, 0);
	SHOW(shutdown(c, SHUT_RD));
	printf("shut %#x\n", settled(c, POLLIN | POLLRDHUP));
	SHOW(recv(c, buf, 10, 0));
	close(c), close(x), close(s);
}

static void refused(void) {
	int s = listener();
	union addr a = own(s);
	close(s);
	int c = socket(family, SOCK_STREAM, 0);
	SHOW(connect(c, ADDR(a)));
	printf("refused %#x\n", settled(c, 0));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	char b[1];
	SHOW(recv(c, b, 1, 0));
	s = socket(family, SOCK_STREAM, 0);
	set(s, SOL_SOCKET, SO_REUSEADDR, 1), bind(s, ADDR(a)), listen(s, 1);
	SHOW(connect(c, ADDR(a))); // the same socket, now with somebody there
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	struct sockaddr unspec = {AF_UNSPEC};
	SHOW(connect(c, &unspec, sizeof unspec));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	close(c), close(s);
	c = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int r = connect(c, ADDR(a));
	printf("connect: %d\n", r);
	printf("refused %#x\n", settled(c, POLLERR));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	r = connect(c, ADDR(a));
	printf("again: %d %s\n", r, strerror(errno));
	r = connect(c, ADDR(a));
	printf("and again: %d %s\n", r, errno == EINPROGRESS || errno == ECONNREFUSED ? "tries" : strerror(errno));
	close(c);
	c = socket(family, SOCK_STREAM, 0);
	SHOW(connect(c, &a.a, 3));
	a.a.sa_family = AF_UNIX;
	SHOW(connect(c, ADDR(a)));
	SHOW(send(c, "x", 1, MSG_NOSIGNAL));
	SHOW(recv(c, b, 1, 0));
	SHOW(shutdown(c, SHUT_WR));
	close(c);
	s = listener();
	a = own(s);
	c = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	r = connect(c, ADDR(a));
	printf("in progress: %d\n", r == 0 || errno == EINPROGRESS);
	printf("connected %#x\n", settled(c, POLLOUT));
	SHOW(option(c, SOL_SOCKET, SO_ERROR));
	int x = accept(s, 0, 0);
	SHOW(send(x, "hi", 2, 0));
	settled(c, POLLIN);
	SHOW(recv(c, b, 1, 0));
	close(c), close(x);
	// Nobody's address: the machine's own.
	if (family == AF_INET) a.v4.sin_addr.s_addr = 0; else a.v6.sin6_addr = in6addr_any;
	c = socket(family, SOCK_STREAM, 0);
	SHOW(connect(c, ADDR(a)));
	name("peer", getpeername, c, ntohs(a.v4.sin_port));
	close(c), close(s);
}

static void datagrams(void) {
	union addr a = at(0), b, from;
	int x = socket(family, SOCK_DGRAM, 0), y = socket(family, SOCK_DGRAM, 0), n;
	char buf[70000];
	printf("fresh %#x\n", settled(x, 0));
	SHOW(send(x, "x", 1, 0));
	SHOW(recv(x, buf, 1, MSG_DONTWAIT));
	SHOW(bind(x, ADDR(a)));
	b = own(x);
	SHOW(sendto(y, "hello", 5, 0, ADDR(b)));
	SHOW(sendto(y, "", 0, 0, ADDR(b)));
	SHOW(sendto(y, buf, 65000, 0, ADDR(b)));
	SHOW(sendto(y, buf, 65508, 0, ADDR(b)) == 65508);
	SHOW(sendto(y, buf, 70000, 0, ADDR(b)));
	SHOW(sendto(y, "x", 1, 0, &b.a, 3));
	a = b;
	a.v4.sin_port = 0;
	SHOW(sendto(y, "x", 1, 0, ADDR(a)));
	settled(x, POLLIN);
	SHOW(ioctl(x, FIONREAD, &n));
	printf("%d\n", n);
	SHOW(recv(x, buf, 2, MSG_PEEK | MSG_TRUNC));
	socklen_t len = sizeof from;
	SHOW(recvfrom(x, buf, 2, MSG_TRUNC, &from.a, &len));
	union addr ya = own(y);
	printf("from %d bytes, port %s\n", len, from.v4.sin_port == ya.v4.sin_port ? "the sender's" : "another");
	SHOW(recv(x, buf, 2, 0));
	struct iovec v = {buf, 100};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof from};
	SHOW(recvmsg(x, &m, 0));
	printf("flags %#x, name %d\n", m.msg_flags & MSG_TRUNC, m.msg_namelen);
	while (recv(x, buf, 1, MSG_DONTWAIT) >= 0) ;
	SHOW(connect(y, ADDR(b)));
	name("peer", getpeername, y, ntohs(b.v4.sin_port));
	SHOW(send(y, "connected", 9, 0));
	SHOW(recv(x, buf, 100, 0));
	// One that is connected takes from its peer only.
	int z = socket(family, SOCK_DGRAM, 0);
	ya = own(y);
	SHOW(sendto(z, "third", 5, 0, ADDR(ya)));
	SHOW(sendto(x, "peer", 4, 0, ADDR(ya)));
	SHOW(recv(y, buf, 100, 0));
	struct sockaddr none = {AF_UNSPEC};
	SHOW(connect(y, &none, sizeof none));
	name("disconnected", getpeername, y, 0);
	SHOW(send(y, "x", 1, 0));
	// Nobody there: an error comes back, once.
	SHOW(connect(y, ADDR(b)));
	close(x);
	SHOW(send(y, "x", 1, 0));
	printf("refused %#x\n", settled(y, POLLERR));
	SHOW(recv(y, buf, 1, 0));
	SHOW(recv(y, buf, 1, MSG_DONTWAIT));
	SHOW(send(y, "x", 1, 0));
	settled(y, POLLERR);
	SHOW(send(y, "x", 1, 0));
	settled(y, POLLERR);
	SHOW(option(y, SOL_SOCKET, SO_ERROR));
	SHOW(option(y, SOL_SOCKET, SO_ERROR));
	SHOW(shutdown(y, SHUT_WR));
	SHOW(send(y, "x", 1, MSG_NOSIGNAL));
	SHOW(shutdown(z, SHUT_RD));
	close(y), close(z);
	struct mmsghdr mm[3] = {0};
	struct iovec vv[3] = {{"one", 3}, {"three", 5}, {"x", 1}};
	x = socket(family, SOCK_DGRAM, 0), y = socket(family, SOCK_DGRAM, 0);
	a = at(0), bind(x, ADDR(a)), b = own(x), connect(y, ADDR(b));
	for (int i = 0; i < 3; i++) mm[i].msg_hdr.msg_iov = &vv[i], mm[i].msg_hdr.msg_iovlen = 1;
	SHOW(sendmmsg(y, mm, 3, 0));
	char bb[3][10];
	for (int i = 0; i < 3; i++) vv[i] = (struct iovec){bb[i], 4};
	settled(x, POLLIN);
	usleep(20000);
	SHOW(recvmmsg(x, mm, 3, MSG_WAITFORONE, 0));
	for (int i = 0; i < 3; i++) printf("%d %#x\n", mm[i].msg_len, mm[i].msg_hdr.msg_flags);
	close(x), close(y);
}

static void control(void) {
	int x = socket(family, SOCK_DGRAM, 0), y = socket(family, SOCK_DGRAM, 0), on = 1;
	union addr a = at(0);
	bind(x, ADDR(a)), a = own(x);
	if (family == AF_INET) {
		SHOW(set(x, SOL_IP, IP_PKTINFO, 1));
		SHOW(set(x, SOL_IP, IP_RECVTTL, 1));
		SHOW(set(x, SOL_IP, IP_RECVTOS, 1));
		SHOW(set(y, SOL_IP, IP_TTL, 7));
		SHOW(set(y, SOL_IP, IP_TOS, 0x10));
	} else {
		SHOW(set(x, SOL_IPV6, IPV6_RECVPKTINFO, 1));
		SHOW(set(x, SOL_IPV6, IPV6_RECVHOPLIMIT, 1));
		SHOW(set(x, SOL_IPV6, IPV6_RECVTCLASS, 1));
		SHOW(set(y, SOL_IPV6, IPV6_UNICAST_HOPS, 7));
		SHOW(set(y, SOL_IPV6, IPV6_TCLASS, 0x10));
	}
	SHOW(sendto(y, "x", 1, 0, ADDR(a)));
	char buf[10], c[200];
	struct iovec v = {buf, 10};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
	SHOW(recvmsg(x, &m, 0));
	printf("flags %#x\n", m.msg_flags);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		printf("control %d %d, %d bytes:", h->cmsg_level, h->cmsg_type, (int)(h->cmsg_len - CMSG_LEN(0)));
		for (int i = 0; i < (int)(h->cmsg_len - CMSG_LEN(0)); i++) printf(" %02x", CMSG_DATA(h)[i]);
		puts("");
	}
	SHOW(sendto(y, "x", 1, 0, ADDR(a)));
	m.msg_controllen = 4;
	SHOW(recvmsg(x, &m, 0));
	printf("flags %#x, control %d\n", m.msg_flags, (int)m.msg_controllen);
	close(x), close(y);
}

static void options(void) {
	int s = socket(family, SOCK_STREAM, 0), u = socket(family, SOCK_DGRAM, 0);
	static const struct { int level, name; const char *text; } all[] = {
#define O(l, n) {l, n, #n}
		O(SOL_SOCKET, SO_REUSEADDR), O(SOL_SOCKET, SO_REUSEPORT), O(SOL_SOCKET, SO_KEEPALIVE), O(SOL_SOCKET, SO_BROADCAST),
		O(SOL_SOCKET, SO_PRIORITY), O(SOL_SOCKET, SO_ACCEPTCONN), O(SOL_SOCKET, SO_ERROR), O(SOL_SOCKET, SO_RCVLOWAT),
		O(SOL_SOCKET, SO_TIMESTAMP), O(SOL_SOCKET, SO_DONTROUTE), O(SOL_SOCKET, SO_MARK),
		O(IPPROTO_TCP, TCP_NODELAY), O(IPPROTO_TCP, TCP_CORK), O(IPPROTO_TCP, TCP_KEEPIDLE), O(IPPROTO_TCP, TCP_KEEPINTVL),
		O(IPPROTO_TCP, TCP_KEEPCNT), O(IPPROTO_TCP, TCP_USER_TIMEOUT), O(IPPROTO_TCP, TCP_SYNCNT), O(IPPROTO_TCP, TCP_DEFER_ACCEPT),
		O(IPPROTO_TCP, TCP_QUICKACK), O(IPPROTO_TCP, TCP_FASTOPEN), O(IPPROTO_TCP, TCP_NOTSENT_LOWAT), O(IPPROTO_TCP, 999),
		O(IPPROTO_IP, IP_TOS), O(IPPROTO_IP, IP_TTL), O(IPPROTO_IP, IP_PKTINFO), O(IPPROTO_IP, IP_RECVERR), O(IPPROTO_IP, IP_MULTICAST_TTL),
		O(IPPROTO_IP, IP_MULTICAST_LOOP), O(IPPROTO_IP, IP_FREEBIND), O(IPPROTO_IP, 999),
		O(IPPROTO_IPV6, IPV6_V6ONLY), O(IPPROTO_IPV6, IPV6_UNICAST_HOPS), O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), O(IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
		O(IPPROTO_IPV6, IPV6_TCLASS), O(IPPROTO_IPV6, IPV6_RECVPKTINFO), O(IPPROTO_IPV6, IPV6_RECVERR),
		O(77, 1),
	};
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		for (int k = 0; k < 2; k++) {
			int fd = k ? u : s, was = option(fd, all[i].level, all[i].name);
			int one = set(fd, all[i].level, all[i].name, 1), is = option(fd, all[i].level, all[i].name);
			printf("%s %s %d: %d, set %d, then %d, -2: %d, ", version, all[i].text, k, was, one, is, set(fd, all[i].level, all[i].name, -2));
			printf("0: %d, ", set(fd, all[i].level, all[i].name, 0));
			char b = 1;
			printf("byte: %d\n", setsockopt(fd, all[i].level, all[i].name, &b, 1) ? -errno : 0);
		}
	close(s), close(u);
	s = socket(family, SOCK_STREAM, 0);
	struct linger l = {1, 5};
	socklen_t n = sizeof l;
	SHOW(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, 4));
	SHOW(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	SHOW(getsockopt(s, SOL_SOCKET, SO_LINGER, &l, &n));
	printf("linger %d %d, %d\n", l.l_onoff, l.l_linger, n);
	SHOW(set(s, SOL_SOCKET, SO_RCVBUF, 20000));
	SHOW(option(s, SOL_SOCKET, SO_RCVBUF));
	SHOW(set(s, SOL_SOCKET, SO_SNDBUF, 1));
	SHOW(option(s, SOL_SOCKET, SO_SNDBUF));
	char cc[20] = {0};
	n = sizeof cc;
	SHOW(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, cc, &n));
	SHOW(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	SHOW(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, cc, &n));
	printf("%s %d\n", cc, n);
	SHOW(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7));
	struct tcp_info info;
	n = sizeof info;
	SHOW(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n));
	printf("state %d\n", info.tcpi_state);
	SHOW(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
	SHOW(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nodevice", 8));
	cc[0] = 0, n = sizeof cc;
	SHOW(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, cc, &n));
	printf("%s %d\n", cc, n);
	close(s);
}

static int mover[2];
static void *write_all(void *p) {
	char *big = malloc(4 << 20);
	for (int i = 0; i < 4 << 20; i++) big[i] = i * 7 + i / 1000;
	long n = write(mover[0], big, 4 << 20);
	shutdown(mover[0], SHUT_WR);
	free(big);
	return (void *)n;
}

static void bulk(void) {
	int s = listener();
	mover[0] = dial(s), mover[1] = accept(s, 0, 0);
	pthread_t t;
	pthread_create(&t, 0, write_all, 0);
	char buf[10007];
	long n, all = 0, wrong = 0;
	while ((n = read(mover[1], buf, sizeof buf)) > 0) {
		for (int i = 0; i < n; i++) wrong += buf[i] != (char)((all + i) * 7 + (all + i) / 1000);
		all += n;
	}
	void *r;
	pthread_join(t, &r);
	printf("bulk: written %ld, read %ld, wrong %ld, end %ld\n", (long)r, all, wrong, n);
	close(mover[0]), close(mover[1]);
	// A writer that does not wait, and a reader that takes its time.
	int c = dial(s), x = accept(s, 0, 0), ep = epoll_create1(0);
	fcntl(c, F_SETFL, O_NONBLOCK);
	struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLET, {.fd = c}}, got;
	epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
	SHOW(epoll_wait(ep, &got, 1, 1000));
	printf("events %#x\n", got.events);
	SHOW(epoll_wait(ep, &got, 1, 0));
	while (write(c, buf, sizeof buf) > 0) ;
	printf("full: %s, %#x\n", strerror(errno), settled(c, 0));
	for (int i = 0; i < 1000 && epoll_wait(ep, &got, 1, 10) == 0; i++)
		while (recv(x, buf, sizeof buf, MSG_DONTWAIT) > 0) ;
	printf("events %#x\n", got.events);
	while (recv(x, buf, sizeof buf, MSG_DONTWAIT) > 0) usleep(1000);
	write(x, "back", 4);
	while (epoll_wait(ep, &got, 1, 5000) == 1 && !(got.events & EPOLLIN)) ;
	printf("events %#x\n", got.events & EPOLLIN);
	close(c), close(x), close(ep);
	// A file.
	c = dial(s), x = accept(s, 0, 0);
	int f = open("file", O_CREAT | O_RDWR, 0600);
	write(f, buf, sizeof buf);
	off_t off = 7;
	SHOW(sendfile(c, f, &off, 10000));
	SHOW(recv(x, buf, 10000, MSG_WAITALL));
	int p[2];
	pipe(p);
	write(p[1], "spliced", 7);
	SHOW(splice(p[0], 0, c, 0, 100, 0));
	settled(x, POLLIN);
	SHOW(splice(x, 0, p[1], 0, 100, 0));
	SHOW(read(p[0], buf, 100));
	close(c), close(x), close(s), close(f), close(p[0]), close(p[1]);
}

static void dual(void) {
	int s = socket(AF_INET6, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in6 any = {AF_INET6, 0};
	SHOW(bind(s, (struct sockaddr *)&any, sizeof any));
	SHOW(listen(s, 1));
	SHOW(set(s, SOL_IPV6, IPV6_V6ONLY, 1));
	int port = ntohs(own(s).v6.sin6_port);
	struct sockaddr_in four = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}};
	SHOW(connect(c, (struct sockaddr *)&four, sizeof four));
	union addr from;
	socklen_t n = sizeof from;
	int x = accept(s, &from.a, &n);
	char t[100];
	inet_ntop(AF_INET6, &from.v6.sin6_addr, t, sizeof t);
	printf("from %s, %d bytes\n", t, n);
	int taken = socket(AF_INET, SOCK_STREAM, 0);
	SHOW(bind(taken, (struct sockaddr *)&four, sizeof four));
	close(taken), close(c), close(x), close(s);
	s = socket(AF_INET6, SOCK_STREAM, 0);
	SHOW(set(s, SOL_IPV6, IPV6_V6ONLY, 1));
	SHOW(bind(s, (struct sockaddr *)&any, sizeof any));
	SHOW(listen(s, 1));
	port = ntohs(own(s).v6.sin6_port);
	c = socket(AF_INET, SOCK_STREAM, 0);
	four.sin_port = htons(port);
	SHOW(connect(c, (struct sockaddr *)&four, sizeof four));
	close(c), close(s);
	// A socket of IPv6 to an address of IPv4.
	family = AF_INET;
	s = listener();
	union addr a = own(s);
	struct sockaddr_in6 mapped = {AF_INET6, a.v4.sin_port};
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	c = socket(AF_INET6, SOCK_STREAM, 0);
	SHOW(connect(c, (struct sockaddr *)&mapped, sizeof mapped));
	name("mapped own", getsockname, c, 0);
	name("mapped peer", getpeername, c, ntohs(a.v4.sin_port));
	close(c);
	c = socket(AF_INET6, SOCK_STREAM, 0);
	SHOW(connect(c, &a.a, sizeof a.v4));
	close(c), close(s);
	int u = socket(AF_INET6, SOCK_DGRAM, 0), v = socket(AF_INET, SOCK_DGRAM, 0);
	a = at(0), bind(v, &a.a, sizeof a.v4), a = own(v);
	SHOW(sendto(u, "x", 1, 0, &a.a, sizeof a.v4));
	n = sizeof from;
	SHOW(recvfrom(v, t, 10, 0, &from.a, &n));
	printf("from family %d\n", from.a.sa_family);
	close(u), close(v);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	scratch();
	for (int i = 0; i < 2; i++) {
		family = i ? AF_INET6 : AF_INET, version = i ? "IPv6" : "IPv4";
		puts(version);
		creation();
		binding();
		stream();
		refused();
		datagrams();
		control();
		options();
		bulk();
	}
	dual();
}

// raw: raw sockets: which ICMP types they take, and protocols that nobody else knows.
#include "show.h"
#include <arpa/inet.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/socket.h>

// Addresses that no other program on the same machine uses, so that nothing else comes.
static struct sockaddr_in me = {.sin_family = AF_INET}, other = {.sin_family = AF_INET};
static struct sockaddr_in6 me6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

static const char *name4(in_addr_t a) { return a == me.sin_addr.s_addr ? "me" : a == other.sin_addr.s_addr ? "other" : "somebody"; }

static int open4(int protocol) {
	int s = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, protocol);
	if (bind(s, (struct sockaddr *)&me, sizeof me)) perror("bind");
	return s;
}

// get prints what comes to s within two seconds, if wait is set, or has come.
static void get(const char *what, int s, int wait) {
	unsigned char b[200], *p = b;
	struct sockaddr_storage from = {0};
	socklen_t size = sizeof from;
	struct pollfd f = {s, POLLIN, 0};
	for (;;) {
		if (wait) poll(&f, 1, 2000);
		ssize_t n = recvfrom(s, b, sizeof b, 0, (struct sockaddr *)&from, &size);
		if (n < 0) {
			result(what, n);
			return;
		}
		if (from.ss_family == AF_INET6) {
			struct icmp6_hdr *h = (void *)b;
			int protocol = 0;
			socklen_t l = sizeof protocol;
			getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &protocol, &l);
			if (protocol == IPPROTO_ICMPV6) {
				if ((h->icmp6_type == ICMP6_ECHO_REQUEST || h->icmp6_type == ICMP6_ECHO_REPLY) && h->icmp6_id != htons(getpid())) continue;
				printf("%s: %zd bytes, type %d, code %d, port %d\n", what, n, h->icmp6_type, h->icmp6_code, ((struct sockaddr_in6 *)&from)->sin6_port);
				return;
			}
		} else {
			struct iphdr *h = (void *)b;
			printf("%s: ip %d %d, tos %d, length %d, ttl %d, protocol %d, ", what, h->version, h->ihl, h->tos, ntohs(h->tot_len), h->ttl, h->protocol);
			p += h->ihl * 4;
			printf("%s to %s, ", name4(h->saddr), name4(h->daddr));
			if (h->protocol == IPPROTO_ICMP) {
				printf("%zd bytes, type %d, code %d\n", n, p[0], p[1]);
				return;
			}
		}
		if (p == b) printf("%s: ", what);
		printf("%zd bytes, %.*s\n", n, (int)(b + n - p), p);
		return;
	}
}

static unsigned short sum(void *b, int n) {
	unsigned s = 0;
	for (unsigned short *p = b; n > 0; n -= 2) s += *p++;
	s = (s >> 16) + (s & 0xffff);
	return ~(s + (s >> 16));
}

static void message(int s, int type) {
	struct icmphdr h = {.type = type};
	h.un.echo.id = htons(getpid());
	h.checksum = sum(&h, sizeof h);
	SHOW(sendto(s, &h, sizeof h, 0, (struct sockaddr *)&me, sizeof me));
}

static void filters4(void) {
	printf("- ICMP_FILTER\n");
	int s = open4(IPPROTO_ICMP), all = open4(IPPROTO_ICMP), none = open4(IPPROTO_ICMP);
	struct icmp_filter f = {1};
	socklen_t n = sizeof f;
	SHOW(getsockopt(s, SOL_RAW, ICMP_FILTER, &f, &n));
	printf("%#x %d\n", f.data, n);
	f.data = ~(1 << ICMP_ECHOREPLY);
	SHOW(setsockopt(s, SOL_RAW, ICMP_FILTER, &f, sizeof f));
	f.data = 0x12345678;
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, &f, 8));
	f.data = ~0;
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, &f, 2));
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, &f, 0));
	n = 100;
	SHOW(getsockopt(none, SOL_RAW, ICMP_FILTER, &f, &n));
	printf("%#x %d\n", f.data, n);
	n = 1, f.data = 0;
	SHOW(getsockopt(none, SOL_RAW, ICMP_FILTER, &f, &n));
	printf("%#x %d\n", f.data, n);
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, (void *)8, 4));
	SHOW(setsockopt(none, SOL_RAW, 2, &f, 4));
	SHOW(getsockopt(none, SOL_RAW, 2, &f, &n));
	f.data = ~0;
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, &f, 4));

	message(s, ICMP_ECHO);
	get("all", all, 1), get("all", all, 1);
	get("answers", s, 1), get("answers", s, 0);
	get("none", none, 0);
	message(s, 40); // is none that can be filtered
	get("all", all, 1), get("answers", s, 1), get("none", none, 1);
	f.data = 0;
	SHOW(setsockopt(none, SOL_RAW, ICMP_FILTER, &f, 4));
	message(s, ICMP_ECHOREPLY);
	get("all", all, 1), get("answers", s, 1), get("none", none, 1);
	close(s), close(all), close(none);

	s = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	SHOW(setsockopt(s, SOL_RAW, ICMP_FILTER, &f, 4));
	SHOW(getsockopt(s, SOL_RAW, ICMP_FILTER, &f, &n));
	close(s);
	s = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	SHOW(setsockopt(s, SOL_RAW, ICMP_FILTER, &f, 4));
	SHOW(getsockopt(s, SOL_RAW, ICMP_FILTER, &f, &n));
	close(s);
}

static void filters6(void) {
	printf("- ICMP6_FILTER\n");
	int s = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6), all = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	struct icmp6_filter f;
	socklen_t n = 100;
	memset(&f, 1, sizeof f);
	SHOW(getsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, &n));
	printf("%#x %#x %d\n", f.icmp6_filt[0], f.icmp6_filt[7], n);
	ICMP6_FILTER_SETBLOCKALL(&f);
	SHOW(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof f));
	ICMP6_FILTER_SETPASSALL(&f);
	SHOW(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, 3));
	n = 8;
	SHOW(getsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, &n));
	printf("%#x %#x %#x %d\n", f.icmp6_filt[0], f.icmp6_filt[1], f.icmp6_filt[7], n);
	ICMP6_FILTER_SETBLOCKALL(&f);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f);
	SHOW(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, 100));
	SHOW(setsockopt(s, IPPROTO_ICMPV6, 2, &f, sizeof f));
	SHOW(getsockopt(s, IPPROTO_ICMPV6, 2, &f, &n));

	struct icmp6_hdr h = {.icmp6_type = ICMP6_ECHO_REQUEST};
	h.icmp6_id = htons(getpid());
	SHOW(sendto(s, &h, sizeof h, 0, (struct sockaddr *)&me6, sizeof me6));
	get("all", all, 1), get("all", all, 1);
	get("answers", s, 1), get("answers", s, 0);
	close(s), close(all);

	s = socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
	SHOW(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof f));
	SHOW(getsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, &n));
	close(s);
	s = socket(AF_INET6, SOCK_RAW, IPPROTO_UDP);
	SHOW(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof f));
	SHOW(getsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &f, &n));
	close(s);
}

static void send4(int s, struct sockaddr_in *to, const char *data) { SHOW(sendto(s, data, strlen(data), 0, (struct sockaddr *)to, sizeof *to)); }

static void others4(void) {
	printf("- other protocols\n");
	const int protocol = 253; // for experiments (RFC 3692)
	int s = open4(protocol), s2 = open4(protocol), c = open4(protocol), o = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, protocol), v = 0;
	struct sockaddr_in a;
	socklen_t n = sizeof v;
	SHOW(bind(o, (struct sockaddr *)&other, sizeof other));
	SHOW(connect(c, (struct sockaddr *)&other, sizeof other));
	SHOW(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &n));
	n = sizeof a;
	SHOW(getsockname(c, (struct sockaddr *)&a, &n));
	printf("%d, port %d\n", v, ntohs(a.sin_port));
	send4(s, &me, "hello");
	get("bound", s, 1), get("bound, too", s2, 1), get("connected", c, 0), get("bound to another", o, 0);
	send4(o, &me, "");
	get("bound", s, 1), get("bound, too", s2, 1), get("connected", c, 1), get("bound to another", o, 0);
	v = 0x48;
	SHOW(setsockopt(c, IPPROTO_IP, IP_TOS, &v, sizeof v));
	v = 7;
	SHOW(setsockopt(c, IPPROTO_IP, IP_TTL, &v, sizeof v));
	SHOW(send(c, "connected", 9, 0));
	get("bound to another", o, 1);
	send4(o, &other, "long");
	char b[10];
	for (int i = 0; i < 2000 && recv(o, b, 0, MSG_PEEK) < 0; i++) usleep(1000);
	SHOW(recv(o, b, sizeof b, MSG_PEEK | MSG_TRUNC));
	SHOW(recv(o, b, sizeof b, 0));
	close(s), close(s2), close(c), close(o);

	printf("- a protocol that nobody has\n");
	int all = open4(IPPROTO_ICMP);
	struct { struct iphdr h; char data[8]; } p = {{5, 4, 0, htons(28), 0, 0, 9, 252, 0, me.sin_addr.s_addr, me.sin_addr.s_addr}, "nobody's"};
	s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	SHOW(sendto(s, &p, sizeof p, 0, (struct sockaddr *)&me, sizeof me));
	get("errors", all, 1);
	o = open4(252);
	SHOW(sendto(s, &p, sizeof p, 0, (struct sockaddr *)&me, sizeof me));
	get("somebody's", o, 1);
	close(o);
	SHOW(sendto(s, &p, sizeof p, 0, (struct sockaddr *)&me, sizeof me));
	get("errors", all, 1), get("errors", all, 0);
	close(s), close(all);
	for (int i = 250; i < 264; i++) {
		s = socket(AF_INET, SOCK_RAW, i), o = socket(AF_INET6, SOCK_RAW, i);
		printf("%d: %d %d\n", i, s >= 0, o >= 0);
		close(s), close(o);
	}
}

static void others6(void) {
	printf("- other protocols, IPv6\n");
	const int protocol = 143 + getpid() % 110; // nobody's
	int s = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, protocol), s2 = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, protocol), v = 2;
	SHOW(bind(s2, (struct sockaddr *)&me6, sizeof me6));
	SHOW(sendto(s, "hello", 5, 0, (struct sockaddr *)&me6, sizeof me6));
	get("all", s, 1), get("bound", s2, 1);
	SHOW(setsockopt(s, SOL_RAW, IPV6_CHECKSUM, &v, sizeof v));
	v = 4;
	socklen_t n = sizeof v;
	SHOW(getsockopt(s, IPPROTO_IPV6, IPV6_CHECKSUM, &v, &n));
	SHOW(getsockopt(s, SOL_RAW, IPV6_CHECKSUM, &v, &n));
	printf("%d\n", v);
	SHOW(sendto(s, "a..b", 4, 0, (struct sockaddr *)&me6, sizeof me6));
	unsigned char b[10] = "";
	for (int i = 0; i < 2000 && recv(s2, b, sizeof b, 0) < 0; i++) usleep(1000);
	printf("%x %x, checksum %x\n", b[0], b[1], (b[2] << 8 | b[3]) + protocol); // of what is the same for all protocols
	for (int i = 0; i < 2000 && recv(s, b, sizeof b, 0) < 0; i++) usleep(1000);
	SHOW(sendto(s2, "a..b", 4, 0, (struct sockaddr *)&me6, sizeof me6)); // has a wrong one
	get("bound", s2, 1), get("checked", s, 0);
	printf("- options by their first names\n");
	int one = 1, names[] = {IPV6_2292HOPLIMIT, IPV6_2292PKTINFO};
	for (int i = 0; i < 2; i++) {
		SHOW(setsockopt(s2, IPPROTO_IPV6, names[i], &one, sizeof one));
		SHOW(getsockopt(s2, IPPROTO_IPV6, names[i], &v, &n));
		printf("%d\n", v);
		SHOW(sendto(s, "hello", 5, 0, (struct sockaddr *)&me6, sizeof me6));
		char control[100];
		struct iovec io = {b, sizeof b};
		struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		for (int i = 0; i < 2000 && recvmsg(s2, &m, 0) < 0; i++) usleep(1000);
		for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
			printf("%d %d, %zu bytes, %d\n", h->cmsg_level, h->cmsg_type, h->cmsg_len, *(int *)CMSG_DATA(h));
		v = 0;
		SHOW(setsockopt(s2, IPPROTO_IPV6, names[i], &v, sizeof v));
	}
	close(s), close(s2);
	s = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	SHOW(setsockopt(s, SOL_RAW, IPV6_CHECKSUM, &v, sizeof v));
	SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_CHECKSUM, &v, sizeof v));
	SHOW(setsockopt(s, SOL_RAW, 2, &v, sizeof v));
	close(s);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	me.sin_addr.s_addr = htonl(0x7f400000 | (getpid() & 0x1fffff) << 1), other.sin_addr.s_addr = me.sin_addr.s_addr | htonl(1);
	filters4();
	filters6();
	others4();
	others6();
	return 0;
}

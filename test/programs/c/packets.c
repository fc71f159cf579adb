// packets: raw sockets, errors that come back, groups; with an argument pings.
#include "show.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_in lo = {AF_INET, 0, {0}};
static struct sockaddr_in6 lo6 = {AF_INET6, 0, 0, IN6ADDR_LOOPBACK_INIT};

static unsigned short sum(const void *p, int n) {
	const unsigned char *b = p;
	unsigned s = 0;
	for (int i = 0; i + 1 < n; i += 2) s += b[i] << 8 | b[i + 1];
	while (s >> 16) s = (s & 0xffff) + (s >> 16);
	return htons(~s);
}

static int ready(int fd, int events) {
	struct pollfd p = {fd, events, 0};
	poll(&p, 1, 5000);
	return p.revents;
}

static void ping(void) {
	struct { struct icmphdr h; char data[8]; } m = {{ICMP_ECHO, 0, 0, {{0, htons(7)}}}, "pinging"};
	char buf[100];
	int s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	OK(s);
	SHOW(sendto(s, &m, sizeof m, 0, (struct sockaddr *)&lo, sizeof lo));
	ready(s, POLLIN);
	struct sockaddr_in from;
	socklen_t n = sizeof from;
	SHOW(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &n));
	struct icmphdr *h = (void *)buf;
	printf("type %d code %d sequence %d %s, from %s\n", h->type, h->code, ntohs(h->un.echo.sequence), buf + 8, inet_ntoa(from.sin_addr));
	SHOW(connect(s, (struct sockaddr *)&lo, sizeof lo));
	SHOW(send(s, &m, sizeof m, 0));
	ready(s, POLLIN);
	SHOW(recv(s, buf, sizeof buf, 0));
	m.h.type = 13;
	SHOW(send(s, &m, sizeof m, 0));
	SHOW(send(s, &m, 3, 0));
	close(s);
	struct { struct icmp6_hdr h; char data[8]; } m6 = {{ICMP6_ECHO_REQUEST, 0, 0, {{0}}}, "pinging"};
	s = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
	OK(s);
	SHOW(sendto(s, &m6, sizeof m6, 0, (struct sockaddr *)&lo6, sizeof lo6));
	ready(s, POLLIN);
	SHOW(recv(s, buf, sizeof buf, 0));
	printf("type %d\n", buf[0] & 255);
	close(s);
}

static void raw(void) {
	struct { struct icmphdr h; char data[8]; } m = {{ICMP_ECHO, 0, 0, {{htons(77), htons(1)}}}, "pinging"};
	m.h.checksum = sum(&m, sizeof m);
	char buf[200];
	int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	OK(s);
	SHOW(sendto(s, &m, sizeof m, 0, (struct sockaddr *)&lo, sizeof lo));
	for (int i = 0; i < 2; i++) { // the request comes, too
		ready(s, POLLIN);
		long n = recv(s, buf, sizeof buf, 0);
		struct iphdr *ip = (void *)buf;
		struct icmphdr *h = (void *)(buf + ip->ihl * 4);
		printf("%ld bytes, protocol %d, ttl %d, type %d\n", n, ip->protocol, ip->ttl, h->type);
	}
	close(s);
	int u = socket(AF_INET, SOCK_DGRAM, 0);
	bind(u, (struct sockaddr *)&lo, sizeof lo);
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	getsockname(u, (struct sockaddr *)&a, &n);
	s = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	struct { struct udphdr h; char data[4]; } d = {{{{htons(5), a.sin_port, htons(12), 0}}}, "raw"};
	SHOW(sendto(s, &d, 12, 0, (struct sockaddr *)&lo, sizeof lo));
	ready(u, POLLIN);
	SHOW(recvfrom(u, buf, sizeof buf, 0, (struct sockaddr *)&a, &n));
	printf("%s from port %d\n", buf, ntohs(a.sin_port));
	close(s), close(u);
	SHOW(socket(AF_INET, SOCK_RAW, 0));
}

static void errors(int family) {
	int s = socket(family, SOCK_DGRAM, 0), gone = socket(family, SOCK_DGRAM, 0), on = 1;
	union { struct sockaddr a; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	socklen_t n = sizeof a;
	if (family == AF_INET) bind(gone, (struct sockaddr *)&lo, sizeof lo); else bind(gone, (struct sockaddr *)&lo6, sizeof lo6);
	getsockname(gone, &a.a, &n);
	close(gone);
	SHOW(setsockopt(s, family == AF_INET ? SOL_IP : SOL_IPV6, family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on));
	SHOW(connect(s, &a.a, n));
	SHOW(send(s, "lost", 4, 0));
	printf("events %#x\n", ready(s, POLLERR) & POLLERR);
	char buf[100] = "", c[500];
	struct iovec v = {buf, sizeof buf};
	struct sockaddr_storage name;
	struct msghdr m = {&name, sizeof name, &v, 1, c, sizeof c};
	SHOW(recvmsg(s, &m, MSG_ERRQUEUE));
	printf("%s, flags %#x, port %s\n", buf, m.msg_flags, ((struct sockaddr_in *)&name)->sin_port == a.v4.sin_port ? "that" : "another");
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h) {
		struct sock_extended_err *e = (void *)CMSG_DATA(h);
		printf("control %d %d, %d bytes: error %d, origin %d, type %d, code %d\n", h->cmsg_level, h->cmsg_type, (int)h->cmsg_len,
			e->ee_errno, e->ee_origin, e->ee_type, e->ee_code);
	}
	SHOW(recvmsg(s, &m, MSG_ERRQUEUE));
	close(s);
}

static void groups(void) {
	int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in any = {AF_INET}, g = {AF_INET};
	inet_aton("239.1.2.3", &g.sin_addr);
	bind(r, (struct sockaddr *)&any, sizeof any);
	socklen_t n = sizeof any;
	getsockname(r, (struct sockaddr *)&any, &n);
	g.sin_port = any.sin_port;
	struct ip_mreqn m = {g.sin_addr, {htonl(INADDR_LOOPBACK)}, 1};
	SHOW(setsockopt(r, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	SHOW(setsockopt(r, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	SHOW(setsockopt(s, SOL_IP, IP_MULTICAST_IF, &m, sizeof m));
	SHOW(sendto(s, "all", 3, 0, (struct sockaddr *)&g, sizeof g));
	ready(r, POLLIN);
	char buf[10];
	SHOW(recv(r, buf, 10, MSG_DONTWAIT));
	SHOW(setsockopt(r, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
	SHOW(setsockopt(r, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
	m.imr_multiaddr.s_addr = htonl(INADDR_LOOPBACK);
	SHOW(setsockopt(r, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	close(r), close(s);
}

int main(int argc, char **argv) {
	lo.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setvbuf(stdout, 0, _IOLBF, 0);
	if (argc > 1) { // not all machines let everybody do this
		ping();
		return 0;
	}
	raw();
	errors(AF_INET);
	errors(AF_INET6);
	groups();
}

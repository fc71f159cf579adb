// filters: classic BPF on sockets of all families.
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#define L(code, k) BPF_STMT(BPF_LD | code, k)
#define IF(op, k, t, f) BPF_JUMP(BPF_JMP | op | BPF_K, k, t, f)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, k)
#define AD(what) L(BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_##what)
#define ALL 0xffffffff

static int attach_n(int s, struct sock_filter *f, int n) {
	struct sock_fprog p = {n, f};
	return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p);
}
#define attach(s, ...) ({ struct sock_filter f_[] = {__VA_ARGS__}; attach_n(s, f_, sizeof f_ / sizeof *f_); })

static int set(int s, int opt, int v) { return setsockopt(s, SOL_SOCKET, opt, &v, sizeof v); }
static int get(int s, int opt) {
	int v = -1;
	socklen_t n = sizeof v;
	return getsockopt(s, SOL_SOCKET, opt, &v, &n) ? -1 : v;
}

// came prints what comes until there is nothing for a while, or as many as are wanted have.
static void came(int s, int want, int from) {
	char b[2000];
	struct pollfd p = {s, POLLIN, 0};
	for (int i = 0; i < want || want == 0; i++) {
		if (poll(&p, 1, want ? 10000 : 50) <= 0) {
			printf("\tno more\n");
			return;
		}
		int n = recv(s, b, sizeof b, 0);
		printf("\t%d bytes: %.*s\n", n - from, n > from ? n - from : 0, b + from);
		if (n <= 0) return;
	}
}

static void say(int s, const char *what) {
	if (send(s, what, strlen(what), 0) < 0) perror("send");
}

static void errors(void) {
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	for (int i = 0; i < 2; i++) {
		struct sock_filter ok[] = {RET(0)};
		struct sock_fprog p = {1, ok}, none = {1, 0}, empty = {0, ok}, bad = {1, (void *)8};
		printf("- a socket of %s\n", i ? "UDP" : "AF_UNIX");
		SHOW(set(s, SO_DETACH_FILTER, 0));
		SHOW(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p - 1));
		SHOW(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none));
		SHOW(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &empty, sizeof empty));
		SHOW(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &bad, sizeof bad));
		SHOW(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, (void *)8, sizeof bad));
		SHOW(attach(s, L(BPF_IMM, 1)));
		SHOW(attach(s, L(BPF_MEM, 1), RET(0)));
		SHOW(attach(s, AD(CPU), AD(RANDOM), AD(VLAN_TAG), L(BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MAX), RET(0)));
		SHOW(attach(s, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)));
		SHOW(attach(s, IF(BPF_JEQ, 0, 0, 1), RET(0)));
		static struct sock_filter many[BPF_MAXINSNS + 1];
		for (int k = 0; k <= BPF_MAXINSNS; k++) many[k] = (struct sock_filter)RET(0);
		SHOW(attach_n(s, many, BPF_MAXINSNS));
		SHOW(attach_n(s, many, BPF_MAXINSNS + 1));
		SHOW(set(s, SO_DETACH_FILTER, 0));
		SHOW(get(s, SO_LOCK_FILTER));
		SHOW(set(s, SO_LOCK_FILTER, 1));
		SHOW(get(s, SO_LOCK_FILTER));
		SHOW(set(s, SO_LOCK_FILTER, 2));
		SHOW(set(s, SO_LOCK_FILTER, 0));
		SHOW(attach(s, RET(0)));
		SHOW(set(s, SO_DETACH_FILTER, 0));
		close(s);
		s = socket(AF_INET, SOCK_DGRAM, 0);
	}
	close(s);
}

static void datagrams(int family) {
	printf("- datagrams, family %d\n", family);
	int sv[2];
	int head = 0; // bytes before the data, to a filter
	if (family == AF_UNIX)
		socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
	else {
		struct sockaddr_storage a = {family};
		socklen_t n = sizeof a;
		if (family == AF_INET) ((struct sockaddr_in *)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else ((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_loopback;
		sv[0] = socket(family, SOCK_DGRAM, 0), sv[1] = socket(family, SOCK_DGRAM, 0);
		bind(sv[1], (struct sockaddr *)&a, sizeof a), getsockname(sv[1], (struct sockaddr *)&a, &n);
		connect(sv[0], (struct sockaddr *)&a, n);
		head = 8;
	}
	SHOW(attach(sv[1], L(BPF_B | BPF_ABS, head), IF(BPF_JEQ, 'a', 0, 1), RET(ALL), RET(0)));
	say(sv[0], "b is dropped"), say(sv[0], "a comes"), say(sv[0], "also not"), say(sv[0], "c is dropped"), say(sv[0], "a"), say(sv[0], "");
	came(sv[1], 3, 0);
	came(sv[1], 0, 0);
	SHOW(attach(sv[1], RET(head + 3)));
	say(sv[0], "cut short"), say(sv[0], "ab");
	came(sv[1], 2, 0);
	SHOW(attach(sv[1], RET(1)));
	say(sv[0], "xyz");
	came(sv[1], 1, 0);
	SHOW(attach(sv[1], L(BPF_W | BPF_LEN, 0), IF(BPF_JGT, head + 4, 1, 0), RET(0), RET(ALL)));
	say(sv[0], "four"), say(sv[0], "fives");
	came(sv[1], 1, 0);
	SHOW(attach(sv[1], L(BPF_W | BPF_ABS, head + 1), RET(ALL))); // beyond the end: dropped
	say(sv[0], "four"), say(sv[0], "fives");
	came(sv[1], 1, 0);
	SHOW(attach(sv[1], AD(PROTOCOL), IF(BPF_JEQ, family == AF_INET ? ETH_P_IP : family == AF_INET6 ? ETH_P_IPV6 : 0, 0, 1), RET(ALL), RET(0)));
	say(sv[0], "its protocol");
	came(sv[1], 1, 0);
	SHOW(attach(sv[1], AD(IFINDEX), IF(BPF_JEQ, if_nametoindex("lo"), 0, 1), RET(ALL), RET(0)));
	say(sv[0], "its device");
	came(sv[1], family != AF_UNIX, 0);
	SHOW(attach(sv[1], AD(PKTTYPE), IF(BPF_JEQ, 0, 0, 1), RET(ALL), RET(0)));
	say(sv[0], "its type");
	came(sv[1], 1, 0);
	if (family == AF_INET) {
		SHOW(attach(sv[1], L(BPF_B | BPF_ABS, SKF_NET_OFF + 9), IF(BPF_JEQ, IPPROTO_UDP, 0, 1), RET(ALL), RET(0)));
		say(sv[0], "its header");
		came(sv[1], 1, 0);
		SHOW(attach(sv[1], BPF_STMT(BPF_LDX | BPF_MSH | BPF_B, SKF_NET_OFF), BPF_STMT(BPF_MISC | BPF_TXA, 0), IF(BPF_JEQ, 20, 0, 1), RET(ALL), RET(0)));
		say(sv[0], "its header's length");
		came(sv[1], 1, 0);
	}
	SHOW(set(sv[1], SO_DETACH_FILTER, 0));
	say(sv[0], "free again");
	came(sv[1], 1, 0);
	close(sv[0]), close(sv[1]);
}

static void pairs(int kind) {
	printf("- a pair of kind %d\n", kind);
	int sv[2];
	socketpair(AF_UNIX, kind, 0, sv);
	SHOW(attach(sv[1], L(BPF_B | BPF_ABS, 0), IF(BPF_JEQ, 'a', 0, 1), RET(2), RET(0)));
	say(sv[0], "no"), say(sv[0], "all");
	came(sv[1], 0, 0);
	close(sv[0]), close(sv[1]);
}

static void packets(int kind) {
	printf("- packets of kind %d\n", kind);
	int p = socket(AF_PACKET, kind, htons(ETH_P_ALL));
	int head = (kind == SOCK_RAW ? ETH_HLEN : 0) + 20;
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int to = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	bind(to, (struct sockaddr *)&a, n), getsockname(to, (struct sockaddr *)&a, &n);
	connect(c, (struct sockaddr *)&a, n);
	int port = ntohs(a.sin_port);
	struct sockaddr_ll l = {AF_PACKET, htons(ETH_P_IP), if_nametoindex("lo")};
	SHOW(attach(p, RET(0)));
	SHOW(bind(p, (struct sockaddr *)&l, sizeof l));
	say(c, "to nobody");
	came(p, 0, 0);
	SHOW(attach(p, L(BPF_B | BPF_ABS, head - 11), IF(BPF_JEQ, IPPROTO_UDP, 0, 5), L(BPF_H | BPF_ABS, head + 2), IF(BPF_JEQ, port, 0, 3),
		AD(PKTTYPE), IF(BPF_JEQ, PACKET_HOST, 0, 1), RET(ALL), RET(0)));
	say(c, "a packet"), say(c, "another");
	came(p, 2, head + 8);
	SHOW(attach(p, L(BPF_B | BPF_ABS, head - 11), IF(BPF_JEQ, IPPROTO_UDP, 0, 5), L(BPF_H | BPF_ABS, head + 2), IF(BPF_JEQ, port, 0, 3),
		AD(HATYPE), IF(BPF_JEQ, 772, 0, 1), RET(head + 8 + 4), RET(0)));
	say(c, "a packet");
	came(p, 1, head + 8);
	// Those that go are seen by who asks for all protocols.
	l.sll_protocol = htons(ETH_P_ALL);
	SHOW(bind(p, (struct sockaddr *)&l, sizeof l));
	SHOW(attach(p, L(BPF_B | BPF_ABS, head - 11), IF(BPF_JEQ, IPPROTO_UDP, 0, 5), L(BPF_H | BPF_ABS, head + 2), IF(BPF_JEQ, port, 0, 3),
		AD(PKTTYPE), IF(BPF_JEQ, PACKET_OUTGOING, 0, 1), RET(ALL), RET(0)));
	say(c, "it goes");
	came(p, 1, head + 8);
	SHOW(attach(p, L(BPF_B | BPF_ABS, head - 11), IF(BPF_JEQ, IPPROTO_UDP, 0, 3), L(BPF_H | BPF_ABS, head + 2), IF(BPF_JEQ, port, 0, 1), RET(ALL), RET(0)));
	say(c, "it comes, too");
	for (int i = 0; i < 2; i++) {
		char b[100];
		n = sizeof l;
		int got = recvfrom(p, b, sizeof b, 0, (struct sockaddr *)&l, &n);
		printf("\t%d of type %d, hardware %d, address of %d\n", got, l.sll_pkttype, l.sll_hatype, l.sll_halen);
	}
	close(p), close(c), close(to);
}

static void raw(void) {
	printf("- raw\n");
	int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	struct { struct icmphdr h; char data[4]; } m = {{ICMP_ECHOREPLY, 0, 0xefff}, "own"};
	SHOW(attach(s, L(BPF_B | BPF_ABS, 20), IF(BPF_JEQ, ICMP_ECHOREPLY, 0, 3), L(BPF_B | BPF_ABS, 28), IF(BPF_JEQ, 'o', 0, 1), RET(30), RET(0)));
	unsigned sum = 0;
	for (int i = 0; i < (int)sizeof m / 2; i++) sum += ((unsigned short *)&m)[i];
	sum = (sum >> 16) + (sum & 0xffff);
	m.h.checksum = ~(sum + (sum >> 16));
	if (sendto(s, &m, sizeof m, 0, (struct sockaddr *)&a, sizeof a) < 0) perror("raw");
	came(s, 1, 28);
	close(s);
}

static void stream(void) {
	printf("- TCP\n");
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	bind(l, (struct sockaddr *)&a, n), listen(l, 1), getsockname(l, (struct sockaddr *)&a, &n);
	// Data segments have PSH, but none with an x passes.
	SHOW(attach(l, L(BPF_B | BPF_ABS, 13), IF(BPF_JSET, TH_PUSH, 0, 4), L(BPF_B | BPF_ABS, 12), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), L(BPF_B | BPF_IND, 0), IF(BPF_JEQ, 'x', 1, 0), RET(ALL), RET(0)));
	SHOW(connect(c, (struct sockaddr *)&a, n));
	int x = accept(l, 0, 0);
	SHOW(get(x, SO_LOCK_FILTER));
	say(c, "come");
	came(x, 1, 0);
	say(c, "x is late");
	came(x, 0, 0);
	SHOW(set(x, SO_DETACH_FILTER, 0));
	came(x, 1, 0);
	SHOW(set(x, SO_DETACH_FILTER, 0));
	close(c), close(x), close(l);
}

// groups: a program chooses among sockets that are bound to the same port.
static void groups(int kind) {
	printf("- groups, kind %d\n", kind);
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int s[3], one = 1;
	for (int i = 0; i < 3; i++) {
		s[i] = socket(AF_INET, kind | SOCK_NONBLOCK, 0);
		if (i == 0) {
			SHOW(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &one, sizeof one));
			struct sock_filter f[] = {RET(0)};
			struct sock_fprog p = {1, f};
			SHOW(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof p));
			SHOW(set(s[0], SO_DETACH_REUSEPORT_BPF, 0));
		}
		set(s[i], SO_REUSEPORT, 1);
		if (bind(s[i], (struct sockaddr *)&a, n)) perror("bind");
		getsockname(s[i], (struct sockaddr *)&a, &n);
		if (kind == SOCK_STREAM) listen(s[i], 5);
	}
	SHOW(set(s[0], SO_DETACH_REUSEPORT_BPF, 0));
	// The first byte's last two bits, or for a connection, which has none yet, 0.
	struct sock_filter f[] = {L(BPF_B | BPF_ABS, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 3), BPF_STMT(BPF_RET | BPF_A, 0)}, g[] = {RET(2)};
	struct sock_fprog p = {3, f}, q = {1, g};
	SHOW(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof p));
	for (int i = 0; i < 8; i++) {
		if (i == 4) SHOW(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &q, sizeof q));
		int c = socket(AF_INET, kind, 0), at = -1;
		char b[10] = {'0' + i % 4};
		connect(c, (struct sockaddr *)&a, n);
		send(c, b, 1, 0);
		struct pollfd e[3] = {{s[0], POLLIN}, {s[1], POLLIN}, {s[2], POLLIN}};
		poll(e, 3, 10000);
		for (int k = 0; k < 3; k++)
			if (e[k].revents) {
				at = k;
				if (kind == SOCK_STREAM) close(accept(s[k], 0, 0));
				else recv(s[k], b, sizeof b, 0);
			}
		if (i % 4 == 3 && i < 4 && kind == SOCK_DGRAM) printf("\t3: to one of them, %d\n", at >= 0);
		else printf("\t%d: to %d\n", i % 4, at);
		close(c);
	}
	SHOW(set(s[0], SO_DETACH_REUSEPORT_BPF, 0));
	for (int i = 0; i < 3; i++) close(s[i]);
}

static void netlink(void) {
	printf("- netlink\n");
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct { struct nlmsghdr h; struct ifinfomsg m; } r = {{sizeof r, RTM_GETLINK, NLM_F_REQUEST}, {AF_UNSPEC, .ifi_index = 1}};
	for (int i = 0; i < 3; i++) {
		if (i < 2) SHOW(attach(s, L(BPF_B | BPF_ABS, 4), IF(BPF_JEQ, RTM_NEWLINK, 0, 1), RET(i ? 16 : 0), RET(0)));
		else SHOW(set(s, SO_DETACH_FILTER, 0));
		SHOW(send(s, &r, sizeof r, 0));
		struct { struct nlmsghdr h; char b[4000]; } b;
		int n = recv(s, &b, sizeof b, MSG_DONTWAIT);
		printf("\t%d, %d\n", n > 16 ? 17 : n, n > 0 ? b.h.nlmsg_type : 0);
	}
	close(s);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	errors();
	datagrams(AF_UNIX), datagrams(AF_INET), datagrams(AF_INET6);
	pairs(SOCK_SEQPACKET), pairs(SOCK_STREAM);
	packets(SOCK_RAW), packets(SOCK_DGRAM);
	raw();
	stream();
	groups(SOCK_DGRAM), groups(SOCK_STREAM);
	netlink();
	return 0;
}

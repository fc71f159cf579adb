// netadmin: changes devices, addresses, routes and neighbors, by netlink and by ioctl, and prints
// what comes of it and what others are told. On a host it has a network namespace of its own, with
// a TAP device.
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>

static int ask, hear; // sockets: who asks, and who is told
static int eth;       // index of eth0

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static const char *name(int index) {
	static char b[IF_NAMESIZE];
	return if_indextoname(index, b) ? b : "?";
}

static const char *ip(int family, const void *p) {
	static char b[4][INET6_ADDRSTRLEN];
	static int i;
	return p ? inet_ntop(family, p, b[i++ % 4], INET6_ADDRSTRLEN) : "-";
}

static int bind_netlink(unsigned groups) {
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), on = 1;
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	if (s < 0 || bind(s, (void *)&a, sizeof a)) fail("netlink");
	setsockopt(s, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
	return s;
}

// A request that is being made.
static struct {
	struct nlmsghdr h;
	char rest[1000];
} q;

static void *add(const void *p, size_t n) {
	void *to = (char *)&q + q.h.nlmsg_len;
	memcpy(to, p, n);
	q.h.nlmsg_len += NLMSG_ALIGN(n);
	return to;
}

static void begin(int type, int flags, const void *body, size_t n) {
	static unsigned seq;
	memset(&q, 0, sizeof q);
	q.h = (struct nlmsghdr){NLMSG_HDRLEN, type, NLM_F_REQUEST | flags, ++seq, 0};
	add(body, n);
}

static void attr(int type, const void *p, size_t n) {
	struct rtattr a = {RTA_LENGTH(n), type};
	add(&a, sizeof a);
	add(p, n);
}

static void number(int type, unsigned v) { attr(type, &v, sizeof v); }

static void address(int type, const char *s) {
	unsigned char b[16];
	int v6 = strchr(s, ':') != 0;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, s, b) != 1) fail(s);
	attr(type, b, v6 ? 16 : 4);
}

static struct rtattr *find(struct nlmsghdr *h, size_t body, int type) {
	struct rtattr *a = (void *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(body));
	for (int n = h->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(body)); RTA_OK(a, n); a = RTA_NEXT(a, n))
		if (a->rta_type == type) return a;
	return 0;
}

static void *data(struct nlmsghdr *h, size_t body, int type) {
	struct rtattr *a = find(h, body, type);
	return a ? RTA_DATA(a) : 0;
}

static unsigned value(struct nlmsghdr *h, size_t body, int type) {
	unsigned *p = data(h, body, type);
	return p ? *p : 0;
}

static void print(struct nlmsghdr *h) {
	switch (h->nlmsg_type) {
	case RTM_NEWLINK: {
		struct ifinfomsg *i = NLMSG_DATA(h);
		unsigned char *m = data(h, sizeof *i, IFLA_ADDRESS);
		printf("link %d %s type %d flags %#x mtu %u queue %u", i->ifi_index, (char *)data(h, sizeof *i, IFLA_IFNAME), i->ifi_type, i->ifi_flags,
			value(h, sizeof *i, IFLA_MTU), value(h, sizeof *i, IFLA_TXQLEN));
		printf(" address %02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4], m[5]);
		break;
	}
	case RTM_NEWADDR:
	case RTM_DELADDR: {
		struct ifaddrmsg *a = NLMSG_DATA(h);
		char *label = data(h, sizeof *a, IFA_LABEL);
		struct ifa_cacheinfo *c = data(h, sizeof *a, IFA_CACHEINFO);
		printf("%s %s/%d local %s broadcast %s dev %s label %s scope %d flags %#x valid %d\n", h->nlmsg_type == RTM_NEWADDR ? "address" : "no address",
			ip(a->ifa_family, data(h, sizeof *a, IFA_ADDRESS)), a->ifa_prefixlen, ip(a->ifa_family, data(h, sizeof *a, IFA_LOCAL)),
			ip(a->ifa_family, data(h, sizeof *a, IFA_BROADCAST)), name(a->ifa_index), label ? label : "-", a->ifa_scope,
			value(h, sizeof *a, IFA_FLAGS) & ~(unsigned)(IFA_F_TENTATIVE | IFA_F_NODAD), c->ifa_valid == -1 ? -1 : c->ifa_valid > 90);
		break;
	}
	case RTM_NEWROUTE:
	case RTM_DELROUTE: {
		struct rtmsg *r = NLMSG_DATA(h);
		printf("%s %s/%d via %s src %s dev %s metric %u table %d protocol %d scope %d type %d flags %#x\n",
			h->nlmsg_type == RTM_NEWROUTE ? "route" : "no route", ip(r->rtm_family, data(h, sizeof *r, RTA_DST)), r->rtm_dst_len,
			ip(r->rtm_family, data(h, sizeof *r, RTA_GATEWAY)), ip(r->rtm_family, data(h, sizeof *r, RTA_PREFSRC)), name(value(h, sizeof *r, RTA_OIF)),
			value(h, sizeof *r, RTA_PRIORITY), r->rtm_table, r->rtm_protocol, r->rtm_scope, r->rtm_type, r->rtm_flags & ~RTNH_F_LINKDOWN);
		break;
	}
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH: {
		struct ndmsg *d = NLMSG_DATA(h);
		unsigned char *m = data(h, sizeof *d, NDA_LLADDR);
		printf("%s %s dev %s state %#x address", h->nlmsg_type == RTM_NEWNEIGH ? "neighbor" : "no neighbor", ip(d->ndm_family, data(h, sizeof *d, NDA_DST)), name(d->ndm_ifindex), d->ndm_state);
		for (int i = 0; m && i < 6; i++) printf(":%02x", m[i]);
		printf("\n");
		break;
	}
	default:
		printf("message %d\n", h->nlmsg_type);
	}
}

// of_itself says whether a message is of a multicast address's neighbor, which comes when it is needed.
static int of_itself(struct nlmsghdr *h) {
	return (h->nlmsg_type == RTM_NEWNEIGH || h->nlmsg_type == RTM_DELNEIGH) && ((struct ndmsg *)NLMSG_DATA(h))->ndm_state & NUD_NOARP;
}

static int is_local(struct nlmsghdr *h) {
	return h->nlmsg_type >= RTM_NEWROUTE && h->nlmsg_type < RTM_GETROUTE && ((struct rtmsg *)NLMSG_DATA(h))->rtm_table == RT_TABLE_LOCAL;
}

// told prints what comes of groups. Of devices Linux tells some things twice.
static void told(void) {
	static union { struct nlmsghdr h; char b[16384]; } u;
	for (ssize_t n; (n = recv(hear, &u, sizeof u, MSG_DONTWAIT)) > 0;)
		for (struct nlmsghdr *h = &u.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == RTM_NEWLINK || is_local(h) || of_itself(h)) continue;
			printf("   told: ");
			print(h);
		}
}

// done sends the request and prints what is answered.
static void done(const char *format, ...) {
	static union { struct nlmsghdr h; char b[16384]; } u;
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	printf(": ");
	q.h.nlmsg_flags |= NLM_F_ACK;
	if (send(ask, &q, q.h.nlmsg_len, 0) < 0) fail("send");
	for (int over = 0; !over;) {
		ssize_t n = recv(ask, &u, sizeof u, 0);
		for (struct nlmsghdr *h = &u.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_ERROR) {
				printf("%s\n", strerror(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
				over = 1;
			} else
				print(h);
		}
	}
	told();
}

static void dump(int type, int family) {
	static union { struct nlmsghdr h; char b[4096]; } u;
	struct rtgenmsg g = {family};
	begin(type, NLM_F_DUMP, &g, sizeof g);
	add((char[32]){0}, 32);
	if (send(ask, &q, q.h.nlmsg_len, 0) < 0) fail("send");
	for (;;) {
		ssize_t n = recv(ask, &u, sizeof u, 0);
		for (struct nlmsghdr *h = &u.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE) return;
			if (is_local(h) || of_itself(h)) continue;
			printf("   ");
			print(h);
		}
	}
}

static void state(void) {
	printf("now:\n");
	dump(RTM_GETADDR, AF_INET);
	dump(RTM_GETROUTE, AF_INET);
}

static void change_link(int index, unsigned flags, unsigned mask) {
	struct ifinfomsg i = {.ifi_index = index, .ifi_flags = flags, .ifi_change = mask};
	begin(RTM_NEWLINK, 0, &i, sizeof i);
}

static void change_address(int type, int flags, int index, const char *local, int bits) {
	struct ifaddrmsg a = {strchr(local, ':') ? AF_INET6 : AF_INET, bits, 0, 0, index};
	begin(type, flags, &a, sizeof a);
	address(IFA_LOCAL, local);
}

static void new_address(int flags, const char *local, int bits, const char *peer, const char *broadcast) {
	change_address(RTM_NEWADDR, flags, eth, local, bits);
	if (peer) address(IFA_ADDRESS, peer);
	if (broadcast) address(IFA_BROADCAST, broadcast);
	if (strchr(local, ':')) number(IFA_FLAGS, IFA_F_NODAD); // it is valid at once
	done("new address %s/%d, peer %s, broadcast %s, flags %#x", local, bits, peer ? peer : "-", broadcast ? broadcast : "-", flags);
}

static void del_address(const char *local, int bits) {
	change_address(RTM_DELADDR, 0, eth, local, bits);
	done("delete address %s/%d", local, bits);
}

struct way { const char *to; int bits; const char *via, *src; int index; unsigned metric; int flags, scope, protocol, type; };

static void route(int type, int flags, struct way w) {
	int v6 = strchr(w.to, ':') != 0;
	struct rtmsg r = {v6 ? AF_INET6 : AF_INET, w.bits, 0, 0, RT_TABLE_MAIN, w.protocol, w.scope, w.type, w.flags};
	begin(type, flags, &r, sizeof r);
	if (w.bits) address(RTA_DST, w.to);
	if (w.via) address(RTA_GATEWAY, w.via);
	if (w.src) address(RTA_PREFSRC, w.src);
	if (w.index) number(RTA_OIF, w.index);
	if (w.metric) number(RTA_PRIORITY, w.metric);
	done("%s route %s/%d via %s src %s index %d metric %u scope %d type %d onlink %d, flags %#x", type == RTM_NEWROUTE ? "new" : "delete", w.to, w.bits,
		w.via ? w.via : "-", w.src ? w.src : "-", w.index, w.metric, w.scope, w.type, w.flags, flags);
}

#define CREATE(flags, ...) route(RTM_NEWROUTE, NLM_F_CREATE | (flags), (struct way){.protocol = RTPROT_BOOT, .type = RTN_UNICAST, __VA_ARGS__})
#define NEW(flags, ...) route(RTM_NEWROUTE, flags, (struct way){.protocol = RTPROT_BOOT, .type = RTN_UNICAST, __VA_ARGS__})
#define DELETE(...) route(RTM_DELROUTE, 0, (struct way){.scope = RT_SCOPE_NOWHERE, __VA_ARGS__})

// prepare has eth0 as a program finds it that nobody has configured, on Linux.
static void prepare(void) {
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "eth0"};
	if (access("/dev/net/tun", F_OK) == 0) {
		if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) fail("unshare");
		close(s);
		s = socket(AF_INET, SOCK_DGRAM, 0);
		int tun = open("/dev/net/tun", O_RDWR);
		r.ifr_flags = IFF_TAP | IFF_NO_PI;
		if (ioctl(tun, TUNSETIFF, &r)) fail("TAP device");
		struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
		if (ioctl(s, SIOCSIFFLAGS, &lo)) fail("lo");
	} else {
		r.ifr_addr = (struct sockaddr){AF_INET};
		if (ioctl(s, SIOCSIFADDR, &r)) fail("SIOCSIFADDR");
		if (ioctl(s, SIOCGIFFLAGS, &r)) fail("SIOCGIFFLAGS");
		r.ifr_flags &= ~IFF_UP;
		if (ioctl(s, SIOCSIFFLAGS, &r)) fail("SIOCSIFFLAGS");
	}
	r.ifr_hwaddr = (struct sockaddr){ARPHRD_ETHER, {2, 0, 0, 0, 0, 7}};
	if (ioctl(s, SIOCSIFHWADDR, &r)) fail("SIOCSIFHWADDR");
	eth = if_nametoindex("eth0");
	close(s);
}

static void addresses(void) {
	new_address(NLM_F_CREATE | NLM_F_EXCL, "10.1.0.5", 16, "10.1.0.5", 0);
	state();
	change_link(eth, IFF_UP, IFF_UP);
	done("up");
	state();
	new_address(NLM_F_CREATE | NLM_F_EXCL, "10.1.0.5", 16, 0, 0);
	new_address(NLM_F_CREATE, "10.1.0.5", 16, 0, 0);
	new_address(NLM_F_CREATE | NLM_F_REPLACE, "10.1.0.5", 16, 0, 0);
	new_address(0, "10.1.0.6", 16, 0, "10.1.255.255");
	new_address(0, "10.1.0.7", 24, 0, 0);
	new_address(0, "10.2.0.1", 32, "10.3.0.1", 0);
	new_address(0, "10.1.0.8", 33, 0, 0);
	new_address(0, "10.4.0.1", 32, 0, 0);
	new_address(0, "0.0.0.0", 32, 0, 0);
	state();
	del_address("10.1.0.9", 16);
	del_address("10.1.0.7", 24);
	del_address("10.1.0.5", 16); // with the secondary one
	state();
	change_address(RTM_NEWADDR, NLM_F_CREATE, eth, "10.5.0.1", 24);
	attr(IFA_LABEL, "eth0:x", 7);
	attr(IFA_CACHEINFO, &(struct ifa_cacheinfo){100, 1000, 0, 0}, sizeof(struct ifa_cacheinfo));
	done("label and lifetimes");
	change_address(RTM_NEWADDR, NLM_F_CREATE, eth, "10.5.0.2", 24);
	attr(IFA_CACHEINFO, &(struct ifa_cacheinfo){1000, 100, 0, 0}, sizeof(struct ifa_cacheinfo));
	done("preferred for longer than valid");
	change_address(RTM_NEWADDR, NLM_F_CREATE, 99, "10.5.0.2", 24);
	done("no such device");
	change_address(RTM_DELADDR, 0, 99, "10.5.0.2", 24);
	done("no such device");
	struct ifaddrmsg a = {AF_INET, 24, 0, 0, eth};
	begin(RTM_NEWADDR, 0, &a, sizeof a);
	done("no address");
	begin(RTM_NEWADDR, 0, &a, sizeof a);
	attr(IFA_LOCAL, "ab", 2);
	done("half an address");
	begin(RTM_NEWADDR, 0, &a, 4);
	done("half a request");
	begin(RTM_DELADDR, 0, &a, sizeof a);
	done("delete any");
	state();
	begin(RTM_DELADDR, 0, &a, sizeof a);
	done("delete any");
	begin(RTM_DELADDR, 0, &a, sizeof a);
	done("delete any");
	begin(RTM_DELADDR, 0, &a, sizeof a);
	done("delete any");
	state();
}

static void routes(void) {
	new_address(0, "10.1.0.5", 16, 0, 0);
	new_address(0, "10.1.0.6", 16, 0, 0);
	int lo = 1;
	CREATE(NLM_F_EXCL, .to = "0.0.0.0", .via = "10.1.0.1");
	CREATE(NLM_F_EXCL, .to = "0.0.0.0", .via = "10.1.0.2");
	CREATE(NLM_F_EXCL, .to = "0.0.0.0", .via = "10.1.0.2", .metric = 10);
	CREATE(0, .to = "0.0.0.0", .via = "10.1.0.3");
	CREATE(0, .to = "0.0.0.0", .via = "10.1.0.3");
	CREATE(NLM_F_APPEND, .to = "0.0.0.0", .via = "10.1.0.4");
	CREATE(NLM_F_REPLACE, .to = "0.0.0.0", .via = "10.1.0.9");
	CREATE(NLM_F_REPLACE, .to = "0.0.0.0", .via = "10.1.0.9");
	CREATE(NLM_F_REPLACE, .to = "0.0.0.0", .via = "10.1.0.4");
	NEW(NLM_F_REPLACE, .to = "192.0.2.0", .bits = 24, .via = "10.1.0.1");
	NEW(0, .to = "192.0.2.0", .bits = 24, .via = "10.1.0.1");
	state();
	CREATE(0, .to = "192.0.2.0", .bits = 24, .via = "10.9.0.1");
	CREATE(0, .to = "192.0.2.1", .bits = 24, .via = "10.1.0.1");
	CREATE(0, .to = "192.0.2.0", .bits = 24);
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = 99);
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = eth);
	CREATE(0, .to = "192.0.3.0", .bits = 24, .index = eth, .scope = RT_SCOPE_LINK);
	CREATE(0, .to = "192.0.4.0", .bits = 24, .index = eth, .scope = RT_SCOPE_LINK, .src = "10.1.0.6");
	CREATE(0, .to = "192.0.5.0", .bits = 24, .index = eth, .src = "10.77.0.6");
	CREATE(0, .to = "192.0.6.0", .bits = 24, .index = eth, .via = "172.16.0.1");
	CREATE(0, .to = "192.0.6.0", .bits = 24, .index = eth, .via = "172.16.0.1", .flags = RTNH_F_ONLINK);
	CREATE(0, .to = "192.0.7.0", .bits = 24, .index = eth, .flags = RTNH_F_ONLINK);
	CREATE(0, .to = "192.0.7.0", .bits = 24, .index = eth, .via = "10.1.0.1", .scope = RT_SCOPE_LINK);
	CREATE(0, .to = "192.0.7.0", .bits = 24, .via = "192.0.6.1");
	CREATE(0, .to = "192.0.7.0", .bits = 24, .via = "192.0.3.1");
	CREATE(0, .to = "192.0.8.0", .bits = 24, .via = "10.1.0.5");
	CREATE(0, .to = "192.0.9.0", .bits = 33, .index = eth);
	CREATE(0, .to = "192.0.10.7", .bits = 32, .index = lo, .scope = RT_SCOPE_LINK);
	state();
	struct { const char *to; } get[] = {{"192.0.2.9"}, {"192.0.4.9"}, {"192.0.6.9"}, {"8.8.8.8"}, {"10.1.0.5"}, {"127.0.0.9"}, {"10.1.7.7"}};
	for (unsigned i = 0; i < sizeof get / sizeof *get; i++) {
		struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = 32};
		begin(RTM_GETROUTE, 0, &r, sizeof r);
		address(RTA_DST, get[i].to);
		done("way to %s", get[i].to);
	}
	DELETE(.to = "192.0.2.0", .bits = 25);
	DELETE(.to = "192.0.2.0", .bits = 24, .via = "10.1.0.77");
	DELETE(.to = "192.0.2.0", .bits = 24, .metric = 7);
	DELETE(.to = "192.0.2.0", .bits = 24, .protocol = RTPROT_KERNEL);
	DELETE(.to = "192.0.2.0", .bits = 24, .index = lo);
	DELETE(.to = "192.0.2.0", .bits = 24);
	DELETE(.to = "0.0.0.0", .metric = 10);
	DELETE(.to = "0.0.0.0", .index = eth);
	del_address("10.1.0.6", 16);
	state();
	change_link(eth, 0, IFF_UP);
	done("down");
	state();
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = eth);
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = eth, .via = "10.1.0.1", .flags = RTNH_F_ONLINK);
	change_link(eth, IFF_UP, IFF_UP);
	done("up");
	state();
}

static void links(void) {
	struct ifinfomsg i = {.ifi_index = eth};
	dump(RTM_GETLINK, AF_UNSPEC);
	begin(RTM_SETLINK, 0, &i, sizeof i);
	number(IFLA_MTU, 1400);
	number(IFLA_TXQLEN, 77);
	done("MTU and queue");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	number(IFLA_MTU, 60);
	done("MTU 60");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	number(IFLA_MTU, 100000);
	done("MTU 100000");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_ADDRESS, "\1\2\3\4\5\6", 6);
	done("a multicast address");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_ADDRESS, "\2\2\3", 3);
	done("half an address");
	change_link(eth, 0, IFF_UP);
	attr(IFLA_ADDRESS, "\2\0\0\0\0\10", 6);
	done("down, another address");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_IFNAME, "lo", 3);
	done("the name lo");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_IFNAME, "a/b", 4);
	done("the name a/b");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_IFNAME, "wan", 4);
	done("the name wan");
	begin(RTM_GETLINK, 0, &(struct ifinfomsg){0}, sizeof i);
	attr(IFLA_IFNAME, "wan", 4);
	done("wan");
	begin(RTM_GETLINK, 0, &(struct ifinfomsg){0}, sizeof i);
	attr(IFLA_IFNAME, "eth0", 5);
	done("eth0");
	begin(RTM_SETLINK, 0, &i, sizeof i);
	attr(IFLA_IFNAME, "eth0", 5);
	number(IFLA_MTU, 1500);
	number(IFLA_TXQLEN, 1000);
	done("eth0 again");
	change_link(eth, IFF_UP | IFF_PROMISC, IFF_UP | IFF_PROMISC);
	done("up, promiscuous");
	dump(RTM_GETLINK, AF_UNSPEC);
	change_link(eth, 0, IFF_PROMISC);
	done("not promiscuous");
	change_link(99, IFF_UP, IFF_UP);
	done("device 99");
	change_link(0, IFF_UP, IFF_UP);
	done("no device");
	change_link(-1, IFF_UP, IFF_UP);
	done("device -1");
	i.ifi_index = 1;
	begin(RTM_DELLINK, 0, &i, sizeof i);
	done("delete lo");
	change_link(1, 0, IFF_UP);
	done("lo down");
	state();
	dump(RTM_GETADDR, AF_INET6);
	change_link(1, IFF_UP, IFF_UP);
	done("lo up");
	state();
	i.ifi_index = 0;
	begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof i);
	done("a new device of no kind");
	begin(RTM_NEWLINK, NLM_F_EXCL, &(struct ifinfomsg){.ifi_index = eth}, sizeof i);
	done("one that is there");
	begin(200, 0, &i, sizeof i);
	done("nothing that there is");
}

static void neighbors(void) {
	struct ndmsg d = {.ndm_family = AF_INET, .ndm_ifindex = eth, .ndm_state = NUD_PERMANENT};
#define NEIGHBOR(type, flags, ip, mac, what) do { begin(type, flags, &d, sizeof d); address(NDA_DST, ip); if (mac) attr(NDA_LLADDR, mac, 6); done(what); } while (0)
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, "10.1.0.77", "\2\0\0\0\0\x77", "new");
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, "10.1.0.77", "\2\0\0\0\0\x78", "new again");
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_REPLACE, "10.1.0.77", "\2\0\0\0\0\x78", "replace");
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_REPLACE, "10.1.0.78", "\2\0\0\0\0\x78", "replace another");
	dump(RTM_GETNEIGH, AF_INET);
	d.ndm_state = NUD_STALE;
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_CREATE, "10.1.0.79", "\2\0\0\0\0\x79", "new, stale");
	NEIGHBOR(RTM_DELNEIGH, 0, "10.1.0.80", (char *)0, "delete none");
	NEIGHBOR(RTM_DELNEIGH, 0, "10.1.0.79", (char *)0, "delete");
	begin(RTM_NEWNEIGH, NLM_F_CREATE, &d, sizeof d);
	done("none");
	d.ndm_ifindex = 99;
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_CREATE, "10.1.0.79", "\2\0\0\0\0\x79", "no device");
	d.ndm_ifindex = 0;
	NEIGHBOR(RTM_NEWNEIGH, NLM_F_CREATE, "10.1.0.79", "\2\0\0\0\0\x79", "device 0");

	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct arpreq r = {.arp_dev = "eth0", .arp_flags = ATF_PERM};
	struct sockaddr_in *to = (void *)&r.arp_pa;
	*to = (struct sockaddr_in){AF_INET, 0, {inet_addr("10.1.0.77")}};
	SHOW(ioctl(s, SIOCGARP, &r));
	printf("flags %#x, family %d, %02x\n", r.arp_flags, r.arp_ha.sa_family, (unsigned char)r.arp_ha.sa_data[5]);
	SHOW(ioctl(s, SIOCDARP, &r));
	SHOW(ioctl(s, SIOCGARP, &r));
	r.arp_flags = ATF_PERM;
	r.arp_ha = (struct sockaddr){ARPHRD_ETHER, {2, 0, 0, 0, 0, 9}};
	SHOW(ioctl(s, SIOCSARP, &r));
	char line[200];
	FILE *f = fopen("/proc/net/arp", "r");
	while (fgets(line, sizeof line, f)) fputs(line, stdout);
	fclose(f);
	strcpy(r.arp_dev, "none");
	SHOW(ioctl(s, SIOCDARP, &r));
	r.arp_dev[0] = 0;
	SHOW(ioctl(s, SIOCDARP, &r));
	SHOW(ioctl(s, SIOCGARP, &r));
	to->sin_family = AF_INET6;
	SHOW(ioctl(s, SIOCSARP, &r));
	close(s);
	told();
}

static void requests(void) {
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "eth0"};
	struct sockaddr_in *a = (void *)&r.ifr_addr;
#define SET(req, dev, text) do { strcpy(r.ifr_name, dev); *a = (struct sockaddr_in){AF_INET, 0, {inet_addr(text)}}; printf("%s %s: ", dev, text); SHOW(ioctl(s, req, &r)); told(); } while (0)
	SET(SIOCSIFADDR, "eth0", "172.16.5.5");
	state();
	SET(SIOCSIFNETMASK, "eth0", "255.255.255.0");
	SET(SIOCSIFNETMASK, "eth0", "255.0.255.0");
	SET(SIOCSIFBRDADDR, "eth0", "172.16.5.0");
	SET(SIOCSIFDSTADDR, "eth0", "172.16.5.9");
	SET(SIOCSIFADDR, "eth0:1", "192.168.1.1");
	SET(SIOCSIFNETMASK, "eth0:2", "255.255.255.0");
	SET(SIOCSIFADDR, "eth0", "224.0.0.1");
	SET(SIOCSIFADDR, "none", "10.0.0.1");
	state();
	struct ifreq list[10];
	struct ifconf c = {sizeof list, {(char *)list}};
	SHOW(ioctl(s, SIOCGIFCONF, &c));
	for (int i = 0; i < c.ifc_len / (int)sizeof *list; i++)
		printf("%s %s\n", list[i].ifr_name, inet_ntoa(((struct sockaddr_in *)&list[i].ifr_addr)->sin_addr));

	struct rtentry t = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct sockaddr_in *to = (void *)&t.rt_dst, *gw = (void *)&t.rt_gateway, *mask = (void *)&t.rt_genmask;
	to->sin_family = gw->sin_family = mask->sin_family = AF_INET;
	gw->sin_addr.s_addr = inet_addr("192.168.1.9");
	SHOW(ioctl(s, SIOCADDRT, &t));
	SHOW(ioctl(s, SIOCADDRT, &t));
	told();
	gw->sin_addr.s_addr = inet_addr("192.168.1.8");
	t.rt_metric = 5;
	SHOW(ioctl(s, SIOCADDRT, &t));
	gw->sin_addr.s_addr = 0;
	SHOW(ioctl(s, SIOCADDRT, &t));
	t.rt_flags = RTF_UP;
	t.rt_metric = 0;
	to->sin_addr.s_addr = inet_addr("10.7.0.1");
	mask->sin_addr.s_addr = inet_addr("255.255.0.0");
	t.rt_dev = "eth0";
	SHOW(ioctl(s, SIOCADDRT, &t));
	to->sin_addr.s_addr = inet_addr("10.7.0.0");
	SHOW(ioctl(s, SIOCADDRT, &t));
	t.rt_dev = "none";
	SHOW(ioctl(s, SIOCADDRT, &t));
	t.rt_dev = (char *)1;
	SHOW(ioctl(s, SIOCADDRT, &t));
	t.rt_dev = 0;
	told();
	state();
	SHOW(ioctl(s, SIOCDELRT, &t));
	SHOW(ioctl(s, SIOCDELRT, &t));
	r.ifr_flags = 0;
	strcpy(r.ifr_name, "eth0:1");
	SHOW(ioctl(s, SIOCSIFFLAGS, &r));
	SET(SIOCSIFADDR, "eth0", "0.0.0.0");
	state();
	r.ifr_mtu = 1300;
	SHOW(ioctl(s, SIOCSIFMTU, &r));
	r.ifr_mtu = 0;
	SHOW(ioctl(s, SIOCGIFMTU, &r));
	printf("%d\n", r.ifr_mtu);
	r.ifr_mtu = -1;
	SHOW(ioctl(s, SIOCSIFMTU, &r));
	r.ifr_qlen = 12;
	SHOW(ioctl(s, SIOCSIFTXQLEN, &r));
	close(s);
	s = socket(AF_INET6, SOCK_DGRAM, 0);
	strcpy(r.ifr_name, "eth0");
	SHOW(ioctl(s, SIOCGIFADDR, &r));
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(ioctl(s, SIOCGIFADDR, &r));
	SHOW(ioctl(s, SIOCADDRT, &t));
	SHOW(ioctl(s, SIOCGIFINDEX, &r));
	close(s);
}

static void packets(int kind) {
	int s = socket(AF_PACKET, kind, htons(ETH_P_LOOP));
	for (int i = 0; i <= eth; i++) {
		struct sockaddr_ll a = {AF_PACKET, htons(ETH_P_ARP), i};
		socklen_t n = sizeof a;
		SHOW(bind(s, (void *)&a, sizeof a));
		memset(&a, 0, sizeof a);
		SHOW(getsockname(s, (void *)&a, &n));
		printf("%d bytes, protocol %#x, index %d, type %d, %d bytes: %02x..%02x\n", n, ntohs(a.sll_protocol), a.sll_ifindex, a.sll_hatype, a.sll_halen, a.sll_addr[0], a.sll_addr[5]);
	}
	close(s);
}

static void unprivileged(void) {
	if (seteuid(1000)) fail("seteuid");
	change_link(eth, 0, IFF_UP);
	done("down");
	new_address(0, "10.1.0.5", 16, 0, 0);
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = eth);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "none"};
	struct rtentry t = {0};
	struct arpreq p = {0};
	SHOW(ioctl(s, SIOCSIFADDR, &r));
	SHOW(ioctl(s, SIOCSIFFLAGS, &r));
	SHOW(ioctl(s, SIOCSIFMTU, &r));
	SHOW(ioctl(s, SIOCADDRT, &t));
	SHOW(ioctl(s, SIOCSARP, &p));
	SHOW(ioctl(s, SIOCGIFMTU, &r));
	close(s);
	s = bind_netlink(RTMGRP_LINK);
	close(s);
	if (seteuid(0)) fail("seteuid");
}

static void version6(void) {
	eth = 1; // nobody looks for others with the same address there
	new_address(0, "2001:db8::1", 64, 0, 0);
	new_address(0, "2001:db8::2", 64, 0, 0);
	new_address(NLM_F_EXCL, "2001:db8::2", 64, 0, 0);
	new_address(NLM_F_REPLACE, "2001:db8::2", 64, 0, 0);
	new_address(0, "2001:db8:1::1", 128, 0, 0);
	new_address(0, "ff02::1", 64, 0, 0);
	new_address(0, "::", 64, 0, 0);
	new_address(0, "2001:db8::3", 129, 0, 0);
	printf("now:\n");
	dump(RTM_GETADDR, AF_INET6);
	CREATE(NLM_F_EXCL, .to = "2001:db8:5::", .bits = 48, .index = 1);
	CREATE(NLM_F_EXCL, .to = "2001:db8:5::", .bits = 48, .index = 1);
	CREATE(NLM_F_EXCL, .to = "2001:db8:5::", .bits = 48, .index = 1, .metric = 7);
	CREATE(NLM_F_REPLACE, .to = "2001:db8:5::", .bits = 48, .index = 1, .metric = 7);
	NEW(NLM_F_REPLACE, .to = "2001:db8:6::", .bits = 48, .index = 1);
	NEW(0, .to = "2001:db8:7::77", .bits = 48, .index = 1);
	CREATE(0, .to = "::", .index = 1, .via = "2001:db8::9");
	CREATE(0, .to = "::", .via = "2001:db9::2");
	CREATE(0, .to = "::", .via = "fe80::2");
	CREATE(0, .to = "::", .index = 99);
	CREATE(0, .to = "::");
	CREATE(0, .to = "2001:db8:8::", .bits = 48, .index = 1, .src = "2001:db8:1::1");
	CREATE(0, .to = "2001:db8:9::", .bits = 48, .index = 1, .src = "2001:db8:1::2");
	DELETE(.to = "2001:db8:5::", .bits = 48, .metric = 8);
	DELETE(.to = "2001:db8:5::", .bits = 48);
	DELETE(.to = "2001:db8:a::", .bits = 48);
	del_address("2001:db8::1", 128);
	del_address("2001:db8::1", 64);
	del_address("2001:db8::2", 64);
	del_address("2001:db8::2", 64);
}

// one receives a message, and prints what comes with it.
static void one(int s) {
	static union { struct nlmsghdr h; char b[8192]; } u;
	char control[200];
	struct sockaddr_nl from = {0};
	struct iovec v = {&u, sizeof u};
	struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t n = SHOW(recvmsg(s, &m, MSG_DONTWAIT) > 0);
	if (n <= 0) return;
	printf("message %d, flags %#x, error %d, port %d; from %d, groups %#x, flags %#x", u.h.nlmsg_type, u.h.nlmsg_flags,
		u.h.nlmsg_type == NLMSG_ERROR ? ((struct nlmsgerr *)NLMSG_DATA(&u.h))->error : 0, u.h.nlmsg_pid != 0, from.nl_pid, from.nl_groups, m.msg_flags);
	if (u.h.nlmsg_type == NLMSG_ERROR && !(u.h.nlmsg_flags & NLM_F_ACK_TLVS)) printf(", %d bytes", u.h.nlmsg_len);
	for (int pass = 0; pass < 2; pass++) // in one order
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			int *p = (void *)CMSG_DATA(c);
			if (pass == (c->cmsg_level == SOL_SOCKET)) printf("; control %d %d: %d", c->cmsg_level, c->cmsg_type, p[0]);
		}
	printf("\n");
}

static void listening(void) {
	int s = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE), t = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE), on = 1, off = 0;
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 4711, .nl_groups = RTMGRP_IPV4_ROUTE};
	socklen_t n = sizeof a;
	SHOW(bind(s, (void *)&a, sizeof a));
	SHOW(bind(t, (void *)&a, sizeof a));
	a.nl_pid = 4712;
	SHOW(bind(s, (void *)&a, sizeof a));
	SHOW(bind(t, (void *)&a, sizeof a));
	SHOW(bind(t, (void *)&a, 4));
	close(t);
	a.nl_pid = 0;
	a.nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_NEIGH;
	SHOW(bind(s, (void *)&a, sizeof a));
	SHOW(getsockname(s, (void *)&a, &n));
	printf("%d bytes, port %d, groups %#x\n", n, a.nl_pid, a.nl_groups);
	int groups[] = {0, RTNLGRP_LINK, RTNLGRP_IPV6_ROUTE, RTNLGRP_ND_USEROPT, 33, 1000, -1};
	for (int i = 0; i < 7; i++) SHOW(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof *groups));
	SHOW(setsockopt(s, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &groups[1], sizeof *groups));
	SHOW(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[1], 2));
	SHOW(setsockopt(s, SOL_NETLINK, 99, &on, sizeof on));
	unsigned list[4] = {0};
	n = sizeof list;
	SHOW(getsockopt(s, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, list, &n));
	printf("%#x %#x\n", list[0], list[1]);
	for (int i = NETLINK_PKTINFO; i <= NETLINK_GET_STRICT_CHK; i++) {
		int v = 7;
		n = sizeof v;
		printf("%d: ", i);
		if (i != NETLINK_LIST_MEMBERSHIPS) SHOW(getsockopt(s, SOL_NETLINK, i, &v, &n));
		printf("%d\n", i == NETLINK_LIST_MEMBERSHIPS ? 0 : v);
	}
	SHOW(setsockopt(s, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof on));
	SHOW(setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	n = sizeof on;
	SHOW(getsockopt(s, SOL_NETLINK, NETLINK_PKTINFO, &on, &n));
	change_link(eth, IFF_UP, IFF_UP);
	done("up");
	CREATE(0, .to = "192.0.2.0", .bits = 24, .index = eth);
	one(s);
	one(s);
	for (int i = 0; i < 4; i++) { // all kinds of acknowledgements
		SHOW(setsockopt(s, SOL_NETLINK, NETLINK_EXT_ACK, i & 1 ? &on : &off, sizeof on));
		SHOW(setsockopt(s, SOL_NETLINK, NETLINK_CAP_ACK, i & 2 ? &on : &off, sizeof on));
		begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ACK, &(struct rtmsg){AF_INET, 24, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST}, sizeof(struct rtmsg));
		address(RTA_DST, "192.0.2.1");
		number(RTA_OIF, eth);
		SHOW(send(s, &q, q.h.nlmsg_len, 0) > 0);
		one(s);
		begin(RTM_GETLINK, NLM_F_ACK, &(struct ifinfomsg){.ifi_index = 1}, sizeof(struct ifinfomsg));
		SHOW(send(s, &q, q.h.nlmsg_len, 0) > 0);
		one(s);
		one(s);
	}
	q.h.nlmsg_flags = NLM_F_ACK; // no request
	q.h.nlmsg_type = RTM_DELLINK;
	SHOW(send(s, &q, q.h.nlmsg_len, 0) > 0);
	one(s);
	q.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	q.h.nlmsg_type = NLMSG_NOOP;
	SHOW(send(s, &q, q.h.nlmsg_len, 0) > 0);
	one(s);
	q.h.nlmsg_len = 10000; // there is not so much
	SHOW(send(s, &q, 32, 0) > 0);
	one(s);
	SHOW(send(s, &q, 5, 0));
	one(s);
	a.nl_pid = 77;
	SHOW(sendto(s, &q, 32, 0, (void *)&a, sizeof a));
	SHOW(recv(s, &q, sizeof q, MSG_OOB | MSG_DONTWAIT));
	DELETE(.to = "192.0.2.0", .bits = 24);
	close(s);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	prepare();
	ask = bind_netlink(0);
	hear = bind_netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_NEIGH);
	addresses();
	routes();
	links();
	neighbors();
	requests();
	listening();
	packets(SOCK_RAW);
	packets(SOCK_DGRAM);
	unprivileged();
	version6();
	return 0;
}

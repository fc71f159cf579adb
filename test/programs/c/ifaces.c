// ifaces: what a program is told of the network devices and of the sockets that there
// are: of the loopback device only, which every machine has.
#include "show.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// Of linux/netlink.h and linux/rtnetlink.h, which are not among musl's headers.
struct nlmsghdr { uint32_t nlmsg_len; uint16_t nlmsg_type, nlmsg_flags; uint32_t nlmsg_seq, nlmsg_pid; };
struct ifinfomsg { uint8_t ifi_family; uint16_t ifi_type; int32_t ifi_index; uint32_t ifi_flags, ifi_change; };
struct sockaddr_nl { uint16_t nl_family, nl_pad; uint32_t nl_pid, nl_groups; };
enum { NETLINK_ROUTE = 0, RTM_GETLINK = 18, NLM_F_REQUEST = 1 };

static void addresses(void) {
	struct ifaddrs *all, *i;
	SHOW(getifaddrs(&all));
	for (i = all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, "lo")) continue;
		char a[100] = "-", m[100] = "-";
		int f = i->ifa_addr ? i->ifa_addr->sa_family : 0;
		if (f == AF_INET) {
			inet_ntop(f, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, a, sizeof a);
			inet_ntop(f, &((struct sockaddr_in *)i->ifa_netmask)->sin_addr, m, sizeof m);
		} else if (f == AF_INET6) {
			inet_ntop(f, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, a, sizeof a);
			inet_ntop(f, &((struct sockaddr_in6 *)i->ifa_netmask)->sin6_addr, m, sizeof m);
		}
		printf("lo: family %d, flags %#x, %s, mask %s\n", f, i->ifa_flags, a, m);
	}
	freeifaddrs(all);
	SHOW(if_nametoindex("lo"));
	SHOW(if_nametoindex("nodevice"));
	char name[IF_NAMESIZE] = "";
	printf("if_indextoname: %s\n", if_indextoname(1, name) ? name : "none");
}

static void requests(int family) {
	int s = socket(family, SOCK_DGRAM, 0);
	struct ifreq r;
#define ASK(req, ...) do { memset(&r, 0, sizeof r); strcpy(r.ifr_name, "lo"); if (!SHOW(ioctl(s, req, &r))) printf("\t" __VA_ARGS__); } while (0)
	ASK(SIOCGIFFLAGS, "%#x\n", r.ifr_flags & 0xffff);
	ASK(SIOCGIFMTU, "%d\n", r.ifr_mtu);
	ASK(SIOCGIFINDEX, "%d\n", r.ifr_ifindex);
	ASK(SIOCGIFMETRIC, "%d\n", r.ifr_metric);
	ASK(SIOCGIFTXQLEN, "%d\n", r.ifr_qlen);
	ASK(SIOCGIFHWADDR, "%d, %02x\n", r.ifr_hwaddr.sa_family, r.ifr_hwaddr.sa_data[0]);
	if (family == AF_INET) {
		ASK(SIOCGIFADDR, "%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
		ASK(SIOCGIFNETMASK, "%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
		ASK(SIOCGIFBRDADDR, "%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
	}
	strcpy(r.ifr_name, "nodevice");
	SHOW(ioctl(s, SIOCGIFMTU, &r));
	struct ifreq list[20];
	struct ifconf c = {sizeof list, {(char *)list}};
	SHOW(ioctl(s, SIOCGIFCONF, &c));
	printf("first: %s\n", list[0].ifr_name);
	close(s);
}

static void netlink(void) {
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl a = {AF_NETLINK};
	socklen_t n = sizeof a;
	SHOW(bind(s, (struct sockaddr *)&a, sizeof a));
	SHOW(getsockname(s, (struct sockaddr *)&a, &n));
	printf("%d bytes, port %d\n", n, a.nl_pid != 0);
	struct { struct nlmsghdr h; struct ifinfomsg i; } one = {{sizeof one, RTM_GETLINK, NLM_F_REQUEST, 7}, {AF_UNSPEC, 0, 1}};
	SHOW(send(s, &one, sizeof one, 0));
	char buf[8192];
	struct nlmsghdr *h = (void *)buf;
	SHOW(recv(s, buf, sizeof buf, 0) > 0);
	struct ifinfomsg *i = (void *)(h + 1);
	printf("type %d, flags %#x, seq %d; device %d of type %d, flags %#x\n", h->nlmsg_type, h->nlmsg_flags, h->nlmsg_seq, i->ifi_index, i->ifi_type, i->ifi_flags);
	one.i.ifi_index = 12345;
	SHOW(send(s, &one, sizeof one, 0));
	SHOW(recv(s, buf, sizeof buf, MSG_TRUNC));
	printf("type %d, error %d\n", h->nlmsg_type, *(int *)(h + 1));
	SHOW(recv(s, buf, sizeof buf, MSG_DONTWAIT));
	SHOW(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
	SHOW(socket(AF_NETLINK, SOCK_RAW, 99));
	close(s);
}

// line prints what a file has of a device or of a port.
static void line(const char *file, const char *want) {
	char l[1000];
	FILE *f = fopen(file, "r");
	printf("%s: %s\n", file, f ? "" : strerror(errno));
	while (f && fgets(l, sizeof l, f))
		if (strstr(l, want)) fputs(l, stdout);
	if (f) fclose(f);
}

static void tables(void) {
	int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in a = {AF_INET, htons(31999), {htonl(INADDR_LOOPBACK)}};
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(s, (void *)&a, sizeof a) || listen(s, 5)) perror("listen");
	char l[1000];
	FILE *f = fopen("/proc/net/tcp", "r");
	fgets(l, sizeof l, f);
	fputs(l, stdout);
	while (fgets(l, sizeof l, f)) {
		char local[50], remote[50];
		int state;
		sscanf(l, "%*d: %49s %49s %x", local, remote, &state);
		if (strstr(l, ":7CFF")) printf("%s %s %02x, %d characters\n", local, remote, state, (int)strlen(l));
	}
	fclose(f);
	close(s);
	line("/proc/net/if_inet6", " lo");
	line("/proc/net/dev", "face");
	line("/proc/net/route", "Iface");
	line("/proc/net/udp6", "sl");
	line("/proc/sys/net/core/somaxconn", "");
	static const char *attributes[] = {"mtu", "address", "type", "ifindex", "flags", "addr_len", "operstate", "tx_queue_len", "broadcast"};
	for (int i = 0; i < 9; i++) {
		char path[100];
		snprintf(path, sizeof path, "/sys/class/net/lo/%s", attributes[i]);
		line(path, "");
	}
}

static void lookups(void) {
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *r;
	int e = getaddrinfo("127.0.0.1", "80", &hints, &r);
	printf("getaddrinfo: %d %s\n", e, e ? "" : inet_ntoa(((struct sockaddr_in *)r->ai_addr)->sin_addr));
	hints.ai_flags = AI_NUMERICHOST;
	printf("getaddrinfo: %d\n", getaddrinfo("a name", "80", &hints, &r));
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	addresses();
	requests(AF_INET);
	requests(AF_UNIX);
	netlink();
	tables();
	lookups();
}

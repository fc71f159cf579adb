// frames: Ethernet frames by packet(7) sockets on eth0. It says what the interface is,
// calls, and then answers each frame of its protocol with all bits of the data turned,
// until one begins with "end".
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

enum { protocol = 0x88b5 }; // for experiments

static unsigned char frame[70000];

static void fail(const char *what) {
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv) {
	int s = socket(AF_PACKET, SOCK_RAW, htons(protocol));
	if (s < 0) fail("socket");
	struct ifreq r = {0};
	strcpy(r.ifr_name, "eth0");
	if (ioctl(s, SIOCGIFINDEX, &r)) fail("SIOCGIFINDEX");
	int index = r.ifr_ifindex;
	if (ioctl(s, SIOCGIFHWADDR, &r)) fail("SIOCGIFHWADDR");
	unsigned char mac[6];
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	printf("index %d, type %d, address %02x:%02x:%02x:%02x:%02x:%02x", index, r.ifr_hwaddr.sa_family, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (ioctl(s, SIOCGIFMTU, &r)) fail("SIOCGIFMTU");
	printf(", MTU %d", r.ifr_mtu);
	if (ioctl(s, SIOCGIFFLAGS, &r)) fail("SIOCGIFFLAGS");
	printf(", flags %#x\n", r.ifr_flags & (IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST));

	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index, .sll_halen = 6};
	if (bind(s, (void *)&to, sizeof to)) fail("bind");
	struct packet_mreq all = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
	if (setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all)) fail("PACKET_ADD_MEMBERSHIP");

	// Without the header: the kernel makes it.
	int d = socket(AF_PACKET, SOCK_DGRAM, htons(protocol));
	if (d < 0) fail("socket");
	memset(to.sll_addr, 0xff, 6);
	if (sendto(d, "hello", 5, 0, (void *)&to, sizeof to) != 5) fail("sendto");
	close(d);
	for (;;) {
		struct sockaddr_ll from;
		socklen_t size = sizeof from;
		struct pollfd p = {s, POLLIN};
		if (poll(&p, 1, 60000) != 1) fail("poll");
		ssize_t n = recvfrom(s, frame, sizeof frame, 0, (void *)&from, &size);
		if (n < 0) fail("recvfrom");
		if (from.sll_ifindex != index || ntohs(from.sll_protocol) != protocol || from.sll_halen != 6 || memcmp(from.sll_addr, frame + 6, 6)) puts("from somewhere else");
		if (from.sll_pkttype == PACKET_OUTGOING) continue;
		if (memcmp(frame + 14, "end", 3) == 0) break;
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, mac, 6);
		for (ssize_t i = 14; i < n; i++) frame[i] = ~frame[i];
		if (write(s, frame, n) != n) fail("write");
	}
	puts("over");
	return 0;
}

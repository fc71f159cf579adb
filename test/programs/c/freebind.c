// freebind: sockets bound to addresses that the machine has not.
#include "show.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

union addr { struct sockaddr a; struct sockaddr_in v4; struct sockaddr_in6 v6; };

static int get(int s, int level, int opt) {
	int v = -1;
	socklen_t n = sizeof v;
	return getsockopt(s, level, opt, &v, &n) ? -1 : v;
}

int main(void) {
	static const int families[] = {AF_INET, AF_INET6}, kinds[] = {SOCK_STREAM, SOCK_DGRAM};
	int one = 1, zero = 0;
	for (int i = 0; i < 8; i++) {
		int family = families[i & 1], kind = kinds[i >> 1 & 1], transparent = i >> 2;
		int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, opt;
		if (family == AF_INET) opt = transparent ? IP_TRANSPARENT : IP_FREEBIND;
		else opt = transparent ? IPV6_TRANSPARENT : IPV6_FREEBIND;
		printf("- family %d, kind %d, %s\n", family, kind, transparent ? "transparent" : "free");
		union addr foreign = {0}, own = {0}, got = {0};
		socklen_t n = family == AF_INET ? sizeof foreign.v4 : sizeof foreign.v6;
		foreign.a.sa_family = own.a.sa_family = family;
		if (family == AF_INET) foreign.v4.sin_addr.s_addr = htonl(0xcb007109), own.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else inet_pton(AF_INET6, "2001:db8::9", &foreign.v6.sin6_addr), own.v6.sin6_addr = in6addr_loopback;
		int s = socket(family, kind, 0);
		SHOW(bind(s, &foreign.a, n));
		SHOW(get(s, level, opt));
		SHOW(setsockopt(s, level, opt, &one, sizeof one));
		SHOW(get(s, level, opt));
		SHOW(bind(s, &foreign.a, n));
		getsockname(s, &got.a, &n);
		printf("the address: %d\n", memcmp(family == AF_INET ? (void *)&got.v4.sin_addr : (void *)&got.v6.sin6_addr,
			family == AF_INET ? (void *)&foreign.v4.sin_addr : (void *)&foreign.v6.sin6_addr, family == AF_INET ? 4 : 16));
		if (kind == SOCK_STREAM) SHOW(listen(s, 1));
		close(s);
		s = socket(family, kind, 0); // own addresses are no others than without
		SHOW(setsockopt(s, level, opt, &one, sizeof one));
		SHOW(setsockopt(s, level, opt, &zero, sizeof zero));
		SHOW(bind(s, &foreign.a, n));
		SHOW(bind(s, &own.a, n));
		close(s);
	}
	union addr to = {.v4 = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}}}, foreign = {.v4 = {AF_INET, 0, {htonl(0xcb007109)}}};
	for (int i = 0; i < 2; i++) { // sending from there
		int s = socket(AF_INET, kinds[i], 0);
		setsockopt(s, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
		bind(s, &foreign.a, sizeof foreign.v4);
		SHOW(connect(s, &to.a, sizeof to.v4));
		if (i) SHOW(sendto(s, "x", 1, 0, &to.a, sizeof to.v4));
		close(s);
	}
	return 0;
}

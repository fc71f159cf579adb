// fastopen: TCP Fast Open where no server takes data early: MSG_FASTOPEN connects first, the
// options are kept.
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

static struct sockaddr_in to = {.sin_family = AF_INET};

#define TO (struct sockaddr *)&to, sizeof to

static int stream(int flags) { return socket(AF_INET, SOCK_STREAM | flags, 0); }

static int listener(void) {
	int s = stream(0);
	socklen_t n = sizeof to;
	to.sin_port = 0, to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(s, TO) || listen(s, 16) || getsockname(s, (struct sockaddr *)&to, &n)) perror("listener");
	return s;
}

// took prints what comes at the other end of the next connection, until it ends.
static void took(int s) {
	char buf[100];
	int x = accept(s, 0, 0), n, all = 0;
	while ((n = read(x, buf + all, sizeof buf - all)) > 0) all += n;
	printf("\taccepted %d bytes: %.*s\n", all, all, buf);
	close(x);
}

static int set(int s, int opt, int v) { return setsockopt(s, IPPROTO_TCP, opt, &v, sizeof v); }
static int get(int s, int opt) {
	int v = -1;
	socklen_t n = sizeof v;
	return getsockopt(s, IPPROTO_TCP, opt, &v, &n) ? -1 : v;
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	int s = listener(), c;

	c = stream(0); // one that waits
	SHOW(sendto(c, "hello", 5, MSG_FASTOPEN, TO));
	SHOW(sendto(c, "again", 5, MSG_FASTOPEN, TO));
	SHOW(send(c, "again", 5, MSG_FASTOPEN));
	SHOW(send(c, " more", 5, 0));
	close(c);
	took(s);

	c = stream(0); // nothing but the connection
	SHOW(sendto(c, "", 0, MSG_FASTOPEN, TO));
	SHOW(send(c, "x", 1, 0));
	close(c);
	took(s);

	c = stream(0);
	struct iovec v[2] = {{"two ", 4}, {"parts", 5}};
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = v, .msg_iovlen = 2};
	SHOW(sendmsg(c, &m, MSG_FASTOPEN));
	close(c);
	took(s);

	for (int flag = 0; flag < 2; flag++) { // one that does not
		c = stream(flag ? 0 : SOCK_NONBLOCK);
		SHOW(sendto(c, "lost", 4, MSG_FASTOPEN | (flag ? MSG_DONTWAIT : 0), TO));
		struct pollfd p = {c, POLLOUT, 0};
		SHOW(poll(&p, 1, -1));
		printf("\t%#x\n", p.revents);
		SHOW(sendto(c, "sent", 4, MSG_FASTOPEN, TO));
		SHOW(sendto(c, "lost", 4, MSG_FASTOPEN, TO));
		close(c);
		took(s);
	}

	c = stream(0); // nowhere to go
	SHOW(send(c, "x", 1, MSG_FASTOPEN));
	struct sockaddr_in un = {.sin_family = AF_UNSPEC};
	SHOW(sendto(c, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&un, sizeof un));
	SHOW(sendto(c, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, 3));
	un.sin_family = AF_UNIX;
	SHOW(sendto(c, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&un, sizeof un));
	SHOW(send(c, "x", 1, 0));
	SHOW(sendto(s, "x", 1, MSG_FASTOPEN, TO));
	close(c);

	c = stream(0); // nobody there
	struct sockaddr_in was = to;
	int t = listener();
	close(t);
	SHOW(sendto(c, "x", 1, MSG_FASTOPEN, TO));
	SHOW(send(c, "x", 1, 0));
	to = was;
	SHOW(sendto(c, "after", 5, MSG_FASTOPEN, TO));
	close(c);
	took(s);

	c = stream(0);
	SHOW(get(c, TCP_FASTOPEN_CONNECT));
	SHOW(set(c, TCP_FASTOPEN_CONNECT, 2));
	SHOW(set(c, TCP_FASTOPEN_CONNECT, -1));
	SHOW(set(c, TCP_FASTOPEN_CONNECT, 1));
	SHOW(get(c, TCP_FASTOPEN_CONNECT));
	SHOW(connect(c, TO));
	SHOW(set(c, TCP_FASTOPEN_CONNECT, 0));
	SHOW(write(c, "deferred", 8));
	SHOW(set(c, TCP_FASTOPEN, 1));
	close(c);
	took(s);

	c = stream(SOCK_NONBLOCK);
	SHOW(set(c, TCP_FASTOPEN_CONNECT, 1));
	SHOW(connect(c, TO));
	struct pollfd p = {c, POLLOUT, 0};
	SHOW(poll(&p, 1, -1));
	close(c);
	took(s);

	SHOW(get(s, TCP_FASTOPEN));
	SHOW(set(s, TCP_FASTOPEN, -1));
	SHOW(set(s, TCP_FASTOPEN, 16));
	SHOW(get(s, TCP_FASTOPEN));
	SHOW(set(s, TCP_FASTOPEN, 1 << 20));
	SHOW(get(s, TCP_FASTOPEN));
	SHOW(set(s, TCP_FASTOPEN_CONNECT, 1));
	c = stream(0); // a server that would take data early, if it was allowed to
	SHOW(sendto(c, "early", 5, MSG_FASTOPEN, TO));
	close(c);
	took(s);
	close(s);

	c = socket(AF_INET, SOCK_DGRAM, 0); // a datagram is sent anyway
	SHOW(sendto(c, "x", 1, MSG_FASTOPEN, TO));
	close(c);
	return 0;
}

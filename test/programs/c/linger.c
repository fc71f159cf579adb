// linger: close that waits for the peer to take all (SO_LINGER), and what ends that.
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

static struct sockaddr_in to = {.sin_family = AF_INET};
static int lis, c, x;
static volatile sig_atomic_t alarms;

static void caught(int sig) { alarms++; }

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

// begin makes a connection whose peer reads nothing yet. It returns how many bytes are on their way.
static int begin(const char *what, int seconds, int full) {
	static char b[100000];
	printf("- %s\n", what);
	c = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(c, (struct sockaddr *)&to, sizeof to)) perror("connect");
	x = accept(lis, 0, 0);
	struct linger l = {1, seconds};
	setsockopt(c, SOL_SOCKET, SO_LINGER, &l, sizeof l);
	int all = 0, n;
	while (full && (n = send(c, b, sizeof b, MSG_DONTWAIT)) > 0) all += n;
	if (!full) all = send(c, b, 5, 0);
	return all;
}

static void *reads(void *p) {
	static char b[100000];
	int n;
	long all = 0;
	usleep(20000);
	while ((n = read(x, b, sizeof b)) > 0) all += n;
	return (void *)all;
}

int main(void) {
	socklen_t n = sizeof to;
	lis = socket(AF_INET, SOCK_STREAM, 0);
	int small = 10000;
	setsockopt(lis, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(lis, (struct sockaddr *)&to, n) || listen(lis, 16) || getsockname(lis, (struct sockaddr *)&to, &n)) perror("listen");

	begin("a peer that takes it but does not close", 1000, 0);
	SHOW(close(c));
	close(x);

	pthread_t t;
	int all = begin("a peer that reads late", 1000, 1);
	pthread_create(&t, 0, reads, 0);
	SHOW(close(c));
	void *got;
	pthread_join(t, &got);
	printf("all of it: %d\n", (long)got == all);
	close(x);

	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &sa, 0);
	struct itimerval often = {{0, 50000}, {0, 50000}}, never = {0};
	all = begin("a signal", 1000, 1);
	setitimer(ITIMER_REAL, &often, 0);
	SHOW(close(c));
	setitimer(ITIMER_REAL, &never, 0);
	printf("%d\n", alarms > 0);
	SHOW(close(c));
	printf("all of it: %d\n", (long)reads(0) == all);
	close(x);

	begin("by another descriptor", 1000, 1);
	int d = dup(c);
	SHOW(close(c));
	alarms = 0;
	setitimer(ITIMER_REAL, &often, 0);
	SHOW(dup2(lis, d) == d);
	setitimer(ITIMER_REAL, &never, 0);
	printf("%d\n", alarms > 0);
	close(d), close(x);

	begin("one second", 1, 1);
	double was = now();
	SHOW(close(c));
	printf("at least that long: %d\n", now() - was > .99);
	close(x);

	begin("a peer that has gone", 1000, 1);
	close(x);
	SHOW(close(c));
	return 0;
}

// vsockpeer: talks by AF_VSOCK with a program of test/programs/vsockhost.
//
//	vsockpeer connect CID PORT MEGABYTES ROUNDS   sends, receives, and goes to and fro
//	vsockpeer listen PORT                         answers one connection with what it sends
//	vsockpeer move CID PORT PORT2                 connects, loses that when the machine moves, and then listens
//
// It prints what went wrong, and how fast it was to the standard error.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static char buf[256 << 10];

static void fail(const char *what) {
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int dial(unsigned cid, unsigned port) {
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);
	struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	if (s < 0) fail("socket");
	if (connect(s, (void *)&a, sizeof a)) fail("connect");
	return s;
}

// What a stream consists of: byte i of it is this.
static char byteAt(uint64_t i) { return (i * 7 + (i >> 9)) & 0xff; }

static void give(int s, const void *p, size_t n) {
	for (const char *c = p; n > 0;) {
		ssize_t k = write(s, c, n);
		if (k <= 0) fail("write");
		c += k, n -= k;
	}
}

static void take(int s, void *p, size_t n) {
	for (char *c = p; n > 0;) {
		ssize_t k = read(s, c, n);
		if (k <= 0) fail("read");
		c += k, n -= k;
	}
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IONBF, 0);
	if (argc == 5) { // move
		int s = dial(atoi(argv[2]), atoi(argv[3]));
		give(s, "Ex", 2);
		take(s, buf, 1);
		puts("connected");
		ssize_t n = read(s, buf, 1);
		printf("read: %s\n", n < 0 ? strerror(errno) : "no error");
		argv[2] = argv[4], argc = 3;
	}
	if (argc == 3) { // listen
		int l = socket(AF_VSOCK, SOCK_STREAM, 0);
		struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = atoi(argv[2])};
		if (l < 0 || bind(l, (void *)&a, sizeof a) || listen(l, 5)) fail("listen");
		puts("listening");
		int s = accept(l, 0, 0);
		if (s < 0) fail("accept");
		uint64_t total;
		take(s, &total, sizeof total);
		while (total > 0) {
			ssize_t n = read(s, buf, sizeof buf);
			if (n <= 0) fail("read");
			give(s, buf, n);
			total -= n;
		}
		puts("over");
		return 0;
	}
	if (argc < 6) return 2;
	unsigned cid = atoi(argv[2]), port = atoi(argv[3]);
	uint64_t total = (uint64_t)atoi(argv[4]) << 20, count;
	int rounds = atoi(argv[5]);

	int s = dial(cid, port);
	double start = now();
	give(s, "S", 1);
	give(s, &total, sizeof total);
	for (uint64_t at = 0; at < total;) {
		size_t n = total - at < sizeof buf ? total - at : sizeof buf;
		if (total <= 16 << 20)
			for (size_t i = 0; i < n; i++) buf[i] = byteAt(at + i);
		give(s, buf, n);
		at += n;
	}
	take(s, &count, sizeof count);
	if (count != total) printf("the host got %lu bytes of %lu\n", count, total);
	if (read(s, buf, 1) != 0) puts("no end");
	close(s);
	fprintf(stderr, "to the host MB/s %.1f\n", (total >> 20) / (now() - start));

	s = dial(cid, port);
	start = now();
	give(s, "G", 1);
	give(s, &total, sizeof total);
	count = 0;
	for (ssize_t n; (n = read(s, buf, sizeof buf)) != 0; count += n) {
		if (n < 0) fail("read");
		for (ssize_t i = 0; total <= 16 << 20 && i < n; i++)
			if (buf[i] != byteAt(count + i)) {
				printf("byte %lu is not what it should be\n", count + i);
				exit(1);
			}
	}
	if (count != total) printf("the host sent %lu bytes of %lu\n", count, total);
	close(s);
	fprintf(stderr, "from the host MB/s %.1f\n", (total >> 20) / (now() - start));

	s = dial(cid, port);
	give(s, "E", 1);
	start = now();
	for (int i = 0; i < rounds; i++) {
		char c = i, d = ~i;
		give(s, &c, 1);
		take(s, &d, 1);
		if (c != d) puts("not the same byte");
	}
	fprintf(stderr, "round trips/s %.0f\n", rounds / (now() - start));
	close(s);
	puts("well");
	return 0;
}

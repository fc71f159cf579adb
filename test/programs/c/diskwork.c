// Threads write to a disk, each in its own way and to its own part, and leave it
// to the kernel to bring that to the disk: diskwork DEVICE write SEED [die]. With die
// the program is killed then. diskwork DEVICE read reads it, in several ways, and tells what is there.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { parts = 4, piece = 32 << 10 };

static const char *path;
static uint64_t size;
static unsigned seed, sums[parts];

static void fail(const char *what) { perror(what), exit(1); }

static void pattern(unsigned char *p, size_t n, uint64_t at) {
	for (size_t i = 0; i < n; i++) {
		uint64_t x = (at + i) / 8 * 0x9e3779b97f4a7c15 + seed;
		x ^= x >> 29, x *= 0xbf58476d1ce4e5b9, x ^= x >> 32;
		p[i] = x >> (at + i) % 8 * 8;
	}
}

static void *work(void *arg) {
	int k = (uintptr_t)arg, fd = open(path, (seed ? O_RDWR : O_RDONLY) | (k == 1 ? O_DIRECT : 0));
	if (fd < 0) fail(path);
	uint64_t part = size / parts & ~4095ul, from = part * k, to = k == parts - 1 ? size : from + part;
	unsigned char *buf = mmap(0, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *map = k == 2 ? mmap(0, to - from, seed ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, from) : 0;
	if (map == MAP_FAILED) fail("mmap");
	for (uint64_t at = from; at < to; at += piece) {
		size_t n = to - at < piece ? to - at : piece;
		struct iovec v[3] = {{buf, n / 5}, {buf + n / 5, n / 3}, {buf + n / 5 + n / 3, n - n / 5 - n / 3}};
		ssize_t done = n;
		if (seed) {
			pattern(buf, n, at);
			if (map) memcpy(map + (at - from), buf, n);
			else done = k == 3 ? pwritev(fd, v, 3, at) : pwrite(fd, buf, n, at);
		} else if (map) memcpy(buf, map + (at - from), n);
		else done = k == 3 ? preadv(fd, v, 3, at) : pread(fd, buf, n, at);
		if (done != (ssize_t)n) fail(seed ? "write" : "read");
		for (size_t i = 0; i < n; i++) sums[k] = (sums[k] ^ buf[i]) * 16777619u;
	}
	return 0;
}

int main(int argc, char **argv) {
	path = argv[1];
	seed = argc > 3 ? atoi(argv[3]) : 0;
	int fd = open(path, O_RDONLY);
	size = lseek(fd, 0, SEEK_END);
	pthread_t t[parts];
	for (uintptr_t i = 0; i < parts; i++)
		if (pthread_create(&t[i], 0, work, (void *)i)) fail("pthread_create");
	for (int i = 0; i < parts; i++) pthread_join(t[i], 0);
	printf("%llu bytes: %08x %08x %08x %08x\n", (unsigned long long)size, sums[0], sums[1], sums[2], sums[3]);
	fflush(stdout);
	if (argc > 4) kill(getpid(), SIGKILL);
	return 0;
}

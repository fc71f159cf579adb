// What a disk does: sequential writes and reads of 256 MB by way of the cache,
// random reads of 4 KiB past it, one at a time and 32. disk DEVICE [NAME] measures
// all, or what is called so; disk DEVICE NAME READS with so many reads of a thread.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MiB = 1 << 20, size = 256 * MiB, chunk = 128 << 10, block = 4096, depth = 32 };

static int reads = 1000;

static char buf[chunk] __attribute__((aligned(block)));
static int direct;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static double sequential(int fd, ssize_t (*f)(), const char *what) {
	double start = now();
	lseek(fd, 0, SEEK_SET);
	for (int i = 0; i < size / chunk; i++)
		if (f(fd, buf, chunk) != chunk) fail(what);
	if (fsync(fd)) fail("fsync");
	return size / 1e6 / (now() - start);
}

static void *random_reads(void *seed) {
	uint64_t x = (uintptr_t)seed * 0x9e3779b97f4a7c15 + 1;
	void *p;
	if (posix_memalign(&p, block, block)) fail("memory");
	memset(p, 0, block);
	for (int i = 0; i < reads; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		if (pread(direct, p, block, (x >> 33) % (size / block) * block) != block) fail("pread");
	}
	return 0;
}

static double random_at(int threads) {
	pthread_t t[depth];
	double start = now();
	for (uintptr_t i = 0; i < threads; i++)
		if (pthread_create(&t[i], 0, random_reads, (void *)(i + 1))) fail("pthread_create");
	for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
	return threads * reads / (now() - start);
}

int main(int argc, char **argv) {
	int fd = open(argv[1], O_RDWR);
	direct = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || direct < 0) fail(argv[1]);
	const char *only = argc > 2 ? argv[2] : "";
	if (argc > 3) reads = atoi(argv[3]);
	memset(buf, 'x', sizeof buf);
	struct { const char *name; double v; } r[] = {{"write"}, {"read"}, {"random"}, {"random32"}};
	for (int i = 0; i < 4; i++) {
		if (*only && strcmp(only, r[i].name)) continue;
		if (ioctl(fd, BLKFLSBUF, 0)) fail("BLKFLSBUF");
		switch (i) {
		case 0: r[i].v = sequential(fd, write, "write"); break;
		case 1: r[i].v = sequential(fd, read, "read"); break;
		case 2: r[i].v = random_at(1); break;
		case 3: r[i].v = random_at(depth); break;
		}
		printf("disk %s %.1f\n", r[i].name, r[i].v);
		fflush(stdout);
	}
	return 0;
}

// diskwork: threads write to a disk, each in its own way and to its own part, and leave it
// to the kernel to bring that to the disk; or read it, in these ways.
#ifndef DISKWORK_H
#define DISKWORK_H

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { parts = 4, piece = 32 << 10 };

struct diskwork {
	const char *path;
	unsigned seed; // of what is written, 0: it is read
	uint64_t size;
	unsigned sums[parts];
};

struct diskpart {
	struct diskwork *w;
	int k;
};

static void fail(const char *what) { perror(what), exit(1); }

static void pattern(unsigned char *p, size_t n, uint64_t at, unsigned seed) {
	uint64_t x = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || (at + i) % 8 == 0) {
			x = (at + i) / 8 * 0x9e3779b97f4a7c15 + seed;
			x ^= x >> 29, x *= 0xbf58476d1ce4e5b9, x ^= x >> 32;
		}
		p[i] = x >> (at + i) % 8 * 8;
	}
}

static unsigned sum(unsigned s, const unsigned char *p, size_t n) {
	for (size_t i = 0; i < n; i++) s = (s ^ p[i]) * 16777619u;
	return s;
}

static void *diskpart(void *arg) {
	struct diskpart *d = arg;
	struct diskwork *w = d->w;
	unsigned seed = w->seed;
	int k = d->k, fd = open(w->path, (seed ? O_RDWR : O_RDONLY) | (k == 1 ? O_DIRECT : 0));
	if (fd < 0) fail(w->path);
	uint64_t part = w->size / parts & ~4095ul, from = part * k, to = k == parts - 1 ? w->size : from + part;
	unsigned char *buf = mmap(0, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *map = k == 2 ? mmap(0, to - from, seed ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, from) : 0;
	if (map == MAP_FAILED) fail("mmap");
	for (uint64_t at = from; at < to; at += piece) {
		size_t n = to - at < piece ? to - at : piece;
		struct iovec v[3] = {{buf, n / 5}, {buf + n / 5, n / 3}, {buf + n / 5 + n / 3, n - n / 5 - n / 3}};
		ssize_t done = n;
		if (seed) {
			pattern(buf, n, at, seed);
			if (map) memcpy(map + (at - from), buf, n);
			else done = k == 3 ? pwritev(fd, v, 3, at) : pwrite(fd, buf, n, at);
		} else if (map) memcpy(buf, map + (at - from), n);
		else done = k == 3 ? preadv(fd, v, 3, at) : pread(fd, buf, n, at);
		if (done != (ssize_t)n) fail(seed ? "write" : "read");
		w->sums[k] = sum(w->sums[k], buf, n);
	}
	return 0;
}

static void diskwork(struct diskwork *w) {
	int fd = open(w->path, O_RDONLY);
	if (fd < 0) fail(w->path);
	w->size = lseek(fd, 0, SEEK_END);
	close(fd);
	pthread_t t[parts];
	struct diskpart d[parts];
	for (int i = 0; i < parts; i++) {
		d[i] = (struct diskpart){w, i};
		if (pthread_create(&t[i], 0, diskpart, &d[i])) fail("pthread_create");
	}
	for (int i = 0; i < parts; i++) pthread_join(t[i], 0);
}

#endif

// Memory that a disk's cache has is there for the program: diskmemory DEVICE reads a
// disk that is larger than memory, fills most of memory, reads the disk again while
// that is so, and maps it.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static unsigned long sum_of(const unsigned char *p, size_t n) {
	unsigned long h = 0;
	for (size_t i = 0; i < n; i += 512) h = h * 31 + p[i];
	return h;
}

int main(int argc, char **argv) {
	static unsigned char buf[64 << 10];
	int fd = open(argv[1], O_RDWR);
	size_t size = lseek(fd, 0, SEEK_END);
	struct sysinfo si;
	unsigned long sums[4] = {0};
	char *memory = 0;
	for (int round = 0; round < 3; round++) {
		if (round == 1) {
			sysinfo(&si);
			size_t n = si.totalram / 100 * 85;
			memory = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (memory == MAP_FAILED) return perror("mmap"), 1;
			memset(memory, 1, n);
		}
		lseek(fd, 0, SEEK_SET);
		for (ssize_t k; (k = read(fd, buf, sizeof buf)) > 0;) sums[round] = sums[round] * 33 + sum_of(buf, k);
		if (round == 1) { // and written
			for (size_t at = 0; at < size; at += sizeof buf) {
				if (pread(fd, buf, sizeof buf, at) != sizeof buf || pwrite(fd, buf, sizeof buf, at) != sizeof buf) return perror("write"), 1;
			}
		}
	}
	unsigned char *map = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (size_t at = 0; at < size; at += sizeof buf) {
		map[at + 5] = map[at + 5];
		sums[3] = sums[3] * 33 + sum_of(map + at, sizeof buf);
	}
	printf("%d %d %d\n", sums[0] == sums[1], sums[0] == sums[2], sums[0] == sums[3]);
	return 0;
}

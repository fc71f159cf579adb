// A disk that must not be written: diskro DEVICE.
#include "show.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
	static char b[4096] __attribute__((aligned(4096)));
	int fd = open(argv[1], O_RDWR), ro = open(argv[1], O_RDONLY), n;
	uint64_t r[2] = {0, 4096};
	SHOW(pwrite(fd, b, 4096, 0));
	SHOW(pwrite(fd, b, 0, 0));
	SHOW(pwrite(fd, b, 1, 1l << 40));
	SHOW(ioctl(fd, BLKROGET, &n)); printf("%d\n", n);
	SHOW(ioctl(fd, BLKZEROOUT, r));
	SHOW(ioctl(fd, BLKDISCARD, r));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
	SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	SHOW(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	SHOW(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	SHOW(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	SHOW(mmap(0, 4096, PROT_READ, MAP_SHARED, ro, 0) == MAP_FAILED);
	SHOW(fsync(fd));
	n = 0;
	SHOW(ioctl(fd, BLKROSET, &n));
	SHOW(ioctl(fd, BLKROGET, &n)); printf("%d\n", n);
	return 0;
}

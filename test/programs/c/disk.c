// A disk as programs see it: disk DEVICE. disk FILE sum only tells what is in it.
#include "show.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static uint64_t size;
static char buf[1 << 16] __attribute__((aligned(4096))), copy[1 << 16] __attribute__((aligned(4096)));

static void fill(unsigned seed) {
	for (size_t i = 0; i < sizeof buf; i++) buf[i] = (seed = seed * 1103515245 + 12345) >> 16;
}

static unsigned sum(const char *p, size_t n) {
	unsigned h = 2166136261u;
	while (n--) h = (h ^ (unsigned char)*p++) * 16777619u;
	return h;
}

static int contents(int fd) {
	unsigned h = 0;
	for (ssize_t k; (k = read(fd, buf, sizeof buf)) > 0;) h = h * 31 + sum(buf, k);
	printf("sum %x\n", h);
	return 0;
}

static sigjmp_buf fault;
static void on_bus(int sig) { siglongjmp(fault, sig); }

int main(int argc, char **argv) {
	const char *path = argv[1];
	if (argc > 2) return contents(open(path, O_RDONLY));
	int fd = open(path, O_RDWR), ro = open(path, O_RDONLY), direct = open(path, O_RDWR | O_DIRECT), sync = open(path, O_RDWR | O_DSYNC);
	if (fd < 0 || ro < 0 || direct < 0 || sync < 0) return perror(path), 1;
	struct stat st;
	fstat(fd, &st);
	printf("block device: %d, size %ld\n", S_ISBLK(st.st_mode), (long)st.st_size);

	// Sizes.
	unsigned long sectors = 0;
	int n = -1;
	unsigned short s = 0;
	SHOW(ioctl(fd, BLKGETSIZE64, &size));
	SHOW(ioctl(fd, BLKGETSIZE, &sectors));
	printf("%lu bytes, %lu sectors\n", size, sectors);
	SHOW(ioctl(fd, BLKSSZGET, &n)); printf("%d\n", n);
	SHOW(ioctl(fd, BLKROGET, &n)); printf("%d\n", n);
	OK(ioctl(fd, BLKPBSZGET, &n));
	OK(ioctl(fd, BLKSECTGET, &s));
	SHOW(ioctl(fd, BLKBSZGET, &n)); printf("%d\n", n);
	SHOW(ioctl(fd, BLKGETSIZE64, 8));
	SHOW(lseek(fd, 0, SEEK_END) == size);
	SHOW(lseek(fd, -1, SEEK_SET));
	SHOW(lseek(fd, 10, SEEK_END) == size + 10);
	SHOW(lseek(fd, 0, SEEK_DATA));
	SHOW(lseek(fd, 0, SEEK_HOLE) == size);
	SHOW(lseek(fd, size, SEEK_DATA));

	// Reads and writes.
	fill(1);
	SHOW(pwrite(fd, buf, sizeof buf, 100));
	SHOW(pread(ro, copy, sizeof copy, 100));
	printf("%d\n", memcmp(buf, copy, sizeof buf));
	SHOW(pwrite(ro, buf, 1, 0));
	fill(2);
	struct iovec v[3] = {{buf, 5000}, {buf + 5000, 1}, {buf + 5001, 9000}};
	SHOW(pwritev(fd, v, 3, 12345));
	SHOW(pread(fd, copy, 14001, 12345));
	printf("%d\n", memcmp(buf, copy, 14001));
	SHOW(lseek(fd, 4000, SEEK_SET));
	SHOW(write(fd, buf, 200));
	SHOW(read(fd, copy, 100));
	SHOW(lseek(fd, 0, SEEK_CUR));

	// The end.
	SHOW(pread(fd, copy, 4096, size));
	SHOW(pread(fd, copy, 4096, size - 100));
	SHOW(pread(fd, copy, 4096, size + 100));
	SHOW(pwrite(fd, buf, 4096, size - 100));
	SHOW(pwrite(fd, buf, 4096, size));
	SHOW(pwrite(fd, buf, 4096, size + 4096));
	SHOW(pwrite(fd, buf, 0, size));
	SHOW(ftruncate(fd, 0));
	SHOW(truncate(path, 0));

	// O_DIRECT.
	fill(3);
	SHOW(pwrite(direct, buf, 8192, 8192));
	SHOW(pread(fd, copy, 8192, 8192));
	printf("%d\n", memcmp(buf, copy, 8192));
	fill(4);
	SHOW(pwrite(fd, buf, 5000, 9000));
	SHOW(pread(direct, copy, 16384, 8192));
	printf("%d\n", memcmp(buf, copy + 808, 5000));
	SHOW(pread(direct, copy, 512, 512));
	SHOW(pread(direct, copy, 100, 0));
	SHOW(pread(direct, copy, 512, 100));
	SHOW(pread(direct, copy, 4096, size - 512));
	SHOW(pread(direct, copy, 512, size));
	SHOW(pwrite(direct, buf, 512, size));
	SHOW(pread(direct, (void *)4096, 4096, 0));
	SHOW(fcntl(fd, F_SETFL, O_DIRECT));
	SHOW(pread(fd, copy, 100, 0));
	SHOW(fcntl(fd, F_SETFL, 0));

	// Durability.
	SHOW(fsync(fd));
	SHOW(fdatasync(ro));
	SHOW(pwrite(sync, buf, 3000, 300000));
	SHOW(pwritev2(fd, v, 3, 400000, RWF_DSYNC));
	SHOW(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	SHOW(ioctl(fd, BLKFLSBUF, 0));
	SHOW(pread(direct, copy, 4096, 299008));
	printf("%d\n", memcmp(buf, copy + 992, 3000));
	SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SHOW(posix_fadvise(fd, 0, 1 << 20, POSIX_FADV_WILLNEED));
	SHOW(readahead(fd, 0, 1 << 20));

	// Mappings.
	char *shared = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
	SHOW(shared == MAP_FAILED);
	SHOW(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED);
	fill(5);
	memcpy(shared + 50000, buf, 10000);
	SHOW(pread(ro, copy, 10000, 50000));
	printf("%d %d\n", memcmp(copy, buf, 10000), memcmp(private + 50000, buf, 10000));
	memcpy(private + 50000, "private", 7);
	SHOW(memcmp(shared + 50000, buf, 10000));
	SHOW(msync(shared, 1 << 20, MS_SYNC));
	SHOW(pread(direct, copy, 4096, 53248));
	printf("%d\n", memcmp(copy, buf + 3248, 4096));
	memcpy(shared + 50000, "again", 5);
	SHOW(fsync(ro));
	memcpy(shared + 50000, "AGAIN", 5);
	SHOW(pread(direct, copy, 4096, 49152));
	printf("%.5s\n", copy + 848);
	SHOW(pwrite(fd, "written", 7, 60000));
	printf("%.7s %.7s\n", shared + 60000, private + 60000);
	SHOW(pwrite(fd, shared + 50000, 20000, 50000)); // onto itself
	SHOW(pwrite(fd, shared, 100000, 200000));
	SHOW(pread(fd, shared + 300000, 100000, 0)); // of itself, partly
	printf("%d\n", memcmp(shared, shared + 200000, 100000));
	SHOW(mprotect(shared, 1 << 20, PROT_READ));
	SHOW(pread(fd, shared, 10, 4096));
	SHOW(mprotect(shared, 1 << 20, PROT_READ | PROT_WRITE));
	memcpy(shared + 70000, "protected", 9);
	SHOW(munmap(shared, 1 << 20));
	SHOW(pread(direct, copy, 4096, 69632));
	printf("%.9s\n", copy + 368);
	signal(SIGBUS, on_bus);
	char *last = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, size & ~4095ul);
	int sig = sigsetjmp(fault, 1);
	if (sig) printf("signal %d\n", sig);
	else if (last != MAP_FAILED) last[4096] = 1;

	// Ranges.
	uint64_t r[2] = {4096, 8192};
	fill(6);
	SHOW(pwrite(fd, buf, 16384, 0));
	SHOW(ioctl(fd, BLKZEROOUT, r));
	SHOW(pread(fd, copy, 16384, 0));
	for (int i = 0; i < 16384; i++)
		if (copy[i] != (i >= 4096 && i < 12288 ? 0 : buf[i])) { printf("byte %d\n", i); break; }
	r[0] = 100;
	SHOW(ioctl(fd, BLKZEROOUT, r));
	r[0] = size;
	SHOW(ioctl(fd, BLKZEROOUT, r));
	SHOW(ioctl(ro, BLKZEROOUT, r));
	r[0] = 512, r[1] = 100;
	SHOW(ioctl(fd, BLKDISCARD, r));
	r[0] = 1 << 20, r[1] = 1 << 20;
	SHOW(ioctl(ro, BLKDISCARD, r));
	SHOW(ioctl(fd, BLKDISCARD, r));
	SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1024, 4096));
	SHOW(pread(fd, copy, 8192, 0));
	printf("%d %d\n", memcmp(copy, buf, 1024), copy[1024] | copy[5119]);
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 512));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, size - 512, 4096));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, size - 512, 4096));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, size, 4096));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, 100, 100));
	SHOW(fallocate(fd, 0, 0, 4096));
	SHOW(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	SHOW(fallocate(ro, FALLOC_FL_ZERO_RANGE, 0, 4096));

	// Others.
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	SHOW(poll(&p, 1, 0));
	printf("%#x\n", p.revents);
	int pipes[2];
	pipe(pipes);
	lseek(fd, 4000, SEEK_SET);
	SHOW(splice(fd, 0, pipes[1], 0, 5000, 0));
	SHOW(read(pipes[0], copy, 5000));
	int out = open("/dev/null", O_WRONLY);
	SHOW(sendfile(out, fd, 0, 10000));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(write(pipes[1], "through a pipe", 14));
	loff_t at = 77777;
	SHOW(splice(pipes[0], 0, fd, &at, 14, 0));
	SHOW(pread(fd, copy, 14, 77777));
	printf("%.14s\n", copy);
	SHOW(copy_file_range(fd, 0, fd, 0, 10, 0));
	SHOW(close(fd));

	// All of it, as the host has it.
	lseek(ro, 0, SEEK_SET);
	return contents(ro);
}

// A disk with bad sectors: diskfails DEVICE. diskfails DEVICE wait reads until that
// fails.
#include "show.h"
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>

enum { page = 4096 };
static char buf[1 << 20] __attribute__((aligned(page)));
static sigjmp_buf fault;
static void on_bus(int sig) { siglongjmp(fault, sig); }

int main(int argc, char **argv) {
	int fd = open(argv[1], O_RDWR), direct = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || direct < 0) return perror(argv[1]), 1;
	if (argc > 2) {
		puts("reads"), fflush(stdout);
		while (pread(direct, buf, page, random() % 100 * page) == page) ;
		printf("read fails: %d\n", pread(direct, buf, page, 0) != page);
		printf("write fails: %d\n", pwrite(direct, buf, page, 0) != page);
		pwrite(fd, buf, page, 0);
		SHOW(fsync(fd));
		return 0;
	}
	// Sector 2049 cannot be read, sector 4100 not written.
	SHOW(pread(fd, buf, sizeof buf, 0));
	SHOW(pread(fd, buf, 8192, (1 << 20) - page));
	SHOW(pread(fd, buf, 1, 1 << 20));
	SHOW(pread(fd, buf, page, (1 << 20) + page));
	SHOW(pread(direct, buf, page, 1 << 20));
	SHOW(pread(direct, buf, 512, 1 << 20));
	SHOW(pwrite(fd, buf, 10, (1 << 20) + 100)); // has to be read first
	char *map = mmap(0, 3 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	signal(SIGBUS, on_bus);
	int sig = sigsetjmp(fault, 1);
	if (!sig) printf("%d\n", map[1 << 20]);
	printf("signal %d\n", sig);
	SHOW(pwrite(fd, buf, page, (2 << 20) + page));
	SHOW(fsync(fd));
	SHOW(pwrite(fd, buf, page, 2 << 20));
	SHOW(fsync(fd));
	SHOW(fsync(fd));
	SHOW(pwrite(direct, buf, page, 2 << 20));
	int sync = open(argv[1], O_RDWR | O_SYNC);
	SHOW(pwrite(sync, buf, page, 2 << 20));
	map[(2 << 20) + 1] = 1;
	SHOW(msync(map, 3 << 20, MS_SYNC));
	return 0;
}

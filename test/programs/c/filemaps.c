// filemaps DIR: files as memory, on the file system of DIR and without a name.
#include "tell.h"
#include <sys/stat.h>
#include <sys/uio.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static volatile char *map(int fd, unsigned long pages, int prot, int flags) {
	void *p = mmap(0, pages * PAGE, prot, flags, fd, 0);
	if (p == MAP_FAILED) exit(9);
	return p;
}

static int at(int fd, off_t off) {
	unsigned char c;
	return pread(fd, &c, 1, off) == 1 ? c : -1;
}

static void put(int fd, off_t off, int c) {
	char b = (char)c;
	if (pwrite(fd, &b, 1, off) != 1) exit(8);
}

static void shared(int fd) {
	puts("-- shared");
	ftruncate(fd, 0);
	ftruncate(fd, 3 * PAGE + 100);
	put(fd, 0, 1);
	put(fd, PAGE, 2);
	volatile char *p = map(fd, 8, RW, MAP_SHARED), *q = map(fd, 8, PROT_READ, MAP_SHARED);
	printf("%d %d %d\n", p[0], p[PAGE], p[2 * PAGE]);
	p[0] = 11;
	p[2 * PAGE] = 33; // a hole
	printf("by read %d %d, by the other %d %d\n", at(fd, 0), at(fd, 2 * PAGE), q[0], q[2 * PAGE]);
	put(fd, 2 * PAGE + 1, 34);
	put(fd, 5, 55);
	printf("written: %d %d, %d %d\n", p[2 * PAGE + 1], p[5], q[2 * PAGE + 1], q[5]);
	put(fd, 3 * PAGE + 1, 77); // in the last page
	printf("last: %d %d\n", p[3 * PAGE + 1], q[3 * PAGE + 1]);
	p[3 * PAGE + 200] = 1; // beyond the end, in its page
	printf("behind the end: %d, size %ld\n", at(fd, 3 * PAGE + 200), (long)lseek(fd, 0, SEEK_END));
	ATTEMPT(p, p[4 * PAGE]);
	ATTEMPT(p, p[4 * PAGE] = 1);
	ATTEMPT(q, q[5 * PAGE]);
	puts("grown");
	ftruncate(fd, 6 * PAGE);
	ATTEMPT(p, p[4 * PAGE] = 44);
	printf("%d %d %d\n", at(fd, 4 * PAGE), q[4 * PAGE], q[5 * PAGE]);
	puts("cut");
	ftruncate(fd, PAGE + 10);
	ATTEMPT(p, p[PAGE + 20]);
	ATTEMPT(p, p[2 * PAGE]);
	ATTEMPT(q, q[2 * PAGE]);
	ATTEMPT(p, p[2 * PAGE] = 1);
	ATTEMPT(p, p[4 * PAGE] = 1);
	TELL(read(open("/dev/zero", O_RDONLY), (void *)(p + 2 * PAGE), 5));
	TELL(write(open("/dev/null", O_WRONLY), (void *)(p + 2 * PAGE), 5) >= 0);
	puts("grown again");
	ftruncate(fd, 6 * PAGE);
	printf("%d %d %d %d\n", p[0], p[2 * PAGE], q[4 * PAGE], at(fd, 2 * PAGE));
	p[2 * PAGE] = 99;
	printf("%d %d\n", at(fd, 2 * PAGE), q[2 * PAGE]);
	puts("a hole punched");
	p[PAGE] = 21;
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE));
	printf("%d %d %d\n", p[PAGE], q[2 * PAGE], at(fd, PAGE));
	p[PAGE] = 22;
	printf("%d %d\n", q[PAGE], at(fd, PAGE));
	TELL(madvise((void *)p, PAGE, MADV_REMOVE));
	printf("%d %d\n", p[0], at(fd, 0));
	TELL(madvise((void *)q, PAGE, MADV_REMOVE));
	p[PAGE] = 5;
	TELL(madvise((void *)p, 6 * PAGE, MADV_DONTNEED));
	printf("%d\n", p[PAGE]);
	TELL(madvise((void *)p, 6 * PAGE, MADV_FREE));
	TELL(madvise((void *)p, 6 * PAGE, MADV_WILLNEED));
	TELL(madvise((void *)p, 8 * PAGE, MADV_POPULATE_WRITE));
	TELL(madvise((void *)p, 6 * PAGE, MADV_POPULATE_WRITE));
	TELL(madvise((void *)q, 6 * PAGE, MADV_POPULATE_READ));
	TELL(madvise((void *)q, 6 * PAGE, MADV_POPULATE_WRITE));
	TELL(msync((void *)p, 6 * PAGE, MS_SYNC));
	TELL(msync((void *)p, 6 * PAGE, MS_ASYNC | MS_INVALIDATE));
	ATTEMPT(q, q[0] = 1);
	TELL(mprotect((void *)q, PAGE, RW));
	ATTEMPT(q, q[0] = 1);
	printf("%d\n", at(fd, 0));
	puts("mremap");
	volatile char *twice = TELLP(mremap((void *)p, 0, 4 * PAGE, MREMAP_MAYMOVE));
	twice[PAGE] = 81;
	printf("%d %d\n", p[PAGE], at(fd, PAGE));
	twice = TELLP(mremap((void *)(twice + PAGE), 2 * PAGE, 9 * PAGE, MREMAP_MAYMOVE));
	printf("%d\n", twice[0]);
	twice[3 * PAGE] = 84;
	printf("%d %d\n", p[4 * PAGE], at(fd, 4 * PAGE));
	ATTEMPT(twice, twice[6 * PAGE]);
	munmap((void *)p, 8 * PAGE);
	munmap((void *)q, 8 * PAGE);
	printf("after: %d %d %d\n", at(fd, PAGE), at(fd, 2 * PAGE), at(fd, 4 * PAGE));
}

static void private(int fd) {
	puts("-- private");
	ftruncate(fd, 0);
	ftruncate(fd, 3 * PAGE);
	put(fd, 0, 1);
	put(fd, PAGE, 2);
	volatile char *p = map(fd, 4, RW, MAP_PRIVATE), *q = map(fd, 4, PROT_READ, MAP_PRIVATE), *s = map(fd, 4, RW, MAP_SHARED);
	printf("%d %d %d\n", p[0], p[PAGE], p[2 * PAGE]);
	p[0] = 10;
	p[2 * PAGE] = 30;
	printf("file %d %d, other %d %d\n", at(fd, 0), at(fd, 2 * PAGE), q[0], s[2 * PAGE]);
	put(fd, 1, 101);
	put(fd, PAGE + 1, 102);
	printf("copied %d, not %d\n", p[1], p[PAGE + 1]);
	s[PAGE + 2] = 103;
	printf("not copied %d %d\n", p[PAGE + 2], q[PAGE + 2]);
	TELL(madvise((void *)p, PAGE, MADV_DONTNEED));
	printf("the file's again: %d %d\n", p[0], p[1]);
	ATTEMPT(p, p[3 * PAGE]);
	ATTEMPT(q, q[0] = 1);
	TELL(mprotect((void *)q, 4 * PAGE, RW));
	ATTEMPT(q, q[0] = 1);
	printf("file %d\n", at(fd, 0));
	p[0] = 12;
	ftruncate(fd, PAGE);
	ATTEMPT(p, p[2 * PAGE]);
	ATTEMPT(p, p[PAGE]);
	ftruncate(fd, 0);
	ATTEMPT(p, p[0]);
	ATTEMPT(s, s[0]);
	ftruncate(fd, PAGE);
	printf("%d\n", p[0]);
	munmap((void *)p, 4 * PAGE);
	munmap((void *)q, 4 * PAGE);
	munmap((void *)s, 4 * PAGE);
}

static void rights(const char *path) {
	puts("-- how it was opened");
	int r = open(path, O_RDONLY), w = open(path, O_WRONLY), a = open(path, O_RDWR | O_APPEND), o = open(path, O_PATH);
	static const int prots[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC};
	for (int i = 0; i < 4; i++)
		for (int shared = 0; shared < 2; shared++) {
			int flags = shared ? MAP_SHARED : MAP_PRIVATE;
			int fds[] = {r, w, a, o};
			printf("prot %d flags %d:", prots[i], flags);
			for (int k = 0; k < 4; k++) {
				void *p = mmap(0, PAGE, prots[i], flags, fds[k], 0);
				printf(" %s", p == MAP_FAILED ? strerrorname_np(errno) : "ok");
				if (p != MAP_FAILED) munmap(p, PAGE);
			}
			puts("");
		}
	TELLP(mmap(0, PAGE, PROT_READ, MAP_SHARED, r, -PAGE));
	TELLP(mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, r, 0x7fffffffffffe000));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_SHARED, r, 100));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x8000000, r, 0));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_SHARED | 0x8000000, r, 0));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, r, 0));
	TELLP(mmap(0, PAGE, PROT_READ, 0, r, 0));
	int d = open("/", O_RDONLY), n = open("/dev/null", O_RDWR), z = open("/dev/zero", O_RDWR), fds[2];
	pipe(fds);
	TELLP(mmap(0, PAGE, PROT_READ, MAP_SHARED, d, 0));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, n, 0));
	TELLP(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fds[0], 0));
	volatile char *p = TELLP(mmap(0, PAGE, RW, MAP_PRIVATE, z, 0));
	p[1] = 1;
	p = TELLP(mmap(0, PAGE, RW, MAP_SHARED, z, 0));
	p[1] = 1;
	printf("%d\n", p[0] + p[1]);
	volatile char *ro = map(r, 1, PROT_READ, MAP_SHARED);
	TELL(mprotect((void *)ro, PAGE, RW));
	TELL(mprotect((void *)ro, PAGE, PROT_READ | PROT_EXEC));
	close(r), close(w), close(a), close(o), close(d), close(n), close(z), close(fds[0]), close(fds[1]);
}

// What a program writes from and reads into memory that is the same file.
static void itself(int fd) {
	puts("-- itself");
	ftruncate(fd, 0);
	ftruncate(fd, 4 * PAGE);
	volatile char *p = map(fd, 4, RW, MAP_SHARED);
	for (unsigned i = 0; i < PAGE; i++) p[i] = (char)i;
	TELL(pwrite(fd, (void *)p, PAGE, PAGE));
	TELL(pwrite(fd, (void *)(p + 10), PAGE, 2 * PAGE + 5));
	TELL(pread(fd, (void *)(p + 3 * PAGE), PAGE, 0));
	unsigned sum = 0;
	for (unsigned i = 0; i < 4 * PAGE; i++) sum = sum * 31 + (unsigned char)p[i];
	printf("%u\n", sum);
	munmap((void *)p, 4 * PAGE);
	// Mapped, removed and closed, it is still there.
	p = map(fd, 4, RW, MAP_SHARED);
	close(fd);
	printf("%d\n", p[PAGE + 7]);
	p[5] = 9;
	printf("%d\n", p[5]);
	munmap((void *)p, 4 * PAGE);
}

// A file of the image: its pages are shared by all until somebody writes.
static void executable(void) {
	puts("-- the program's own file");
	int fd = open("/proc/self/exe", O_RDONLY);
	volatile char *p = map(fd, 4, PROT_READ, MAP_SHARED), *q = map(fd, 4, RW, MAP_PRIVATE);
	printf("%d %c%c%c\n", p[0], p[1], p[2], p[3]);
	q[1] = 'x';
	printf("%c %c %c\n", p[1], q[1], at(fd, 1));
	TELL(mprotect((void *)p, PAGE, RW));
	TELL(madvise((void *)p, PAGE, MADV_REMOVE));
	close(fd);
}

int main(int argc, char **argv) {
	if (argc != 2 || chdir(argv[1])) return 99;
	catch_faults();
	int fd = memfd_create("x", 0);
	puts("memfd");
	shared(fd);
	private(fd);
	itself(fd);
	puts("file");
	fd = open("filemaps.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
	shared(fd);
	private(fd);
	rights("filemaps.tmp");
	unlink("filemaps.tmp");
	itself(fd);
	executable();
}

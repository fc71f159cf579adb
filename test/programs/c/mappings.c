// mappings: anonymous memory in all its flavours.
#include "tell.h"
#include <sys/resource.h>

// The C library passes rubbish for an address that no flag announces.
static void *remap_to(volatile void *from, size_t old, size_t n, int flags, volatile void *to, ...) {
	return (void *)syscall(SYS_mremap, from, old, n, flags, to);
}
#define mremap(...) remap_to(__VA_ARGS__, 0)

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static volatile char *anon(unsigned long pages) {
	void *p = mmap(0, pages * PAGE, RW, ANON, -1, 0);
	if (p == MAP_FAILED) exit(9);
	return p;
}

// Which pages of n at p are in memory.
static void resident(const char *what, volatile char *p, unsigned n) {
	unsigned char v[64];
	printf("%s:", what);
	if (mincore((void *)p, n * PAGE, v)) printf(" %s\n", strerrorname_np(errno));
	else {
		for (unsigned i = 0; i < n; i++) printf(" %d", v[i] & 1);
		printf("\n");
	}
}

static void flags(void) {
	puts("-- flags");
	TELLP(mmap(0, 0, RW, ANON, -1, 0));
	TELLP(mmap(0, -1UL, RW, ANON, -1, 0));
	TELLP(mmap(0, 1UL << 47, RW, ANON, -1, 0));
	TELLP(mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	TELLP(mmap(0, PAGE, RW, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON, -1, 1));
	TELLP(mmap(0, PAGE, RW, ANON, -1, PAGE));
	TELLP(mmap(0, PAGE, RW, ANON, 77, 0));
	TELLP(mmap(0, PAGE, RW, MAP_PRIVATE, 77, 0));
	TELLP(mmap(0, PAGE, RW, MAP_PRIVATE, 0x7fffffff, 0));
	TELLP(mmap(0, PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_STACK, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_GROWSDOWN, -1, 0));
	TELLP(mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_LOCKED, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_POPULATE, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_NONBLOCK, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | MAP_DENYWRITE | MAP_EXECUTABLE, -1, 0));
	TELLP(mmap(0, PAGE, RW, ANON | 0x8000000, -1, 0));
	TELLP(mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
	TELLP(mmap(0, PAGE, 0x7fffffff, ANON, -1, 0));
	TELLP(mmap((void *)1, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	TELLP(mmap((void *)0x800000000000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	TELLP(mmap((void *)0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	TELLP(mmap((void *)0xffff800000000000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	TELLP(mmap((void *)-4096, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	TELLP(mmap((void *)0xffff800000000000, PAGE, RW, ANON, -1, 0));
	unsigned long low = (unsigned long)mmap(0, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	printf("MAP_32BIT: %d\n", low < 1UL << 31);
	char *p = mmap(0, PAGE * 4, RW, ANON | MAP_SHARED, -1, 0);
	(void)p;
}

static void places(void) {
	puts("-- places");
	volatile char *p = anon(8);
	p[PAGE] = 'x';
	TELL(munmap((void *)(p + 2 * PAGE), 2 * PAGE));
	printf("hint taken: %d\n", mmap((void *)(p + 2 * PAGE + 5), PAGE, RW, ANON, -1, 0) == (p + 2 * PAGE));
	printf("hint in use: %d\n", mmap((void *)(p + PAGE), PAGE, RW, ANON, -1, 0) != (p + PAGE));
	TELLP(mmap((void *)(p + PAGE), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TELLP(mmap((void *)(p + 2 * PAGE), 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TELLP(mmap((void *)(p + 3 * PAGE), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TELLP(mmap((void *)(p + 3 * PAGE + 1), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TELLP(mmap((void *)(p + PAGE), PAGE, RW, ANON | MAP_FIXED, -1, 0));
	printf("replaced: %d\n", p[PAGE]);
	TELL(munmap((void *)p, 0));
	TELL(munmap((void *)(p + 1), PAGE));
	TELL(munmap((void *)p, 1));
	TELL(munmap((void *)p, 8 * PAGE));
	TELL(munmap((void *)p, 8 * PAGE));
	TELL(munmap((void *)0x7ffffffff000, PAGE));
	TELL(munmap((void *)0xffff800000000000, PAGE));
	TELL(munmap(0, -1UL));
	ATTEMPT(p, p[5 * PAGE]);
	ATTEMPT(p, p[5 * PAGE] = 1);
}

static void rights(void) {
	puts("-- rights");
	volatile char *p = anon(6);
	p[0] = p[PAGE] = p[2 * PAGE] = (char)0xc3; // RET
	ATTEMPT(p, ((void (*)(void))p)());
	TELL(mprotect((void *)p, PAGE, PROT_READ | PROT_EXEC));
	ATTEMPT(p, ((void (*)(void))p)());
	ATTEMPT(p, p[7] = 1);
	ATTEMPT(p, p[7]);
	TELL(mprotect((void *)(p + PAGE), PAGE, PROT_NONE));
	ATTEMPT(p, p[PAGE]);
	ATTEMPT(p, p[PAGE] = 1);
	ATTEMPT(p, ((void (*)(void))(p + PAGE))());
	TELL(mprotect((void *)(p + PAGE), PAGE, PROT_READ));
	printf("kept: %x\n", (unsigned char)p[PAGE]);
	ATTEMPT(p, p[PAGE] = 1);
	TELL(mprotect((void *)(p + 2 * PAGE), PAGE, PROT_EXEC));
	ATTEMPT(p, ((void (*)(void))(p + 2 * PAGE))());
	ATTEMPT(p, p[2 * PAGE] = 1);
	TELL(mprotect((void *)(p + 2 * PAGE), PAGE, PROT_WRITE));
	ATTEMPT(p, p[2 * PAGE] = 1);
	ATTEMPT(p, p[2 * PAGE]);
	TELL(mprotect((void *)(p + 1), PAGE, PROT_READ));
	TELL(mprotect((void *)p, 0, PROT_READ));
	TELL(mprotect((void *)p, -1UL, PROT_READ));
	TELL(mprotect((void *)p, PAGE, 0x80));
	TELL(mprotect((void *)p, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
	TELL(mprotect((void *)p, PAGE, PROT_READ | PROT_GROWSDOWN));
	TELL(mprotect((void *)p, PAGE, PROT_READ | PROT_GROWSUP));
	TELL(mprotect((void *)p, PAGE, PROT_READ | 8));
	munmap((void *)(p + 4 * PAGE), PAGE);
	TELL(mprotect((void *)(p + 3 * PAGE), 3 * PAGE, PROT_READ));
	ATTEMPT(p, p[3 * PAGE] = 1);
	ATTEMPT(p, p[5 * PAGE] = 1);
	TELL(mprotect((void *)(p + 4 * PAGE), PAGE, PROT_READ));
}

static void grow(void) {
	puts("-- growing down");
	volatile char *p = anon(512);
	munmap((void *)p, 512 * PAGE);
	volatile char *top = p + 511 * PAGE;
	TELLP(mmap((void *)top, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
	ATTEMPT(top, top[0] = 1);
	ATTEMPT(top, top[-1] = 1);
	ATTEMPT(top, top[-3 * (long)PAGE] = 1);
	resident("grown", top - 3 * PAGE, 4);
	// Another mapping stops it a guard gap above.
	TELLP(mmap((void *)(p + 100 * PAGE), PAGE, RW, ANON | MAP_FIXED, -1, 0));
	ATTEMPT(p, p[(101 + 256) * PAGE] = 1);
	ATTEMPT(p, p[(100 + 256) * PAGE] = 1);
	ATTEMPT(p, p[101 * PAGE] = 1);
}

static void remap(void) {
	puts("-- mremap");
	volatile char *p = anon(16);
	for (int i = 0; i < 16; i++) p[i * PAGE] = (char)(i + 1);
	TELL(munmap((void *)(p + 12 * PAGE), 4 * PAGE));
	printf("shrunk in place: %d\n", mremap((void *)p, 12 * PAGE, 8 * PAGE, 0) == p);
	ATTEMPT(p, p[8 * PAGE]);
	printf("grown in place: %d\n", mremap((void *)p, 8 * PAGE, 10 * PAGE, 0) == p);
	printf("new: %d\n", p[9 * PAGE]);
	mmap((void *)(p + 10 * PAGE), PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
	TELLP(mremap((void *)p, 10 * PAGE, 12 * PAGE, 0));
	TELLP(mremap((void *)p, 10 * PAGE, 10 * PAGE, MREMAP_FIXED, p));
	TELLP(mremap((void *)p, 10 * PAGE, 10 * PAGE, 8));
	TELLP(mremap((void *)(p + 1), 10 * PAGE, 10 * PAGE, 0));
	TELLP(mremap((void *)p, 10 * PAGE, 0, 0));
	TELLP(mremap((void *)p, 0, 10 * PAGE, MREMAP_MAYMOVE));
	TELLP(mremap((void *)p, 20 * PAGE, 30 * PAGE, MREMAP_MAYMOVE));
	TELLP(mremap((void *)0x10000, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	TELLP(mremap((void *)p, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE));
	TELLP(mremap((void *)p, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1));
	TELLP(mremap((void *)p, 10 * PAGE, -1UL, MREMAP_MAYMOVE));
	volatile char *q = TELLP(mremap((void *)p, 10 * PAGE, 12 * PAGE, MREMAP_MAYMOVE));
	printf("moved: %d, contents %d %d %d\n", q != p, q[0], q[7 * PAGE], q[11 * PAGE]);
	ATTEMPT(p, p[0]);
	volatile char *to = anon(20);
	to[0] = 99;
	printf("to a place: %d\n", mremap((void *)q, 12 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	printf("contents %d %d, behind %d\n", to[0], to[5 * PAGE], to[6 * PAGE]);
	ATTEMPT(q, q[0]);
	ATTEMPT(q, q[8 * PAGE]);
	puts("DONTUNMAP");
	TELLP(mremap((void *)to, 6 * PAGE, 7 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	TELLP(mremap((void *)to, 6 * PAGE, 6 * PAGE, MREMAP_DONTUNMAP));
	volatile char *r = TELLP(mremap((void *)to, 6 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	printf("contents %d %d, left %d %d\n", r[0], r[5 * PAGE], to[0], to[5 * PAGE]);
	volatile char *u = TELLP(mremap((void *)r, 6 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, to));
	printf("contents %d %d, left %d\n", u[0], u[5 * PAGE], r[0]);
	// A part of a mapping moves alone.
	u = TELLP(mremap((void *)(to + PAGE), 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	printf("contents %d %d %d\n", u[0], u[PAGE], u[2 * PAGE]);
	ATTEMPT(to, to[PAGE]);
	ATTEMPT(to, to[3 * PAGE]);
	puts("shared");
	volatile char *s = mmap(0, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s[0] = 1, s[PAGE] = 2;
	volatile char *twice = TELLP(mremap((void *)s, 0, 4 * PAGE, MREMAP_MAYMOVE));
	if (twice != MAP_FAILED) {
		printf("twice: %d %d\n", twice[0], twice[PAGE]);
		twice[0] = 7;
		printf("one: %d\n", s[0]);
		munmap((void *)s, 4 * PAGE);
		printf("kept: %d\n", twice[PAGE]);
	}
	s = mmap(0, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s[0] = 5;
	s = TELLP(mremap((void *)s, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	printf("grown: %d\n", s[0]);
	ATTEMPT(s, s[PAGE] = 1);
	ATTEMPT(s, s[2 * PAGE] = 1);
}

static void advise(void) {
	puts("-- madvise");
	volatile char *p = anon(8);
	for (int i = 0; i < 8; i++) p[i * PAGE] = (char)(i + 1);
	TELL(madvise((void *)p, 2 * PAGE, MADV_DONTNEED));
	printf("gone: %d %d, there: %d\n", p[0], p[PAGE], p[2 * PAGE]);
	TELL(madvise((void *)(p + 1), PAGE, MADV_DONTNEED));
	TELL(madvise((void *)p, 0, MADV_DONTNEED));
	TELL(madvise((void *)p, PAGE, 12345));
	TELL(madvise((void *)p, 0, 12345));
	TELL(madvise((void *)p, -1UL, MADV_DONTNEED));
	for (int a = 0; a <= 26; a++)
		if (a != MADV_HWPOISON && a != 12 && a != 13 && a != MADV_FREE && a != 25 && a != 20 && a != 21 && a != 14 && a != 15) {
			errno = 0;
			int r = madvise((void *)p, PAGE, a);
			printf("advice %d: %d %s\n", a, r, r ? strerrorname_np(errno) : "");
		}
	TELL(madvise((void *)p, 8 * PAGE, MADV_NOHUGEPAGE));
	TELL(madvise((void *)p, 8 * PAGE, MADV_HUGEPAGE));
	TELL(madvise((void *)p, 8 * PAGE, MADV_COLD));
	TELL(madvise((void *)p, 8 * PAGE, MADV_PAGEOUT));
	TELL(madvise((void *)p, 8 * PAGE, MADV_FREE));
	p[3 * PAGE] = 44;
	printf("written after MADV_FREE: %d\n", p[3 * PAGE]);
	munmap((void *)(p + 4 * PAGE), PAGE);
	p[5 * PAGE] = 66;
	TELL(madvise((void *)(p + 3 * PAGE), 3 * PAGE, MADV_DONTNEED));
	printf("beyond the hole: %d\n", p[5 * PAGE]);
	TELL(madvise((void *)(p + 4 * PAGE), PAGE, MADV_DONTNEED));
	TELL(madvise((void *)(p + 4 * PAGE), PAGE, MADV_POPULATE_READ));
	TELL(madvise((void *)(p + 3 * PAGE), 3 * PAGE, MADV_POPULATE_WRITE));
	mprotect((void *)p, PAGE, PROT_READ);
	TELL(madvise((void *)p, PAGE, MADV_POPULATE_READ));
	TELL(madvise((void *)p, PAGE, MADV_POPULATE_WRITE));
	mprotect((void *)p, PAGE, PROT_NONE);
	TELL(madvise((void *)p, PAGE, MADV_POPULATE_READ));
	volatile char *s = mmap(0, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s[0] = 1;
	TELL(madvise((void *)s, PAGE, MADV_FREE));
	TELL(madvise((void *)s, PAGE, MADV_WIPEONFORK));
	TELL(madvise((void *)s, 4 * PAGE, MADV_DONTNEED));
	printf("shared stays: %d\n", s[0]);
	TELL(madvise((void *)s, 4 * PAGE, MADV_REMOVE));
	printf("shared removed: %d\n", s[0]);
	TELL(madvise((void *)(p + 2 * PAGE), PAGE, MADV_REMOVE));
}

static void populate(void) {
	puts("-- residency");
	volatile char *p = anon(8);
	resident("untouched", p, 8);
	p[3 * PAGE] = 1;
	resident("one written", p, 4);
	p = mmap(0, 8 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
	resident("MAP_POPULATE", p, 8);
	p = mmap(0, 8 * PAGE, PROT_READ, ANON | MAP_POPULATE, -1, 0);
	resident("MAP_POPULATE to read", p, 8);
	p = mmap(0, 8 * PAGE, PROT_NONE, ANON | MAP_POPULATE, -1, 0);
	resident("MAP_POPULATE without rights", p, 8);
	p = mmap(0, 8 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
	resident("MAP_LOCKED", p, 8);
	TELL(madvise((void *)p, PAGE, MADV_DONTNEED));
	TELL(madvise((void *)p, PAGE, MADV_FREE));
	TELL(madvise((void *)p, PAGE, MADV_DONTNEED_LOCKED));
	resident("MADV_DONTNEED_LOCKED", p, 4);
	p = anon(8);
	TELL(mlock((void *)(p + 5), PAGE));
	resident("mlock", p, 4);
	TELL(munlock((void *)p, 2 * PAGE));
	TELL(syscall(SYS_mlock2, p, PAGE, 2));
	TELL(syscall(SYS_mlock2, p + 4 * PAGE, 2 * PAGE, 1));
	resident("mlock2 on fault", p, 8);
	TELL(mlock((void *)p, -1UL));
	munmap((void *)(p + 6 * PAGE), PAGE);
	TELL(mlock((void *)(p + 5 * PAGE), 3 * PAGE));
	TELL(munlock((void *)(p + 5 * PAGE), 3 * PAGE));
	TELL(mlockall(0));
	TELL(mlockall(8));
	TELL(mlockall(MCL_ONFAULT));
	TELL(mlockall(MCL_FUTURE));
	p = anon(4);
	resident("mlockall(MCL_FUTURE)", p, 4);
	TELL(munlockall());
	p = anon(4);
	resident("munlockall", p, 4);
	unsigned char v[4];
	TELL(mincore((void *)(p + 1), PAGE, v));
	TELL(mincore((void *)p, PAGE, (void *)1));
	TELL(mincore((void *)p, 0, v));
	munmap((void *)(p + PAGE), PAGE);
	TELL(mincore((void *)p, 3 * PAGE, v));
	TELL(mincore((void *)p, -1UL, v));
	TELL(msync((void *)p, 3 * PAGE, MS_SYNC));
	TELL(msync((void *)p, PAGE, MS_SYNC | MS_ASYNC));
	TELL(msync((void *)p, PAGE, 8));
	TELL(msync((void *)(p + 1), PAGE, MS_SYNC));
	TELL(msync((void *)p, 0, MS_SYNC));
	TELL(msync((void *)p, -1UL, MS_SYNC));
	mlock((void *)p, PAGE);
	TELL(msync((void *)p, PAGE, MS_SYNC | MS_INVALIDATE));
}

static void kernel_half(void) {
	puts("-- the kernel's half");
	static volatile char *const at[] = {
		(char *)0x7fffffffe000 + 0x1000, (char *)0x800000000000, (char *)0xffff800000000000, (char *)0xffff800000100000,
		(char *)0xffffc00000000000, (char *)0xffffffff80000000, (char *)0xffffffff80100000, (char *)0xffffffffffff0000,
	};
	char b[8];
	int fd = open("/dev/zero", O_RDWR);
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
		volatile char *p = at[i];
		printf("%p\n", p);
		ATTEMPT(0, b[0] = *p);
		ATTEMPT(0, *p = 1);
		ATTEMPT(0, ((void (*)(void))p)());
		TELL(read(fd, (void *)p, 8));
		TELL(write(fd, (void *)p, 8) < 0 ? -1 : 8);
		TELL(open((void *)p, 0));
		TELL(mprotect((void *)p, PAGE, PROT_READ));
		TELL(madvise((void *)p, PAGE, MADV_DONTNEED));
		TELL(mincore((void *)p, PAGE, (void *)b));
		TELLP(mremap((void *)p, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
		TELL(sigaction(SIGUSR1, 0, 0));
		TELL(syscall(SYS_rt_sigaction, SIGUSR1, p, 0, 8));
		TELL(syscall(SYS_futex, p, 0, 0, 0, 0, 0));
		TELL(syscall(SYS_futex, p, 1, 1, 0, 0, 0));
	}
	close(fd);
}

static void limits(void) {
	puts("-- limits");
	struct rlimit r, was;
	getrlimit(RLIMIT_AS, &was);
	r = (struct rlimit){64 << 20, was.rlim_max};
	setrlimit(RLIMIT_AS, &r);
	TELLP(mmap(0, 128 << 20, RW, ANON, -1, 0));
	TELLP(mmap(0, 128 << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	void *p = TELLP(mmap(0, 32 << 20, PROT_NONE, ANON, -1, 0));
	TELLP(mremap(p, 32 << 20, 96 << 20, MREMAP_MAYMOVE));
	setrlimit(RLIMIT_AS, &was);
	munmap(p, 32 << 20);
	getrlimit(RLIMIT_DATA, &was);
	r = (struct rlimit){16 << 20, was.rlim_max};
	setrlimit(RLIMIT_DATA, &r);
	TELLP(mmap(0, 32 << 20, RW, ANON, -1, 0));
	TELLP(mmap(0, 32 << 20, PROT_READ, ANON, -1, 0));
	TELLP(mmap(0, 32 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	p = TELLP(mmap(0, 32 << 20, PROT_NONE, ANON, -1, 0));
	TELL(mprotect(p, 32 << 20, RW));
	TELLP(sbrk(32 << 20));
	setrlimit(RLIMIT_DATA, &was);
	TELL(mprotect(p, 32 << 20, RW));
	munmap(p, 32 << 20);
}

static void reserve(void) {
	puts("-- a terabyte");
	char *p = TELLP(mmap(0, 1UL << 40, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	TELL(mprotect(p + (512UL << 30), 1 << 20, RW));
	ATTEMPT(p, p[512UL << 30] = 1);
	ATTEMPT(p, p[(512UL << 30) + (1 << 20)] = 1);
	TELL(madvise(p, 1UL << 40, MADV_DONTNEED));
	printf("%d\n", p[512UL << 30]);
	TELL(munmap(p, 1UL << 40));
	p = TELLP(mmap(0, 1UL << 40, RW, ANON | MAP_NORESERVE, -1, 0));
	ATTEMPT(p, p[999UL << 30] = 1);
	TELL(munmap(p, 1UL << 40));
	TELLP(mmap(0, 1UL << 40, RW, ANON, -1, 0));
}

// Memory that is filled from end to end, and changed in parts.
static void large(void) {
	puts("-- large");
	const unsigned long n = 4096; // pages
	volatile char *p = anon(n);
	for (unsigned long i = 0; i < n; i++) p[i * PAGE + i % PAGE] = (char)(i * 7 + 1);
	volatile char *q = anon(n);
	TELL(madvise((void *)q, n * PAGE, MADV_HUGEPAGE) ? errno == EINVAL ? 0 : -1 : 0); // not every kernel has it
	q[1500 * PAGE] = 5;
	munmap((void *)(p + 1000 * PAGE), 3 * PAGE);
	mprotect((void *)(p + 2000 * PAGE), 5 * PAGE, PROT_READ);
	madvise((void *)(p + 2500 * PAGE), 2 * PAGE, MADV_DONTNEED);
	madvise((void *)(p + 3000 * PAGE), 600 * PAGE, MADV_DONTNEED);
	mprotect((void *)p, 1000 * PAGE, PROT_NONE);
	mprotect((void *)p, 1000 * PAGE, RW);
	ATTEMPT(p, p[1001 * PAGE] = 1);
	ATTEMPT(p, p[2004 * PAGE] = 1);
	ATTEMPT(p, p[2005 * PAGE] = p[2005 * PAGE]);
	unsigned long lost = 0, zero = 0;
	for (unsigned long i = 0; i < n; i++) {
		if (i >= 1000 && i < 1003) continue;
		char c = p[i * PAGE + i % PAGE];
		if (c != (char)(i * 7 + 1)) lost++;
		if (!c) zero++;
	}
	printf("%lu lost, %lu zero\n", lost, zero);
	volatile char *r = mremap((void *)(p + 2010 * PAGE), 900 * PAGE, 1900 * PAGE, MREMAP_MAYMOVE);
	for (unsigned long i = lost = 0; i < 900; i++) lost += r[i * PAGE + (i + 2010) % PAGE] != (char)((i + 2010) * 7 + 1);
	printf("%lu lost in moving\n", lost);
	munmap((void *)(q + 700 * PAGE), 1200 * PAGE);
	ATTEMPT(q, q[1500 * PAGE]);
	printf("%d\n", q[1900 * PAGE] + q[699 * PAGE]);
	int fd = open("/dev/zero", O_RDONLY);
	TELL(read(fd, (void *)(p + 100 * PAGE), 300 * PAGE));
	printf("%d %d\n", p[200 * PAGE + 200], p[99 * PAGE + 99] == (char)(99 * 7 + 1));
	close(fd);
}

static void pkeys(void) {
	puts("-- barriers");
	TELL(syscall(SYS_membarrier, 4, 0, 0));
	TELL(syscall(SYS_membarrier, 8, 0, 0));
	TELL(syscall(SYS_membarrier, 16, 0, 0));
	TELL(syscall(SYS_membarrier, 8, 0, 0));
	TELL(syscall(SYS_membarrier, 1, 0, 0));
	TELL(syscall(SYS_membarrier, 2, 0, 0));
	TELL(syscall(SYS_membarrier, 12345, 0, 0));
	TELL(syscall(SYS_membarrier, 1, 77, 0));
	volatile char *p = anon(1);
	TELL(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, -1));
	TELL(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, 1));
	TELL(syscall(SYS_pkey_free, 1));
	TELL(syscall(SYS_pkey_alloc, 1, 0));
	TELL(syscall(SYS_pkey_alloc, 0, 8));
	TELL(syscall(SYS_pkey_alloc, 0, 0));
}

int main(void) {
	static char alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
	sigaltstack(&ss, 0);
	catch_faults();
	flags();
	places();
	rights();
	grow();
	remap();
	advise();
	populate();
	kernel_half();
	limits();
	reserve();
	large();
	pkeys();
}

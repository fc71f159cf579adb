// Gives system calls pointers to what is not there, or not to be read or
// written: each answers EFAULT, and the kernel lives on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int fds[2], bad;

static void check(const char *what, uintptr_t p, long r) {
	if (r == -1 && errno == EFAULT) return;
	printf("%s(%#lx): returned %ld, %s\n", what, p, r, r < 0 ? strerror(errno) : "no error");
	bad = 1;
}

#define CALL(nr, ...) (drain(), errno = 0, check(#nr, p, syscall(SYS_##nr, __VA_ARGS__)))

// drain keeps one byte in the pipe, so that reads need not wait.
static void drain(void) {
	char b[64];
	while (read(fds[0], b, sizeof b) > 0);
	write(fds[1], "x", 1);
}

int main(void) {
	long page = sysconf(_SC_PAGESIZE);
	if (pipe2(fds, O_NONBLOCK)) return 99;
	char *none = mmap(0, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *gone = mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *constant = mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(gone, page);

	uintptr_t lies[] = {1, 4095, (uintptr_t)none, (uintptr_t)gone, 0x7ffffffff000, 0x800000000000, 0xffff800000000000,
		0xffffffff80100000, 0xffffc00000000000, ~0ul - 7};
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		uintptr_t p = lies[i];
		CALL(read, fds[0], p, 1);
		CALL(write, fds[1], p, 1);
		CALL(open, p, O_RDONLY);
		CALL(stat, p, &page);
		CALL(stat, "/", p);
		CALL(uname, p);
		CALL(getcwd, p, 4096);
		CALL(pipe, p);
		CALL(clock_gettime, CLOCK_REALTIME, p);
		CALL(clock_gettime, 99999 & 0, p);
		CALL(nanosleep, p, 0);
		CALL(readv, fds[0], p, 1);
		struct iovec v = {(void *)p, 1};
		CALL(readv, fds[0], &v, 1);
		CALL(writev, fds[1], &v, 1);
		CALL(rt_sigaction, SIGUSR1, p, 0, 8);
		CALL(rt_sigaction, SIGUSR1, 0, p, 8);
		CALL(rt_sigprocmask, SIG_BLOCK, p, 0, 8);
		CALL(poll, p, 1, 0);
		CALL(getrandom, p, 8, 0);
		CALL(chdir, p);
		CALL(readlink, "/proc/self/exe", p, 100);
		CALL(getrlimit, 3, p);
		CALL(futex, p & ~3ul, 0, 0, 0);
	}
	uintptr_t p = (uintptr_t)constant;
	CALL(read, fds[0], p, 1);
	CALL(stat, "/", p);
	CALL(uname, p);
	CALL(pipe, p);

	// What ends well before the lie counts.
	char *two = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(two + page, page, PROT_NONE);
	int f = open("/dev/zero", O_RDONLY);
	long n = read(f, two + page - 10, 100);
	printf("half a lie: %ld\n", n < 0 ? -errno : n);
	if (fcntl(fds[1], F_GETFD) < 0) bad = 1; // nothing was closed, no descriptor leaked
	printf("next descriptor %d\n", dup(0));
	puts(bad ? "bad" : "good");
	return bad;
}

// What the programs share that print what calls return, for the same program's
// output on another kernel to be compared with.
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// result says what a call returned: its error's name, or how it went well.
static inline long result(const char *what, long r) {
	int e = errno;
	if (r == -1) {
		const char *names[] = {
			[EPERM] = "EPERM", [ENOENT] = "ENOENT", [ESRCH] = "ESRCH", [EINTR] = "EINTR", [EIO] = "EIO", [ENXIO] = "ENXIO",
			[E2BIG] = "E2BIG", [EBADF] = "EBADF", [EAGAIN] = "EAGAIN", [ENOMEM] = "ENOMEM", [EACCES] = "EACCES", [EFAULT] = "EFAULT",
			[EBUSY] = "EBUSY", [EEXIST] = "EEXIST", [EXDEV] = "EXDEV", [ENODEV] = "ENODEV", [ENOTDIR] = "ENOTDIR", [EISDIR] = "EISDIR",
			[EINVAL] = "EINVAL", [ENFILE] = "ENFILE", [EMFILE] = "EMFILE", [ENOTTY] = "ENOTTY", [ETXTBSY] = "ETXTBSY", [EFBIG] = "EFBIG",
			[ENOSPC] = "ENOSPC", [ESPIPE] = "ESPIPE", [EROFS] = "EROFS", [EMLINK] = "EMLINK", [EPIPE] = "EPIPE", [ERANGE] = "ERANGE",
			[EDEADLK] = "EDEADLK", [ENAMETOOLONG] = "ENAMETOOLONG", [ENOLCK] = "ENOLCK", [ENOSYS] = "ENOSYS", [ENOTEMPTY] = "ENOTEMPTY",
			[ELOOP] = "ELOOP", [EOVERFLOW] = "EOVERFLOW", [EOPNOTSUPP] = "EOPNOTSUPP", [ENOTSOCK] = "ENOTSOCK", [ETIMEDOUT] = "ETIMEDOUT",
			[ENODATA] = "ENODATA", [ENOTBLK] = "ENOTBLK", [ECHILD] = "ECHILD", [ECONNREFUSED] = "ECONNREFUSED", [ECONNRESET] = "ECONNRESET",
			[ENOTCONN] = "ENOTCONN", [EISCONN] = "EISCONN", [EADDRINUSE] = "EADDRINUSE", [EADDRNOTAVAIL] = "EADDRNOTAVAIL",
			[EPROTOTYPE] = "EPROTOTYPE", [EAFNOSUPPORT] = "EAFNOSUPPORT", [EDESTADDRREQ] = "EDESTADDRREQ", [EMSGSIZE] = "EMSGSIZE",
			[EINPROGRESS] = "EINPROGRESS", [EALREADY] = "EALREADY", [ENOPROTOOPT] = "ENOPROTOOPT", [ENETUNREACH] = "ENETUNREACH",
			[EPROTONOSUPPORT] = "EPROTONOSUPPORT", [ESOCKTNOSUPPORT] = "ESOCKTNOSUPPORT", [EHOSTUNREACH] = "EHOSTUNREACH",
		};
		const char *name = e < (int)(sizeof names / sizeof *names) ? names[e] : 0;
		printf("%s: %s\n", what, name ? name : strerror(e));
	} else
		printf("%s: %ld\n", what, r);
	return r;
}

// SHOW makes a call, prints it with its result, and returns that.
#define SHOW(call) (errno = 0, result(#call, (long)(call)))

// OK prints only whether a call went well: for results that differ by nature.
#define OK(call) (errno = 0, result(#call, (long)(call) == -1 ? -1 : 0))

// S makes a system call by its name, past the C library, and prints it with its
// result. Each argument becomes a long: as an int, -1 would leave rubbish above.
#define S(nr, ...) (errno = 0, result(#nr " " #__VA_ARGS__, COUNTED(__VA_ARGS__, S6, S5, S4, S3, S2, S1)(SYS_##nr, __VA_ARGS__)))
#define COUNTED(a, b, c, d, e, f, name, ...) name
#define S1(n, a) syscall(n, (long)(a))
#define S2(n, a, b) syscall(n, (long)(a), (long)(b))
#define S3(n, a, b, c) syscall(n, (long)(a), (long)(b), (long)(c))
#define S4(n, a, b, c, d) syscall(n, (long)(a), (long)(b), (long)(c), (long)(d))
#define S5(n, a, b, c, d, e) syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define S6(n, a, b, c, d, e, f) syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static char scratch_dir[] = "/dev/shm/showXXXXXX";

static int scratch_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw) { return remove(path); }
static void scratch_clean(void) { nftw(scratch_dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS); }

// scratch makes an empty directory on a tmpfs the working directory, until the
// program ends.
static inline void scratch(void) {
	umask(022);
	if (!mkdtemp(scratch_dir) || chdir(scratch_dir) || atexit(scratch_clean)) exit(99);
}

// What calls about files do when nothing is wrong: contents, names, permissions,
// locks, seals.
#include "show.h"
#include "await.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <sys/time.h>

static char buf[1 << 16];

// text shows a file's contents: letters, and how often others repeat.
static void text(const char *name) {
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof buf);
	printf("  %s has %zd bytes:", name, n);
	for (ssize_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && buf[j] == buf[i]; j++);
		if (j - i > 4) printf(" [%d x %zd]", buf[i], j - i);
		else printf(" %.*s", (int)(j - i), buf + i);
	}
	puts("");
	close(fd);
}

static void make(const char *name, const char *s) {
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write(fd, s, strlen(s));
	close(fd);
}

static void about(const char *name) {
	struct stat st;
	if (lstat(name, &st)) {
		result(name, -1);
		return;
	}
	printf("  %s: mode %o links %d owner %d:%d size %ld blocks %ld\n", name, st.st_mode, (int)st.st_nlink, st.st_uid, st.st_gid,
		S_ISDIR(st.st_mode) ? 0 : (long)st.st_size, S_ISREG(st.st_mode) ? (long)st.st_blocks : 0);
}

static int how(const char *path, int dir, long flags, long resolve) {
	struct open_how h = {.flags = flags, .resolve = resolve, .mode = flags & O_CREAT ? 0600 : 0};
	int fd = syscall(437, dir, path, &h, sizeof h);
	printf("openat2 %s %lo %lx", path, flags, resolve);
	result("", fd < 0 ? -1 : 0);
	if (fd >= 0) close(fd);
	return fd;
}

static void opening(void) {
	puts("-- openat2");
	mkdir("root", 0755), mkdir("root/sub", 0755);
	make("root/file", "x");
	symlink("file", "root/rel"), symlink("/root/file", "root/abs"), symlink("../../root", "root/out"), symlink("..", "root/sub/up");
	symlink("/proc/self/exe", "root/magic"), symlink("rel", "root/twice"), symlink("/file", "root/chrooted"), symlink("nothing", "root/dangling");
	int d = open("root", O_PATH | O_DIRECTORY);
	const char *paths[] = {"file", "rel", "twice", "abs", "out", "sub/up/file", "sub/../file", "../root/file", "..", ".", "/", "/proc/self/exe", "magic", "chrooted",
		"sub/../../root/file", "dangling", "nothing", "/proc/version", "sub/up/up", "/../../file"};
	long resolve[] = {0, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		for (size_t j = 0; j < sizeof resolve / sizeof *resolve; j++)
			how(paths[i], d, O_RDONLY, resolve[j]);
	how("rel", d, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
	how("made", d, O_CREAT | O_RDWR, RESOLVE_IN_ROOT);
	how("chrooted2", d, O_CREAT | O_RDWR, RESOLVE_BENEATH);
	how("dangling", d, O_CREAT | O_RDWR, RESOLVE_BENEATH);
	about("root/nothing");
	close(d);

	puts("-- O_PATH");
	int p = open("root/file", O_PATH), l = open("root/rel", O_PATH | O_NOFOLLOW);
	SHOW(read(p, buf, 1));
	SHOW(fcntl(p, F_GETFL));
	SHOW(fcntl(l, F_GETFL));
	struct stat st;
	SHOW(fstat(l, &st));
	printf("%o\n", st.st_mode & S_IFMT);
	SHOW(readlinkat(l, "", buf, 100));
	char name[64];
	sprintf(name, "/proc/self/fd/%d", p);
	OK(open(name, O_RDWR));
	sprintf(name, "/proc/self/fd/%d", l);
	OK(open(name, O_RDONLY));
	int dup = fcntl(p, F_DUPFD_CLOEXEC, 0);
	SHOW(fcntl(dup, F_GETFD));
	SHOW(fstatat(p, "", &st, AT_EMPTY_PATH));
	SHOW(faccessat(p, "", R_OK, AT_EMPTY_PATH));
	SHOW(fchmodat(p, "", 0600, 0));

	puts("-- O_TMPFILE");
	int t = open(".", O_TMPFILE | O_RDWR, 0640);
	SHOW(fcntl(t, F_GETFL) & ~O_LARGEFILE);
	SHOW(write(t, "hello", 5));
	SHOW(fstat(t, &st));
	printf("%o %d\n", st.st_mode, (int)st.st_nlink);
	sprintf(name, "/proc/self/fd/%d", t);
	ssize_t n = readlink(name, buf, sizeof buf);
	buf[n > 0 ? n : 0] = 0;
	printf("%d\n", strstr(buf, " (deleted)") != 0);
	SHOW(linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
	SHOW(linkat(t, "", AT_FDCWD, "linked2", AT_EMPTY_PATH));
	about("linked");
	text("linked2");
	close(t);
	t = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	SHOW(linkat(t, "", AT_FDCWD, "linked3", AT_EMPTY_PATH));
	close(t);
	t = open("linked", O_RDWR);
	unlink("linked"), unlink("linked2");
	SHOW(linkat(t, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	SHOW(write(t, "HE", 2));
	SHOW(pread(t, buf, 10, 0));
	close(t);

	puts("-- flags");
	for (int i = 0; i < 6; i++) {
		int flags[] = {O_SYNC, O_DSYNC, O_DIRECT, O_NOATIME, O_APPEND, O_NONBLOCK | O_ASYNC};
		int fd = open("root/file", O_RDWR | flags[i]);
		printf("%o: %o\n", flags[i], fcntl(fd, F_GETFL));
		SHOW(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_DIRECT | O_RDONLY | O_CREAT));
		printf("then %o\n", fcntl(fd, F_GETFL));
		close(fd);
	}
	int a = open("root/file", O_WRONLY | O_APPEND | O_TRUNC), b = open("root/file", O_WRONLY | O_APPEND);
	write(a, "one", 3), write(b, "two", 3), write(a, "three", 5);
	SHOW(lseek(a, 0, SEEK_CUR));
	SHOW(lseek(b, 0, SEEK_CUR));
	SHOW(pwrite(a, "four", 4, 0));
	text("root/file");
}

static void contents(void) {
	puts("-- extents");
	int fd = open("extents", O_RDWR | O_CREAT, 0600);
	SHOW(pwrite(fd, "end", 3, 20000));
	about("extents");
	SHOW(lseek(fd, 0, SEEK_DATA));
	SHOW(lseek(fd, 0, SEEK_HOLE));
	SHOW(lseek(fd, 16384, SEEK_HOLE));
	SHOW(lseek(fd, 20003, SEEK_DATA));
	SHOW(fallocate(fd, 0, 0, 4096));
	about("extents");
	SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 30000, 4096));
	about("extents");
	memset(buf, 'a', sizeof buf);
	pwrite(fd, buf, 20000, 0);
	SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10000));
	about("extents");
	text("extents");
	SHOW(lseek(fd, 0, SEEK_HOLE));
	SHOW(lseek(fd, 4096, SEEK_DATA));
	SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 10));
	SHOW(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	SHOW(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096));
	SHOW(ftruncate(fd, 50));
	SHOW(ftruncate(fd, 5000));
	text("extents");
	about("extents");

	puts("-- vectors and flags");
	struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cdef", 4}};
	lseek(fd, 0, SEEK_SET);
	SHOW(writev(fd, v, 3));
	SHOW(pwritev(fd, v, 3, 10));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(pwritev2(fd, v, 3, -1, RWF_DSYNC | RWF_SYNC));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(pwritev2(fd, v, 3, 0, RWF_APPEND));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(pwritev2(fd, v, 3, -1, RWF_APPEND));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(preadv2(fd, v, 0, 0, RWF_HIPRI));
	char x[4], y[8];
	struct iovec r[2] = {{x, 4}, {y, 8}};
	SHOW(preadv(fd, r, 2, 0));
	printf("%.4s %.8s\n", x, y);
	text("extents");
	close(fd);

	puts("-- copies");
	make("from", "0123456789"), make("to", "");
	int from = open("from", O_RDONLY), to = open("to", O_RDWR);
	off_t o = 3, p = 2;
	SHOW(sendfile(to, from, &o, 4));
	printf("%ld %ld\n", (long)o, (long)lseek(from, 0, SEEK_CUR));
	SHOW(sendfile(to, from, 0, 100));
	SHOW(sendfile(to, from, 0, 100));
	o = 1;
	SHOW(copy_file_range(from, &o, to, &p, 5, 0));
	printf("%ld %ld\n", (long)o, (long)p);
	SHOW(copy_file_range(from, &o, to, 0, 100, 0));
	printf("%ld %ld\n", (long)o, (long)lseek(to, 0, SEEK_CUR));
	text("to");
	int pp[2];
	pipe(pp);
	o = 0;
	SHOW(splice(from, &o, pp[1], 0, 6, 0));
	SHOW(splice(pp[0], 0, to, 0, 100, 0));
	SHOW(lseek(from, 2, SEEK_SET));
	SHOW(splice(from, 0, pp[1], 0, 100, 0));
	SHOW(lseek(from, 0, SEEK_CUR));
	p = 0;
	SHOW(splice(pp[0], 0, to, &p, 3, SPLICE_F_MOVE));
	text("to");
	SHOW(splice(pp[0], 0, to, &p, 100, SPLICE_F_NONBLOCK));
	SHOW(splice(pp[0], 0, to, &p, 100, SPLICE_F_NONBLOCK));
	int qq[2];
	pipe(qq);
	write(pp[1], "hello", 5);
	SHOW(tee(pp[0], qq[1], 3, 0));
	SHOW(tee(pp[0], qq[1], 100, 0));
	SHOW(splice(pp[0], 0, qq[1], 0, 2, 0));
	SHOW(read(pp[0], buf, 100));
	SHOW(read(qq[0], buf, 100));
	printf("%.10s\n", buf);
	struct iovec w[2] = {{"spl", 3}, {"iced", 4}};
	SHOW(vmsplice(pp[1], w, 2, 0));
	SHOW(vmsplice(pp[0], r, 2, 0));
	printf("%.4s %.3s\n", x, y);
	SHOW(sendfile(pp[1], from, 0, 100));
	lseek(from, 0, SEEK_SET);
	SHOW(sendfile(pp[1], from, 0, 100));
	SHOW(read(pp[0], buf, 100));
	close(pp[1]);
	SHOW(splice(pp[0], 0, to, 0, 100, 0));
	close(qq[0]);
	signal(SIGPIPE, SIG_IGN);
	o = 0;
	SHOW(splice(from, &o, qq[1], 0, 5, 0));
	SHOW(sendfile(qq[1], from, &o, 5));
	close(from), close(to);
}

static int keep(const struct dirent *e) { return e->d_name[0] != '.'; }

static void list(const char *dir) {
	struct dirent **e;
	int n = scandir(dir, &e, keep, alphasort);
	printf("  %s:", dir);
	for (int i = 0; i < n; i++) printf(" %s(%d)", e[i]->d_name, e[i]->d_type);
	puts("");
}

static void names(void) {
	puts("-- renames");
	mkdir("r", 0755), mkdir("r/d", 0755), mkdir("r/e", 0755);
	make("r/a", "a"), make("r/b", "b"), make("r/d/x", "x");
	link("r/a", "r/a2");
	SHOW(rename("r/a", "r/a2"));
	list("r");
	SHOW(renameat2(AT_FDCWD, "r/a", AT_FDCWD, "r/b", RENAME_EXCHANGE));
	text("r/a"), text("r/b");
	SHOW(renameat2(AT_FDCWD, "r/a", AT_FDCWD, "r/d", RENAME_EXCHANGE));
	list("r"), list("r/a");
	SHOW(renameat2(AT_FDCWD, "r/a", AT_FDCWD, "r/d", RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "r/a", AT_FDCWD, "r/n", RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "r/n", AT_FDCWD, "r/w", RENAME_WHITEOUT));
	list("r");
	struct stat st;
	SHOW(lstat("r/n", &st));
	printf("%o %lx\n", st.st_mode, (long)st.st_rdev);
	SHOW(renameat2(AT_FDCWD, "r/b", AT_FDCWD, "r/w", RENAME_WHITEOUT));
	SHOW(renameat2(AT_FDCWD, "r/b", AT_FDCWD, "r/d", RENAME_WHITEOUT));
	list("r");
	SHOW(unlink("r/b"));
	SHOW(renameat2(AT_FDCWD, "r/d", AT_FDCWD, "r/e/", RENAME_WHITEOUT | RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "r/d", AT_FDCWD, "r/q", RENAME_WHITEOUT | RENAME_EXCHANGE));
	SHOW(renameat2(AT_FDCWD, "r/d", AT_FDCWD, "r/q", RENAME_WHITEOUT | RENAME_NOREPLACE));
	list("r");

	puts("-- open directories");
	int d = open("r/e", O_RDONLY);
	SHOW(rmdir("r/e"));
	SHOW(mkdirat(d, "x", 0700));
	SHOW(openat(d, "x", O_CREAT | O_RDWR, 0600));
	SHOW(syscall(SYS_getdents64, d, buf, 1000));
	SHOW(fchdir(d));
	SHOW(getcwd(buf, 100) ? 0 : -1);
	SHOW(open("..", O_RDONLY) < 0 ? -1 : 0);
	SHOW(chdir(scratch_dir));
	close(d);

	puts("-- seeking in a directory");
	mkdir("many", 0755);
	for (int i = 0; i < 300; i++) {
		char n[32];
		sprintf(n, "many/%03d", i);
		close(open(n, O_CREAT | O_WRONLY, 0600));
	}
	DIR *dir = opendir("many");
	int seen = 0;
	long at = 0;
	char first[64] = "";
	for (struct dirent *e; (e = readdir(dir));) {
		if (++seen == 100) at = telldir(dir);
		if (seen == 101) strcpy(first, e->d_name);
	}
	printf("%d entries\n", seen);
	seekdir(dir, at);
	struct dirent *e = readdir(dir);
	printf("%s\n", e && !strcmp(e->d_name, first) ? "the same" : "another");
	rewinddir(dir);
	seen = 0;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.') {
			seen++;
			unlinkat(dirfd(dir), e->d_name, 0);
		}
	printf("%d removed while read\n", seen);
	closedir(dir);
	SHOW(rmdir("many"));
}

static void permissions(void) {
	puts("-- permissions");
	chmod(scratch_dir, 0755);
	mkdir("p", 0777), chmod("p", 0777);
	mkdir("p/sticky", 0777), chmod("p/sticky", 01777);
	mkdir("p/setgid", 0777), chown("p/setgid", 0, 7), chmod("p/setgid", 02777);
	mkdir("p/closed", 0700);
	mkdir("p/search", 0711);
	make("p/search/file", "x"), make("p/sticky/roots", "x"), make("p/mine", "x"), make("p/secret", "x");
	chown("p/mine", 5, 5), chmod("p/secret", 0600), chmod("p/mine", 06755);
	umask(027);
	close(open("p/masked", O_CREAT | O_WRONLY, 0666));
	mkdir("p/maskeddir", 0777);
	mkfifo("p/maskedfifo", 0666);
	about("p/masked"), about("p/maskeddir"), about("p/maskedfifo");
	umask(022);
	close(open("p/bits", O_CREAT | O_WRONLY, 06777));
	mkdir("p/bitsdir", 07777);
	about("p/bits"), about("p/bitsdir");
	gid_t groups[1] = {9};
	syscall(SYS_setgroups, 1, groups);
	syscall(SYS_setresgid, 5, 5, 0);
	syscall(SYS_setresuid, 5, 5, 0);
	int fd;
	OK(open("p/secret", O_RDONLY));
	OK(open("p/closed/x", O_RDONLY));
	OK(open("p/search/file", O_RDONLY));
	OK(open("p/search", O_RDONLY));
	OK(open("p/search/new", O_CREAT | O_WRONLY, 0600));
	SHOW(unlink("p/sticky/roots"));
	SHOW(rename("p/sticky/roots", "p/sticky/other"));
	SHOW(rename("p/sticky/roots", "p/stolen"));
	OK(open("p/sticky/ours", O_CREAT | O_WRONLY, 0600));
	SHOW(unlink("p/sticky/ours"));
	OK(open("p/setgid/file", O_CREAT | O_WRONLY, 02775));
	SHOW(mkdir("p/setgid/dir", 0755));
	about("p/setgid/file"), about("p/setgid/dir");
	SHOW(chmod("p/mine", 06777));
	about("p/mine");
	fd = open("p/mine", O_WRONLY);
	SHOW(write(fd, "y", 1));
	about("p/mine");
	SHOW(chmod("p/mine", 02775));
	SHOW(chown("p/mine", 5, 9));
	about("p/mine");
	SHOW(chown("p/mine", 5, 10));
	SHOW(chown("p/mine", 6, -1));
	SHOW(chown("p/mine", -1, -1));
	SHOW(chmod("p/mine", 02775));
	about("p/mine");
	SHOW(ftruncate(fd, 0));
	about("p/mine");
	SHOW(chmod("p/secret", 0777));
	SHOW(chown("p/secret", 5, 5));
	SHOW(access("p/secret", R_OK));
	SHOW(access("p/secret", F_OK));
	SHOW(truncate("p/secret", 0));
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, then[2] = {{1, 1}, {2, 2}}, half[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
	SHOW(utimensat(AT_FDCWD, "p/search/file", now, 0));
	SHOW(utimensat(AT_FDCWD, "p/search/file", then, 0));
	SHOW(utimensat(AT_FDCWD, "p/mine", then, 0));
	struct stat st;
	stat("p/mine", &st);
	SHOW(utimensat(AT_FDCWD, "p/search/file", half, 0));
	printf("%ld.%09ld %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	SHOW(mknod("p/device", S_IFCHR | 0600, 0x103));
	SHOW(mknod("p/fifo", S_IFIFO | 0600, 0));
	SHOW(mknod("p/plain", 0600, 0));
	SHOW(chroot("p"));
	OK(open("p/mine", O_RDONLY | O_NOATIME));
	OK(open("p/search/file", O_RDONLY | O_NOATIME));
	SHOW(chdir("p/closed"));
	SHOW(fcntl(fd, F_SETPIPE_SZ, 1 << 21));
	int pp[2];
	pipe(pp);
	SHOW(fcntl(pp[0], F_SETPIPE_SZ, 1 << 21));
	SHOW(fcntl(pp[0], F_SETPIPE_SZ, 1 << 20));
	SHOW(linkat(fd, "", AT_FDCWD, "p/linked", AT_EMPTY_PATH));
	SHOW(rmdir("p/maskeddir"));
	SHOW(rename("p/setgid/dir", "p/dir"));
	SHOW(rename("p/maskeddir", "p/setgid/moved"));
	// access(2) looks at the real ids, open(2) at the others.
	syscall(SYS_setresuid, 0, 0, 0);
	syscall(SYS_setresuid, 5, 0, 0);
	SHOW(access("p/secret", R_OK));
	SHOW(faccessat(AT_FDCWD, "p/secret", R_OK, AT_EACCESS));
	OK(open("p/secret", O_RDONLY));
	syscall(SYS_setresuid, 0, 5, 0);
	SHOW(access("p/secret", R_OK));
	OK(open("p/secret", O_RDONLY));
	syscall(SYS_setresuid, 0, 0, 0);
	syscall(SYS_setresgid, 0, 0, 0);
	SHOW(setfsuid(5));
	SHOW(setfsuid(-1));
	OK(open("p/secret", O_RDONLY));
	SHOW(setfsuid(0));
	syscall(SYS_setgroups, 0, 0);

	puts("-- chroot");
	int back = open(".", O_RDONLY | O_DIRECTORY);
	SHOW(chroot("p"));
	SHOW(getcwd(buf, sizeof buf) ? 0 : -1);
	SHOW(strncmp(buf, "(unreachable)/", 14));
	SHOW(chdir("/"));
	SHOW(getcwd(buf, sizeof buf) ? 0 : -1);
	puts(buf);
	SHOW(access("/mine", F_OK));
	SHOW(access("/../../mine", F_OK));
	SHOW(access("/proc/self", F_OK));
	SHOW(fchdir(back));
	for (int i = 0; i < 10; i++) chdir("..");
	SHOW(chroot("."));
	SHOW(access("/proc/self", F_OK));
	SHOW(chdir(scratch_dir));
}

static volatile int waiter, locked; // the thread that waits for a lock, and whether it has it

static void *blocked(void *fd) {
	waiter = own_tid();
	long r = flock(*(int *)fd, LOCK_EX);
	locked = 1;
	return (void *)r;
}

static void *blocked2(void *fd) {
	struct flock l = {.l_type = F_WRLCK, .l_start = 5, .l_len = 5};
	waiter = own_tid();
	return (void *)(long)fcntl(*(int *)fd, F_OFD_SETLKW, &l);
}

static void nothing(int sig) {}

static void *interrupted(void *fd) {
	struct flock l = {.l_type = F_WRLCK};
	waiter = own_tid();
	SHOW(fcntl(*(int *)fd, F_OFD_SETLKW, &l));
	return 0;
}

static void locks(void) {
	puts("-- locks");
	make("l", "0123456789");
	int a = open("l", O_RDWR), b = open("l", O_RDWR), c = dup(a);
	SHOW(flock(a, LOCK_SH));
	SHOW(flock(b, LOCK_SH | LOCK_NB));
	SHOW(flock(a, LOCK_EX | LOCK_NB));
	SHOW(flock(b, LOCK_EX | LOCK_NB)); // a's attempt has lost its lock
	SHOW(flock(a, LOCK_SH | LOCK_NB));
	SHOW(flock(b, LOCK_UN));
	SHOW(flock(c, LOCK_EX | LOCK_NB));
	SHOW(flock(b, LOCK_SH | LOCK_NB));
	pthread_t t;
	void *r;
	pthread_create(&t, 0, blocked, &b);
	await_asleep(&waiter);
	close(a);
	usleep(20000);
	puts(locked ? "too early" : "not yet");
	close(c);
	pthread_join(t, &r);
	printf("waited for flock: %ld\n", (long)r);
	a = open("l", O_RDWR);

	struct flock l = {.l_type = F_WRLCK, .l_start = 2, .l_len = 3};
	SHOW(fcntl(a, F_SETLK, &l));
	SHOW(fcntl(b, F_SETLK, &l));
	l.l_pid = 0;
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	l = (struct flock){.l_type = F_RDLCK, .l_start = 0, .l_len = 0};
	SHOW(fcntl(b, F_OFD_GETLK, &l));
	printf("%d %d %ld %ld %d\n", l.l_type, l.l_whence, (long)l.l_start, (long)l.l_len, l.l_pid == getpid());
	c = open("l", O_RDONLY);
	close(c); // which drops the process's own locks on the file
	l = (struct flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 10};
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	l = (struct flock){.l_type = F_UNLCK, .l_start = 4, .l_len = 2};
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	l = (struct flock){.l_type = F_RDLCK, .l_start = 6, .l_len = 2};
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	for (int i = 0; i < 12; i += 2) {
		l = (struct flock){.l_type = F_WRLCK, .l_start = i, .l_len = 0};
		fcntl(a, F_OFD_GETLK, &l);
		printf("from %d: %d %ld %ld %d\n", i, l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid);
	}
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -2, .l_len = 1};
	SHOW(fcntl(a, F_OFD_SETLK, &l));
	l = (struct flock){.l_type = F_RDLCK, .l_start = 7, .l_len = -1};
	SHOW(fcntl(a, F_OFD_SETLK, &l));
	waiter = 0;
	pthread_create(&t, 0, blocked2, &a);
	await_asleep(&waiter);
	l = (struct flock){.l_type = F_UNLCK};
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	pthread_join(t, &r);
	printf("waited for a range: %ld\n", (long)r);
	l = (struct flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 5};
	SHOW(fcntl(a, F_OFD_SETLK, &l));
	l = (struct flock){.l_type = F_RDLCK};
	fcntl(b, F_OFD_GETLK, &l);
	printf("merged: %d %ld %ld\n", l.l_type, (long)l.l_start, (long)l.l_len);
	struct sigaction sa = {.sa_handler = nothing};
	sigaction(SIGUSR1, &sa, 0);
	waiter = 0;
	pthread_create(&t, 0, interrupted, &b);
	await_asleep(&waiter);
	pthread_kill(t, SIGUSR1);
	pthread_join(t, 0);
	close(a);
	l = (struct flock){.l_type = F_WRLCK};
	SHOW(fcntl(b, F_OFD_SETLK, &l));
	close(b);
}

static void seals(void) {
	puts("-- memfd and seals");
	int m = syscall(SYS_memfd_create, "name", 2), n = syscall(SYS_memfd_create, "plain", 1);
	struct stat st;
	fstat(m, &st);
	printf("%o %d\n", st.st_mode, (int)st.st_nlink);
	SHOW(fcntl(n, F_GETFD));
	char link[64], path[64];
	sprintf(path, "/proc/self/fd/%d", m);
	ssize_t k = readlink(path, link, sizeof link);
	printf("%.*s\n", (int)k, link);
	SHOW(write(m, "0123456789", 10));
	SHOW(lseek(m, 3, SEEK_SET));
	SHOW(pread(m, buf, 100, 5));
	SHOW(fcntl(n, F_ADD_SEALS, F_SEAL_WRITE));
	SHOW(fcntl(n, F_GET_SEALS));
	SHOW(fcntl(m, F_GET_SEALS));
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK));
	SHOW(ftruncate(m, 5));
	SHOW(ftruncate(m, 20));
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_GROW));
	SHOW(ftruncate(m, 30));
	SHOW(pwrite(m, "xx", 2, 19));
	SHOW(pwrite(m, "xx", 2, 18));
	SHOW(fallocate(m, 0, 0, 100));
	SHOW(fallocate(m, 0, 0, 10));
	char *w = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
	munmap(w, 4096);
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
	SHOW(write(m, "x", 1));
	SHOW(fallocate(m, 3, 0, 4096));
	OK(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0));
	OK(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, m, 0));
	w = mmap(0, 4096, PROT_READ, MAP_SHARED, m, 0);
	OK(w);
	SHOW(mprotect(w, 4096, PROT_READ | PROT_WRITE));
	int again = open(path, O_RDWR);
	OK(again);
	SHOW(fcntl(again, F_GET_SEALS));
	SHOW(write(again, "x", 1));
	SHOW(read(again, buf, 100));
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_SEAL));
	SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_GROW));
	int ro = open(path, O_RDONLY);
	SHOW(fcntl(ro, F_ADD_SEALS, F_SEAL_GROW));
}

static void descriptors(void) {
	puts("-- descriptors");
	int a = open("/dev/null", O_RDWR), b;
	SHOW(dup2(a, 100));
	SHOW(dup3(a, 101, O_CLOEXEC));
	SHOW(fcntl(100, F_GETFD));
	SHOW(fcntl(101, F_GETFD));
	SHOW(fcntl(a, F_DUPFD, 200));
	SHOW(fcntl(a, F_DUPFD_CLOEXEC, 200));
	SHOW(fcntl(201, F_GETFD));
	SHOW(fcntl(200, F_SETFD, -1));
	SHOW(fcntl(200, F_GETFD));
	SHOW(ioctl(200, FIONCLEX));
	SHOW(fcntl(200, F_GETFD));
	SHOW(syscall(436, 100, 101, 4));
	SHOW(fcntl(100, F_GETFD));
	SHOW(syscall(436, 100, 200, 2));
	SHOW(fcntl(100, F_GETFD));
	SHOW(fcntl(200, F_GETFD));
	SHOW(fcntl(201, F_GETFD));
	SHOW(syscall(436, 150, ~0U, 0));
	SHOW(fcntl(201, F_GETFD));
	b = dup(a);
	SHOW(b > a);
	SHOW(fcntl(a, F_SETFL, O_NONBLOCK));
	SHOW(fcntl(b, F_GETFL) & O_NONBLOCK);
	SHOW(fcntl(a, F_SETOWN, getpid()));
	SHOW(fcntl(b, F_GETOWN) == getpid());
	int on = 0;
	SHOW(ioctl(b, FIONBIO, &on));
	SHOW(fcntl(a, F_GETFL) & O_NONBLOCK);
}

static void systems(void) {
	puts("-- file systems");
	struct statfs s;
	const char *paths[] = {"/dev/shm", "/proc", "/sys", "/dev/null", "/proc/self/maps"};
	for (int i = 0; i < 5; i++) {
		int r = statfs(paths[i], &s);
		printf("%s: %d %lx %ld %ld\n", paths[i], r, (long)s.f_type, (long)s.f_bsize, (long)s.f_namelen);
	}
	int p[2];
	pipe(p);
	fstatfs(p[0], &s);
	printf("pipe: %lx\n", (long)s.f_type);
	SHOW(pathconf("/dev/shm", _PC_NAME_MAX));
	struct stat st;
	stat("/dev/null", &st);
	printf("%o %lx\n", st.st_mode, (long)st.st_rdev);
	stat("/dev/tty", &st);
	printf("%o %lx\n", st.st_mode & S_IFMT, (long)st.st_rdev);
	stat("/dev/shm", &st);
	printf("%o\n", st.st_mode);
	stat("/tmp", &st);
	printf("%o\n", st.st_mode);
	int fd = open("/dev/full", O_RDWR);
	SHOW(write(fd, "x", 1));
	SHOW(read(fd, buf, 10));
	fd = open("/dev/zero", O_RDWR);
	SHOW(write(fd, "x", 1));
	SHOW(pread(fd, buf, 10, 5));
	SHOW(lseek(fd, 100, SEEK_SET));
	char *z = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	OK(z);
	printf("%d\n", z[100]);
	fd = open("/dev/null", O_RDWR);
	SHOW(read(fd, buf, 10));
	SHOW(lseek(fd, 100, SEEK_SET));
	SHOW(ftruncate(fd, 0));
	OK(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0));
	fd = open("/dev/urandom", O_RDONLY);
	SHOW(read(fd, buf, 300));
	fd = open("/dev/random", O_RDONLY | O_NONBLOCK);
	SHOW(read(fd, buf, 300));
	struct statx x;
	SHOW(statx(AT_FDCWD, "p", 0, STATX_ALL, &x));
	printf("%x %o %d\n", x.stx_mask & 0xfff, x.stx_mode, x.stx_btime.tv_sec != 0);
}

int main(void) {
	scratch();
	opening();
	contents();
	names();
	permissions();
	locks();
	seals();
	descriptors();
	systems();
	return 0;
}

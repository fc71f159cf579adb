// inotify(7): which events there are, in which order, with which names.
#include "show.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <utime.h>

static char buf[8192];
static int in, cookies[2];

// events prints what has happened.
static void events(const char *after) {
	printf("%s:\n", after);
	int bytes;
	ioctl(in, FIONREAD, &bytes);
	ssize_t n = read(in, buf, sizeof buf);
	if (n != bytes && n > 0) printf("  FIONREAD says %d, read %zd\n", bytes, n);
	for (ssize_t i = 0; i < n;) {
		struct inotify_event *e = (void *)(buf + i);
		int c = 0;
		if (e->cookie) {
			if (e->mask & IN_MOVED_FROM) cookies[0] = e->cookie;
			c = e->cookie == cookies[0] ? 1 : 2;
		}
		printf("  %d %x cookie %d length %u %s\n", e->wd, e->mask, c, e->len, e->len ? e->name : "");
		i += sizeof *e + e->len;
	}
}

#define DO(x) (SHOW(x), events(#x))

static void wrong(void) {
	int rd, p[2];
	pipe(p), rd = p[0];
	close(open("file", O_CREAT | O_RDWR, 0600));
	symlink("loop", "loop");
	void *none = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	S(inotify_init1, 1);
	in = inotify_init1(IN_NONBLOCK);
	S(inotify_add_watch, -1, "file", IN_ALL_EVENTS);
	S(inotify_add_watch, rd, "file", IN_ALL_EVENTS);
	S(inotify_add_watch, in, "nothing", IN_ALL_EVENTS);
	S(inotify_add_watch, in, "file", 0);
	S(inotify_add_watch, in, "file", 0x10000);
	S(inotify_add_watch, in, "file", IN_ALL_EVENTS | IN_ONLYDIR);
	S(inotify_add_watch, in, "file", IN_MODIFY | IN_MASK_ADD | IN_MASK_CREATE);
	S(inotify_add_watch, in, "loop", IN_ALL_EVENTS);
	S(inotify_add_watch, in, none, IN_ALL_EVENTS);
	S(inotify_add_watch, in, "file", IN_MODIFY);
	S(inotify_add_watch, in, "file", IN_MODIFY | IN_MASK_CREATE);
	S(inotify_rm_watch, in, 99);
	S(inotify_rm_watch, -1, 1);
	S(inotify_rm_watch, rd, 1);
	S(read, in, buf, 100);
	S(write, in, buf, 100);
	S(inotify_rm_watch, in, 1);
	S(read, in, buf, 8);
	S(read, in, buf, 100);
	close(in);
}

int main(void) {
	scratch();
	wrong();
	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	mkdir("d", 0755), mkdir("e", 0755);
	SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS));
	SHOW(inotify_add_watch(in, "e", IN_ALL_EVENTS));
	int f;
	DO((f = open("d/a", O_CREAT | O_RDWR, 0600)) < 0);
	SHOW(inotify_add_watch(in, "d/a", IN_ALL_EVENTS));
	DO(write(f, "hello", 5));
	DO(write(f, "hello", 5));
	DO(pread(f, buf, 5, 0));
	DO(read(f, buf, 5));
	DO(pwrite(f, "x", 1, 3));
	DO(ftruncate(f, 4));
	DO(truncate("d/a", 4));
	DO(fallocate(f, 0, 0, 100));
	DO(fchmod(f, 0644));
	DO(chown("d/a", 0, 0));
	DO(utime("d/a", 0));
	struct timespec mtime[2] = {{0, UTIME_OMIT}, {5, 5}}, atime[2] = {{5, 5}, {0, UTIME_OMIT}};
	DO(utimensat(AT_FDCWD, "d/a", mtime, 0));
	DO(utimensat(AT_FDCWD, "d/a", atime, 0));
	DO(link("d/a", "e/l"));
	DO(close(f));
	DO((f = open("d/a", O_WRONLY | O_TRUNC)) < 0);
	DO(close(f));
	DO((f = open("d/a", O_RDONLY)) < 0);
	DO((close(dup(f))));
	DO(close(f));
	DO((f = open("d/a", O_PATH)) < 0);
	DO(close(f));
	DO(open("d/nothing", O_RDONLY) < 0 ? -1 : 0);
	DO(open("d/a", O_CREAT | O_EXCL | O_RDWR, 0600) < 0 ? -1 : 0);
	DO(rename("d/a", "d/b"));
	DO(rename("d/b", "e/b"));
	DO((f = open("e/b", O_RDWR)) < 0);
	DO(rename("e/b", "d/c"));
	DO(rename("d/c", "d/renamed"));
	DO(write(f, "x", 1));
	DO(unlink("e/l"));
	DO(unlink("d/renamed"));
	DO(write(f, "x", 1));
	DO(close(f));
	DO(mkdir("d/sub", 0755));
	SHOW(inotify_add_watch(in, "d/sub", IN_ALL_EVENTS | IN_ONLYDIR));
	DIR *dir;
	DO((dir = opendir("d/sub")) ? 0 : -1);
	DO(readdir(dir) ? 0 : -1);
	DO(closedir(dir));
	DO(rename("d/sub", "e/sub"));
	DO(mkfifo("e/sub/fifo", 0600));
	DO(symlink("x", "e/sub/link"));
	DO(mknod("e/sub/null", S_IFCHR | 0600, 0x103));
	DO((f = open("e/sub/null", O_RDWR)) < 0);
	DO(write(f, "abc", 3));
	DO(close(f));
	DO(unlink("e/sub/fifo") | unlink("e/sub/link") | unlink("e/sub/null"));
	DO(rmdir("e/sub"));
	close(open("d/x", O_CREAT | O_WRONLY, 0600)), close(open("d/y", O_CREAT | O_WRONLY, 0600)), close(open("e/z", O_CREAT | O_WRONLY, 0600));
	events("three files");
	int wx = SHOW(inotify_add_watch(in, "d/x", IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB)), wy = SHOW(inotify_add_watch(in, "d/y", IN_ALL_EVENTS));
	DO(renameat2(AT_FDCWD, "d/x", AT_FDCWD, "e/z", RENAME_EXCHANGE));
	DO(rename("e/z", "d/y"));
	DO(inotify_rm_watch(in, wy));
	DO(inotify_rm_watch(in, wx));
	SHOW(inotify_add_watch(in, "d", IN_CREATE));
	DO(unlink("d/x"));
	SHOW(inotify_add_watch(in, "d", IN_DELETE | IN_MASK_ADD));
	DO(close(open("d/n", O_CREAT | O_WRONLY, 0600)));
	DO(unlink("d/n"));
	SHOW(inotify_add_watch(in, "d", IN_CREATE | IN_ONESHOT));
	DO(mkdir("d/once", 0755));
	DO(rmdir("d/once"));
	SHOW(inotify_add_watch(in, "d/y", IN_ALL_EVENTS));
	DO((f = open("d/y", O_RDWR)) < 0);
	close(open("e/only", O_CREAT | O_WRONLY, 0600)), events("another");
	int w = SHOW(inotify_add_watch(in, "e/only", IN_ALL_EVENTS));
	DO(unlink("e/only"));
	SHOW(inotify_rm_watch(in, w));
	char link[64];
	int g = open("e/was", O_CREAT | O_RDWR, 0600);
	rename("e/was", "d/is");
	sprintf(link, "/proc/self/fd/%d", g);
	ssize_t k = readlink(link, buf, sizeof buf);
	printf("%.*s\n", (int)(k - strlen(scratch_dir)), buf + strlen(scratch_dir));
	events("moved");
	close(g), unlink("d/is"), events("gone");
	int p[2];
	pipe(p);
	write(f, "0123456789", 10), lseek(f, 0, SEEK_SET);
	events("write");
	DO(sendfile(p[1], f, 0, 5));
	DO(splice(p[0], 0, f, 0, 5, 0));
	off_t o = 0, q = 20;
	DO(copy_file_range(f, &o, f, &q, 3, 0));
	close(f);
	events("close");

	puts("-- readiness");
	struct pollfd pfd = {in, POLLIN | POLLOUT, 0};
	SHOW(poll(&pfd, 1, 0));
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};
	SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev));
	SHOW(epoll_wait(ep, &ev, 1, 0));
	chmod("d/y", 0600);
	SHOW(epoll_wait(ep, &ev, 1, 0));
	SHOW(poll(&pfd, 1, 0));
	printf("%x\n", pfd.revents);
	SHOW(read(in, buf, 15));
	SHOW(read(in, buf, 16));
	SHOW(read(in, buf, 16));

	puts("-- what has no name any more");
	mkdir("u", 0755);
	for (int excl = 0; excl < 2; excl++) {
		SHOW(inotify_add_watch(in, "u", IN_ALL_EVENTS | (excl ? IN_EXCL_UNLINK : 0)) > 0);
		int h = open("u/f", O_CREAT | O_RDWR, 0600);
		write(h, "x", 1), unlink("u/f"), write(h, "x", 1);
		events("unlinked");
		close(h);
		events("closed");
	}

	puts("-- an overflow");
	SHOW(inotify_add_watch(in, "e", IN_ALL_EVENTS));
	for (int i = 0; i < 6000; i++) close(open(i % 2 ? "e/1" : "e/2", O_CREAT | O_WRONLY, 0600)), unlink(i % 2 ? "e/1" : "e/2");
	long n, count = 0, last = 0;
	while ((n = read(in, buf, sizeof buf)) > 0)
		for (long i = 0; i < n; count++) {
			struct inotify_event *e = (void *)(buf + i);
			last = e->mask;
			i += sizeof *e + e->len;
		}
	printf("%ld events, the last is %lx\n", count, last);
	SHOW(write(in, "x", 1));
	SHOW(lseek(in, 0, SEEK_CUR));
	SHOW(fcntl(in, F_GETFL));
	close(in);
	return 0;
}

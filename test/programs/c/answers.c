// answers: what calls say in cases that other programs' own tests look at.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SAY(call) do { errno = 0; long r = (call); printf("%s: %ld %s\n", #call, r, strerrorname_np(errno)); } while (0)

static void show(const char *path) {
	char line[100] = "";
	FILE *f = fopen(path, "r");
	if (f) fgets(line, sizeof line, f), fclose(f);
	printf("%s: %s\n", path, line);
}

static void priorities(void) {
	SAY(getpriority(PRIO_PROCESS, -1));
	SAY(getpriority(3, 0));
	SAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
	SAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 1));
	SAY(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SAY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	SAY(syscall(SYS_ioprio_get, 1, 0));
	SAY(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4));
	SAY(syscall(SYS_ioprio_get, 1, 0));
	SAY(syscall(SYS_ioprio_set, 1, 0, 0 << 13 | 1));
	SAY(syscall(SYS_ioprio_set, 1, 0, 4 << 13));
	SAY(syscall(SYS_ioprio_set, 1, 0, 3 << 13));
	SAY(syscall(SYS_ioprio_get, 1, 0));
	SAY(syscall(SYS_ioprio_get, 0, 0));
	SAY(syscall(SYS_ioprio_get, 4, 0));
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	SAY(write(fd, "500", 3));
	SAY(write(fd, "1001", 4));
	show("/proc/self/oom_score_adj");
}

static int waits(int ep) {
	struct epoll_event e[4];
	int n = epoll_wait(ep, e, 4, 0);
	printf("%d events:", n);
	for (int i = 0; i < n; i++) printf(" %d %x", e[i].data.fd, e[i].events);
	puts("");
	return n;
}

// An edge is what happened to this side: reading is none for who reads.
static void edges(void) {
	static char buf[8192];
	int p[2], ep = epoll_create1(0);
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, open("/dev/zero", O_RDONLY), &(struct epoll_event){.events = EPOLLIN}));
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, open("/dev/null", O_WRONLY), &(struct epoll_event){.events = EPOLLOUT}));
	pipe2(p, O_NONBLOCK);
	SAY(fcntl(p[0], F_SETPIPE_SZ, 4096));
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &(struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = 0});
	epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &(struct epoll_event){.events = EPOLLOUT | EPOLLET, .data.fd = 1});
	waits(ep);
	SAY(write(p[1], buf, sizeof buf));
	waits(ep);
	SAY(read(p[0], buf, 2000));
	waits(ep);
	SAY(read(p[0], buf, sizeof buf));
	waits(ep);
	SAY(write(p[1], buf, 1));
	SAY(write(p[1], buf, 1));
	waits(ep);
	int e = eventfd(0, EFD_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, e, &(struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = 2});
	waits(ep);
	SAY(eventfd_write(e, 2));
	waits(ep);
	waits(ep);
	SAY(eventfd_write(e, 2));
	waits(ep);
}

static void pipes(void) {
	static _Alignas(4096) char buf[1 << 18];
	int p[2];
	pipe(p);
	SAY(vmsplice(p[1], &(struct iovec){buf, sizeof buf}, 1, 0)); // as much as there is room for
	SAY(vmsplice(p[1], &(struct iovec){buf, sizeof buf}, 1, SPLICE_F_NONBLOCK));
	SAY(pwritev2(p[0], &(struct iovec){buf, 1}, 1, 0, 0));
	SAY(pwritev2(p[0], &(struct iovec){buf, 1}, 1, -1, 0));
	SAY(preadv2(p[1], &(struct iovec){buf, 1}, 1, 0, 0));
}

static void files(void) {
	char name[] = "/tmp/answers-XXXXXX";
	int fd = mkstemp(name);
	SAY(write(fd, "abcd", 4));
	int ro = open(name, O_RDONLY);
	SAY((long)mmap(0, 0, PROT_WRITE, MAP_SHARED, ro, 0));
	SAY((long)mmap(0, 1, PROT_WRITE, MAP_SHARED, ro, 0));
	SAY((long)mmap(0, 0, PROT_READ, MAP_SHARED, -1, 0));
	SAY(fcntl(fd, F_SETFL, O_APPEND));
	SAY(lseek(fd, 1, SEEK_SET));
	SAY(write(fd, "efg", 3));
	SAY(lseek(fd, 0, SEEK_CUR));
	close(fd);
	unlink(name);
	struct statvfs s;
	SAY(statvfs("/", &s));
	printf("files: %d\n", s.f_files > 0 && s.f_ffree <= s.f_files);
}

int main(void) {
	struct utsname u;
	uname(&u);
	printf("domain %s\n", u.domainname);
	show("/proc/sys/kernel/domainname");
	show("/proc/sys/kernel/tainted");
	priorities();
	edges();
	pipes();
	files();
	SAY(syscall(426, -1, 0, 0, 0, 0, 0)); // io_uring_enter: no descriptor, and one of no ring
	SAY(syscall(426, 0, 0, 0, 0, 0, 0));
	return 0;
}

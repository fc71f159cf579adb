// exhaust HOW: takes of one thing as much as there is, then shows that the rest
// still works.
#include "tell.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define MANY 1000000

static const char *how;

// Ends the taking: with an error is as good as without.
static void stopped(int e) {
	printf("%s: stopped by %s\n", how, strerrorname_np(e));
	fflush(stdout);
}

static void raise_limits(void) {
	struct rlimit r = {1 << 20, 1 << 20};
	setrlimit(RLIMIT_NOFILE, &r);
	r = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_SIGPENDING, &r);
	setrlimit(RLIMIT_NPROC, &r);
}

static void *sleeper(void *arg) {
	pause();
	return arg;
}

static char block[1 << 16];

int main(int argc, char **argv) {
	if (argc != 2) return 99;
	how = argv[1];
	raise_limits();
	long n = 0;
	if (!strcmp(how, "memory")) {
		for (;; n++) {
			char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (p == MAP_FAILED) break;
			memset(p, 1, 1 << 20);
		}
	} else if (!strcmp(how, "shared")) {
		for (;; n++) {
			char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			if (p == MAP_FAILED) break;
			memset(p, 1, 1 << 20);
		}
	} else if (!strcmp(how, "file")) {
		int fd = open("/tmp/exhaust", O_RDWR | O_CREAT, 0600);
		memset(block, 1, sizeof block);
		while (write(fd, block, sizeof block) > 0) n++;
		stopped(errno);
		TELL(unlink("/tmp/exhaust"));
		TELL(close(fd));
	} else if (!strcmp(how, "files")) {
		char name[100];
		for (; n < MANY; n++) {
			sprintf(name, "/tmp/exhaust-with-a-rather-long-name-%ld", n);
			int fd = open(name, O_RDWR | O_CREAT, 0600);
			if (fd < 0 || write(fd, name, 1) != 1) break;
			close(fd);
		}
		stopped(errno);
	} else if (!strcmp(how, "directories")) {
		char name[100];
		for (; n < MANY; n++) {
			sprintf(name, "/tmp/exhaust-%ld", n);
			if (mkdir(name, 0700)) break;
		}
		stopped(errno);
	} else if (!strcmp(how, "pipes")) {
		int fds[2];
		for (; pipe(fds) == 0; n++) {
			fcntl(fds[1], F_SETFL, O_NONBLOCK);
			while (write(fds[1], block, sizeof block) > 0) {}
		}
		stopped(errno);
	} else if (!strcmp(how, "descriptors")) {
		while (eventfd(0, 0) >= 0) n++;
		stopped(errno);
	} else if (!strcmp(how, "accept")) { // who cannot be accepted waits until he can
		struct sockaddr_un a = {AF_UNIX, "\0exhaust"};
		int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), s;
		if (bind(l, (void *)&a, sizeof a) || listen(l, 1) || connect(c, (void *)&a, sizeof a) || write(c, "x", 1) != 1) return 3;
		while ((s = eventfd(0, 0)) >= 0) n = s;
		if (accept(l, 0, 0) >= 0) return 4;
		stopped(errno);
		for (; n > c; n--) close(n);
		for (int i = 0; (s = accept(l, 0, 0)) < 0; i++) // their memory is free soon
			if (i == 1000) return 6;
			else usleep(10000);
		if (read(s, block, 2) != 1) return 7;
	} else if (!strcmp(how, "memfds")) {
		for (;; n++) {
			int fd = memfd_create("x", 0);
			if (fd < 0 || write(fd, block, 4096) != 4096) break;
		}
		stopped(errno);
	} else if (!strcmp(how, "epoll")) {
		int ep = epoll_create1(0);
		for (;; n++) {
			int fd = eventfd(0, 0);
			struct epoll_event ev = {.events = EPOLLIN};
			if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)) break;
		}
		stopped(errno);
	} else if (!strcmp(how, "timers")) {
		timer_t t;
		struct itimerspec ts = {{1000, 0}, {1000, 0}};
		for (; n < MANY && timer_create(CLOCK_MONOTONIC, 0, &t) == 0; n++) timer_settime(t, 0, &ts, 0);
		stopped(errno);
	} else if (!strcmp(how, "threads")) {
		pthread_attr_t a;
		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, 16384);
		pthread_t t;
		int e = 0;
		for (; n < MANY; n++)
			if ((e = pthread_create(&t, &a, sleeper, 0))) break;
		stopped(e);
	} else if (!strcmp(how, "mappings")) {
		for (; n < MANY; n++)
			if (mmap(0, 4096, n % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
		stopped(errno);
	} else if (!strcmp(how, "tables")) { // pages far apart: a page table each
		char *p = mmap(0, 1UL << 45, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED) return 3;
		for (; n < 1L << 15; n++) p[n << 30] = 1;
	} else if (!strcmp(how, "signals")) {
		sigset_t s;
		sigfillset(&s);
		sigprocmask(SIG_BLOCK, &s, 0);
		while (n < MANY && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) == 0) n++;
		stopped(errno);
	} else if (!strcmp(how, "locks")) {
		int fd = open("/tmp/exhaust", O_RDWR | O_CREAT, 0600);
		for (; n < MANY; n++) {
			struct flock l = {.l_type = F_WRLCK, .l_start = 2 * n, .l_len = 1};
			if (fcntl(fd, F_SETLK, &l)) break;
		}
		stopped(n < MANY ? errno : 0);
	} else
		return 98;
	// The rest still works.
	int fds[2] = {-1, -1};
	char c = 0;
	close(3), close(4);
	if (pipe(fds) == 0 && write(fds[1], "x", 1) == 1 && read(fds[0], &c, 1) == 1) printf("alive %c\n", c);
	else printf("alive, no pipe: %s\n", strerrorname_np(errno));
	return 5;
}

// Pipes, and the calls that tell what is ready: poll(2), select(2), epoll(7),
// eventfd(2).
#include "show.h"
#include "await.h"
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

static char buf[1 << 20];

static int ready(int fd) {
	struct pollfd p = {fd, 0x7fff & ~POLLNVAL, 0};
	poll(&p, 1, 0);
	return p.revents;
}

static void pipes(void) {
	int p[2];
	puts("-- pipes");
	pipe2(p, O_NONBLOCK);
	SHOW(fcntl(p[0], F_GETFL));
	SHOW(fcntl(p[1], F_GETFL));
	SHOW(fcntl(p[1], F_GETPIPE_SZ));
	SHOW(write(p[1], buf, sizeof buf));
	printf("%x %x\n", ready(p[0]), ready(p[1]));
	SHOW(write(p[1], buf, 1));
	SHOW(read(p[0], buf, 4095));
	printf("%x %x\n", ready(p[0]), ready(p[1]));
	SHOW(read(p[0], buf, 1));
	printf("%x %x\n", ready(p[0]), ready(p[1]));
	SHOW(write(p[1], buf, 4097));
	SHOW(write(p[1], buf, 4096));
	int n;
	SHOW(ioctl(p[0], FIONREAD, &n));
	printf("%d\n", n);
	SHOW(fcntl(p[0], F_SETPIPE_SZ, 4096));
	while (read(p[0], buf, sizeof buf) > 0);
	SHOW(fcntl(p[0], F_SETPIPE_SZ, 4096));
	SHOW(write(p[1], buf, 10000));
	SHOW(fcntl(p[0], F_SETPIPE_SZ, 8192));
	SHOW(write(p[1], buf, 10000));
	SHOW(read(p[0], buf, 100000));
	SHOW(read(p[0], buf, 0));
	SHOW(write(p[1], buf, 0));
	struct stat st;
	fstat(p[0], &st);
	printf("%o %ld\n", st.st_mode, (long)st.st_size);
	close(p[1]);
	printf("%x\n", ready(p[0]));
	SHOW(read(p[0], buf, 1));
	close(p[0]);
	pipe(p);
	close(p[0]);
	printf("%x\n", ready(p[1]));
	SHOW(write(p[1], buf, 1));
	SHOW(write(p[1], buf, 0));
	close(p[1]);

	puts("-- packets");
	pipe2(p, O_DIRECT | O_NONBLOCK);
	SHOW(fcntl(p[0], F_GETFL));
	SHOW(fcntl(p[1], F_GETFL));
	SHOW(write(p[1], "hello", 5));
	SHOW(write(p[1], "world!", 6));
	SHOW(write(p[1], buf, 5000));
	SHOW(ioctl(p[0], FIONREAD, &n));
	SHOW(read(p[0], buf, 3));
	SHOW(read(p[0], buf, 100));
	SHOW(read(p[0], buf, 10000));
	SHOW(read(p[0], buf, 10000));
	SHOW(read(p[0], buf, 10000));
	int count = 0;
	while (write(p[1], "x", 1) == 1) count++;
	printf("%d packets fit\n", count);
	SHOW(read(p[0], buf, 10000));
	SHOW(write(p[1], "x", 1));
	while (read(p[0], buf, 100) > 0);
	SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK));
	SHOW(write(p[1], "plain", 5));
	SHOW(write(p[1], "plain", 5));
	SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT));
	SHOW(write(p[1], "packet", 6));
	SHOW(write(p[1], "another", 7));
	SHOW(read(p[0], buf, 100));
	SHOW(read(p[0], buf, 100));
	struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
	SHOW(writev(p[1], v, 2));
	v[0].iov_base = buf, v[1].iov_base = buf + 2, v[0].iov_len = v[1].iov_len = 3;
	SHOW(readv(p[0], v, 2));

	puts("-- FIFOs");
	mkfifo("fifo", 0600);
	int r = open("fifo", O_RDONLY | O_NONBLOCK);
	printf("%x\n", ready(r));
	SHOW(read(r, buf, 10));
	int w = open("fifo", O_WRONLY | O_NONBLOCK);
	SHOW(read(r, buf, 10));
	SHOW(write(w, "12345", 5));
	printf("%x %x\n", ready(r), ready(w));
	close(w);
	printf("%x\n", ready(r));
	SHOW(read(r, buf, 3));
	SHOW(read(r, buf, 3));
	SHOW(read(r, buf, 3));
	close(r);
	SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
	int both = open("fifo", O_RDWR);
	SHOW(write(both, "x", 1));
	SHOW(read(both, buf, 1));
	printf("%x\n", ready(both));
	r = open("fifo", O_RDONLY);
	SHOW(fcntl(r, F_GETPIPE_SZ));
	fstat(r, &st);
	printf("%o\n", st.st_mode);
	close(r), close(both);
}

static void *fifo_writer(void *arg) {
	int w = open("fifo", O_WRONLY);
	write(w, "from afar", 9);
	close(w);
	return 0;
}

static void *big_writer(void *fd) {
	for (int i = 0; i < 20; i++) write(*(int *)fd, buf, 50000);
	close(*(int *)fd);
	return 0;
}

static void *record_writer(void *arg) {
	int *a = arg;
	char record[600];
	memset(record, 'a' + a[1], sizeof record);
	for (int i = 0; i < 200; i++) write(a[0], record, sizeof record);
	return 0;
}

static void blocking(void) {
	puts("-- waiting for pipes");
	pthread_t t, u[4];
	pthread_create(&t, 0, fifo_writer, 0);
	int r = open("fifo", O_RDONLY);
	SHOW(read(r, buf, 100));
	SHOW(read(r, buf, 100));
	pthread_join(t, 0);
	close(r);
	int p[2];
	pipe(p);
	pthread_create(&t, 0, big_writer, &p[1]);
	long n, sum = 0;
	while ((n = read(p[0], buf, 12345)) > 0) sum += n;
	printf("%ld bytes\n", sum);
	pthread_join(t, 0);
	pipe(p);
	int args[4][2];
	for (int i = 0; i < 4; i++) {
		args[i][0] = p[1], args[i][1] = i;
		pthread_create(&u[i], 0, record_writer, args[i]);
	}
	int broken = 0;
	for (int i = 0; i < 800; i++) {
		char record[600];
		for (n = 0; n < 600;) n += read(p[0], record + n, 600 - n);
		for (int j = 1; j < 600; j++) broken += record[j] != record[0];
	}
	printf("%d bytes out of place\n", broken);
	for (int i = 0; i < 4; i++) pthread_join(u[i], 0);
}

static void events(void) {
	puts("-- eventfd");
	int e = eventfd(3, EFD_NONBLOCK), s = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);
	uint64_t v;
	SHOW(read(e, &v, 8));
	printf("%lu %x\n", v, ready(e));
	SHOW(read(e, &v, 8));
	SHOW(read(s, &v, 9));
	printf("%lu\n", v);
	SHOW(read(s, &v, 8));
	SHOW(read(s, &v, 8));
	v = -2;
	SHOW(write(e, &v, 8));
	printf("%x\n", ready(e));
	v = 1;
	SHOW(write(e, &v, 8));
	v = 0;
	SHOW(write(e, &v, 8));
	SHOW(read(e, &v, 8));
	printf("%lx\n", v);
	SHOW(fcntl(s, F_GETFD));
	SHOW(fcntl(e, F_GETFL));
	close(e), close(s);
}

static int ep, sets, returned;

static void wait_for(const char *what) {
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, 8, 0);
	printf("%s:", what);
	if (n < 0) printf(" %s", strerror(errno));
	for (int i = 0; i < n; i++) printf(" %d=%x", (int)e[i].data.u32, e[i].events);
	puts("");
}

static int ctl(int op, int fd, unsigned events, unsigned data) {
	struct epoll_event e = {.events = events, .data.u32 = data};
	return result(op == 1 ? "add" : op == 2 ? "del" : "mod", epoll_ctl(ep, op, fd, &e));
}

static void epolls(void) {
	puts("-- epoll: level, edge, one-shot");
	int p[2], q[2];
	pipe2(p, O_NONBLOCK), pipe2(q, O_NONBLOCK);
	ep = epoll_create1(EPOLL_CLOEXEC);
	SHOW(fcntl(ep, F_GETFD));
	SHOW(fcntl(ep, F_GETFL));
	ctl(1, p[0], EPOLLIN, 1);
	wait_for("empty");
	write(p[1], "xy", 2);
	wait_for("written"), wait_for("level");
	read(p[0], buf, 1);
	wait_for("half read");
	ctl(3, p[0], EPOLLIN | EPOLLET, 2);
	wait_for("edge"), wait_for("edge again");
	write(p[1], "z", 1);
	wait_for("written to what is not empty"), wait_for("again");
	read(p[0], buf, 1);
	wait_for("read a byte");
	ctl(3, p[0], EPOLLIN | EPOLLONESHOT, 3);
	wait_for("one shot"), wait_for("after it");
	write(p[1], "w", 1);
	wait_for("written");
	ctl(3, p[0], EPOLLIN | EPOLLONESHOT, 4);
	wait_for("rearmed");
	ctl(3, p[0], 0, 5);
	close(p[1]);
	wait_for("closed, asked for nothing");
	ctl(3, p[0], EPOLLIN | EPOLLRDHUP, 6);
	wait_for("closed");
	read(p[0], buf, 10);
	wait_for("drained");
	close(p[0]);
	wait_for("gone");

	puts("-- epoll: edge for writers");
	ctl(1, q[1], EPOLLOUT | EPOLLET, 7);
	wait_for("writable"), wait_for("again");
	while (write(q[1], buf, 4096) > 0);
	wait_for("full");
	read(q[0], buf, 65536);
	wait_for("emptied"), wait_for("again");
	ctl(3, q[1], EPOLLOUT | EPOLLET, 8);
	wait_for("modified");
	close(q[0]);
	wait_for("no readers");
	close(q[1]);

	puts("-- epoll: descriptors");
	pipe2(p, O_NONBLOCK);
	int d = dup(p[0]);
	ctl(1, p[0], EPOLLIN, 1), ctl(1, d, EPOLLIN, 2);
	write(p[1], "x", 1);
	wait_for("both");
	close(p[0]);
	wait_for("the description lives");
	ctl(2, p[0], 0, 0);
	ctl(2, d, 0, 0);
	wait_for("one left");
	close(d);
	wait_for("none left");
	close(p[1]);

	puts("-- epoll: order and fairness");
	int fds[5];
	for (int i = 0; i < 5; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ctl(1, fds[i], EPOLLIN, 10 + i);
	}
	uint64_t one = 1, v;
	for (int i = 4; i >= 0; i--) write(fds[i], &one, 8);
	struct epoll_event e[2];
	for (int i = 0; i < 4; i++) {
		int n = epoll_wait(ep, e, 2, 0);
		printf("%d: %d %d\n", n, e[0].data.u32, e[1].data.u32);
	}
	for (int i = 0; i < 5; i++) read(fds[i], &v, 8);
	wait_for("all read");
	for (int i = 0; i < 5; i++) close(fds[i]);

	puts("-- epoll: nested");
	int outer = epoll_create1(0), inner = ep, ev = eventfd(0, 0);
	ctl(1, ev, EPOLLIN, 20);
	ep = outer;
	ctl(1, inner, EPOLLIN, 21);
	wait_for("nothing");
	printf("%x %x\n", ready(inner), ready(outer));
	write(ev, &one, 8);
	wait_for("inner is ready"), wait_for("still");
	printf("%x %x\n", ready(inner), ready(outer));
	ctl(3, inner, EPOLLIN | EPOLLET, 22);
	wait_for("edge"), wait_for("edge again");
	read(ev, &v, 8);
	printf("%x %x\n", ready(inner), ready(outer));
	wait_for("read");
	ep = inner;
	ctl(1, outer, EPOLLIN, 0);
	int chain[8];
	for (int i = 0; i < 8; i++) {
		chain[i] = epoll_create1(0);
		if (i) ep = chain[i], ctl(1, chain[i - 1], EPOLLIN, i);
	}
	ep = chain[0];
	ctl(1, chain[3], EPOLLIN, 0);
	for (int i = 0; i < 8; i++) close(chain[i]);
	close(inner), close(outer), close(ev);

	puts("-- epoll: what else can be watched");
	ep = epoll_create1(0);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR),
		rnd = open("/dev/urandom", O_RDWR), proc = open("/proc/version", O_RDONLY), mounts = open("/proc/self/mounts", O_RDONLY);
	ctl(1, timer, EPOLLIN, 30), ctl(1, null, EPOLLIN, 31), ctl(1, zero, EPOLLIN, 32), ctl(1, proc, EPOLLIN, 33);
	struct itimerspec its = {{0, 0}, {0, 1}};
	timerfd_settime(timer, 0, &its, 0);
	SHOW(epoll_wait(ep, e, 1, -1));
	printf("%x %d\n", e[0].events, e[0].data.u32);
	printf("%x %x %x\n", ready(null), ready(zero), ready(proc));
	close(ep);
}

static volatile int handled;
static void on_signal(int sig) { handled++; }
static void *waker(void *arg) {
	static int main_thread;
	int *a = arg;
	main_thread = getpid();
	await_asleep(&main_thread);
	if (a[0] >= 0) write(a[0], "x", 1);
	else pthread_kill(*(pthread_t *)(void *)(a + 2), SIGUSR1);
	return 0;
}

static volatile int tids[3];

static void *exclusive(void *arg) {
	struct epoll_event e;
	int mine = epoll_create1(0);
	struct epoll_event want = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	epoll_ctl(mine, EPOLL_CTL_ADD, *(int *)arg, &want);
	tids[__atomic_fetch_add(&sets, 1, __ATOMIC_SEQ_CST)] = syscall(SYS_gettid);
	long n = epoll_wait(mine, &e, 1, -1);
	__atomic_add_fetch(&returned, 1, __ATOMIC_SEQ_CST);
	close(mine);
	return (void *)n;
}

static void waiting(void) {
	puts("-- waiting");
	int p[2];
	pipe2(p, O_NONBLOCK);
	pthread_t t, self = pthread_self();
	struct { int fd, pad; pthread_t to; } a = {p[1], 0, self};
	struct epoll_event e;
	ep = epoll_create1(0);
	ctl(1, p[0], EPOLLIN, 1);
	pthread_create(&t, 0, waker, &a);
	SHOW(epoll_wait(ep, &e, 1, -1));
	pthread_join(t, 0), read(p[0], buf, 10);
	pthread_create(&t, 0, waker, &a);
	struct pollfd pf = {p[0], POLLIN, 0};
	SHOW(poll(&pf, 1, -1));
	pthread_join(t, 0), read(p[0], buf, 10);
	pthread_create(&t, 0, waker, &a);
	fd_set r;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	SHOW(select(p[0] + 1, &r, 0, 0, 0));
	SHOW(FD_ISSET(p[0], &r));
	pthread_join(t, 0), read(p[0], buf, 10);

	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	a.fd = -1;
	pthread_create(&t, 0, waker, &a);
	SHOW(epoll_wait(ep, &e, 1, -1));
	pthread_join(t, 0);
	pthread_create(&t, 0, waker, &a);
	SHOW(poll(&pf, 1, -1));
	pthread_join(t, 0);
	pthread_create(&t, 0, waker, &a);
	struct timeval tv = {10, 0};
	SHOW(select(p[0] + 1, &r, 0, 0, &tv));
	printf("%d\n", tv.tv_sec < 10 && tv.tv_sec >= 5);
	pthread_join(t, 0);
	sigset_t block, none;
	sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, 0);
	raise(SIGUSR1);
	printf("%d\n", handled);
	struct timespec ts = {0, 1000000}, zero = {0, 0};
	SHOW(ppoll(&pf, 1, &ts, 0));
	printf("%d\n", handled);
	SHOW(ppoll(&pf, 1, 0, &none));
	printf("%d\n", handled);
	raise(SIGUSR1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	SHOW(pselect(p[0] + 1, &r, 0, 0, 0, &none));
	printf("%d\n", handled);
	raise(SIGUSR1);
	SHOW(epoll_pwait(ep, &e, 1, -1, &none));
	printf("%d\n", handled);
	raise(SIGUSR1);
	SHOW(syscall(441, ep, &e, 1, &ts, &none, 8));
	printf("%d\n", handled);
	raise(SIGUSR1);
	write(p[1], "x", 1);
	SHOW(ppoll(&pf, 1, &zero, &none)); // something is ready: the signal comes, the result stays
	printf("%d\n", handled);
	sigprocmask(SIG_SETMASK, &none, 0);
	printf("%d\n", handled);
	read(p[0], buf, 10);

	SHOW(epoll_wait(ep, &e, 1, 20));
	SHOW(poll(&pf, 1, 20));
	tv = (struct timeval){0, 20000};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	SHOW(select(p[0] + 1, &r, 0, 0, &tv));
	SHOW(FD_ISSET(p[0], &r));
	printf("%ld %ld\n", (long)tv.tv_sec, (long)tv.tv_usec);
	ts = (struct timespec){0, 20000000};
	SHOW(ppoll(0, 0, &ts, 0));
	SHOW(syscall(441, ep, &e, 1, &ts, 0, 8));
	tv = (struct timeval){0, 10000};
	SHOW(select(0, 0, 0, 0, &tv));
	struct pollfd many[3] = {{p[0], POLLIN, 9}, {-5, POLLIN, 9}, {p[1], POLLOUT, 9}};
	SHOW(poll(many, 3, -1));
	printf("%x %x %x\n", many[0].revents, many[1].revents, many[2].revents);
	fd_set w, x;
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(p[1], &w), FD_SET(p[1], &x), FD_SET(p[0], &r);
	SHOW(select(p[1] + 1, &r, &w, &x, 0));
	printf("%d %d %d\n", !!FD_ISSET(p[0], &r), !!FD_ISSET(p[1], &w), !!FD_ISSET(p[1], &x));

	puts("-- exclusive");
	int ev = eventfd(0, EFD_SEMAPHORE);
	pthread_t u[3];
	for (int i = 0; i < 3; i++) pthread_create(&u[i], 0, exclusive, &ev);
	for (int i = 0; i < 3; i++) await_asleep(&tids[i]);
	uint64_t one = 1;
	write(ev, &one, 8);
	while (!__atomic_load_n(&returned, __ATOMIC_SEQ_CST)) usleep(1000);
	usleep(50000);
	printf("%d at once\n", returned);
	write(ev, &one, 8);
	write(ev, &one, 8);
	long woken = 0;
	for (int i = 0; i < 3; i++) {
		void *n;
		pthread_join(u[i], &n);
		woken += (long)n;
	}
	printf("%ld woken\n", woken);
}

// info prints the lines of fd in /proc/self/fdinfo that begin as the object's own do.
static void info(const char *what, int fd, const char *first) {
	char name[64], line[256];
	sprintf(name, "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(name, "r");
	for (int on = 0; fgets(line, sizeof line, f);) {
		on |= !strncmp(line, first, strlen(first));
		if (on && strncmp(line, "eventfd-id", 10) && strncmp(line, "eventfd-sem", 11)) printf("%s: %.*s\n", what, (int)strcspn(line, "\n"), line);
	}
	fclose(f);
}

static void infos(void) {
	puts("-- fdinfo");
	int ev = eventfd(0xabc, 0), timer = timerfd_create(CLOCK_REALTIME, 0), set = epoll_create1(0);
	info("eventfd", ev, "eventfd-count");
	info("timerfd", timer, "clockid");
	struct itimerspec its = {{5, 7}, {4000000000, 0}};
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &its, 0);
	char name[64], line[256];
	sprintf(name, "/proc/self/fdinfo/%d", timer);
	FILE *f = fopen(name, "r");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "settime", 7) || !strncmp(line, "it_i", 4)) printf("%s", line);
	fclose(f);
	sigset_t s;
	sigemptyset(&s), sigaddset(&s, SIGUSR1), sigaddset(&s, SIGRTMAX);
	info("signalfd", signalfd(-1, &s, 0), "sigmask");
	info("empty epoll", set, "tfd");
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789a};
	epoll_ctl(set, EPOLL_CTL_ADD, ev, &e);
	unsigned tfd, events;
	unsigned long data, ino, dev;
	long pos;
	sprintf(name, "/proc/self/fdinfo/%d", set);
	f = fopen(name, "r");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "tfd: %u events: %x data: %lx pos:%ld ino:%lx sdev:%lx", &tfd, &events, &data, &pos, &ino, &dev) == 6)
			printf("%d %x %lx %ld\n", tfd == ev, events, data, pos);
	fclose(f);
	int in = inotify_init1(0), wd;
	inotify_add_watch(in, ".", IN_CREATE | IN_EXCL_UNLINK);
	struct stat st;
	stat(".", &st);
	unsigned mask;
	sprintf(name, "/proc/self/fdinfo/%d", in);
	f = fopen(name, "r");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0", &wd, &ino, &dev, &mask) == 4)
			printf("%d %d %d %x\n", wd, ino == st.st_ino, dev == (major(st.st_dev) << 20 | minor(st.st_dev)), mask);
	fclose(f);
}

int main(void) {
	signal(SIGPIPE, SIG_IGN);
	scratch();
	pipes();
	blocking();
	events();
	epolls();
	waiting();
	infos();
	return 0;
}

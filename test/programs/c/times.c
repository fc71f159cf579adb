// times: what the machine and the process are told to be: clocks, usage, limits, ids.
// times set: who notices that the clock is set. times divided: what of the CPU time is in ring 3, and how much there may be.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/random.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long r) { printf("%s: %ld%s%s\n", what, r, r == -1 ? " " : "", r == -1 ? strerror(errno) : ""); }
static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
static long long now(clockid_t c) { struct timespec t = {-1}; return syscall(SYS_clock_gettime, c, &t) ? -errno : ns(t); }
static long long us(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

static volatile int hits;
static void hit(int s) { hits++; }

// spin uses CPU time in ring 3, busy in the kernel too.
static void spin(int ms) { long long end = now(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000LL; while (now(CLOCK_THREAD_CPUTIME_ID) < end) for (volatile int i = 0; i < 10000; i++); }

static void *spinner(void *clock) { pthread_getcpuclockid(pthread_self(), clock); spin(30); return 0; }

static void cpuclocks(void) {
	clockid_t mine, process, thread = 0;
	pthread_t t;
	long long p0 = now(CLOCK_PROCESS_CPUTIME_ID), t0 = now(CLOCK_THREAD_CPUTIME_ID);
	pthread_create(&t, 0, spinner, &thread);
	pthread_join(t, 0);
	long long p1 = now(CLOCK_PROCESS_CPUTIME_ID), t1 = now(CLOCK_THREAD_CPUTIME_ID);
	printf("another thread's time: process %d, this %d\n", p1 - p0 >= 25000000, t1 - t0 < p1 - p0);
	say("clock_getcpuclockid", clock_getcpuclockid(0, &process));
	pthread_getcpuclockid(pthread_self(), &mine);
	long long a = now(CLOCK_PROCESS_CPUTIME_ID), b = now(process), c = now(mine);
	printf("%d %d\n", b >= a, c > 0);
	say("clock_getcpuclockid of nobody", clock_getcpuclockid(4000000, &process));
	struct timespec none = {0, 1000000}, r;
	say("sleep on own thread's clock", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &none, 0));
	say("sleep on a coarse clock", clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &none, 0));
	say("sleep on no clock", clock_nanosleep(77, 0, &none, 0));
	say("getres", clock_getres(process, &r));
}

static volatile int quiet;
static void *pest(void *main) { while (!quiet) { usleep(1000); pthread_kill(*(pthread_t *)main, SIGUSR1); } return 0; }

static void sleeps(void) {
	pthread_t me = pthread_self(), t;
	struct sigaction sa = {.sa_handler = hit};
	for (int restart = 0; restart < 2; restart++) {
		sa.sa_flags = restart ? SA_RESTART : 0;
		sigaction(SIGUSR1, &sa, 0);
		struct timespec d = {1000, 0}, left = {9999, 0};
		long long start = now(CLOCK_MONOTONIC);
		quiet = 0;
		pthread_create(&t, 0, pest, &me);
		int r = nanosleep(&d, &left) ? errno : 0;
		printf("nanosleep, restart %d: %d, rest %d\n", restart, r, left.tv_sec <= 1000); // Linux counts the timer's slack, too
		left.tv_sec = 9999;
		r = clock_nanosleep(CLOCK_MONOTONIC, 0, &d, &left);
		printf("clock_nanosleep: %d, rest %d\n", r, left.tv_sec <= 1000);
		d.tv_sec += start / 1000000000;
		say("until a time", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &d, 0));
		quiet = 1;
		pthread_join(t, 0);
		d = (struct timespec){start / 1000000000, start % 1000000000};
		say("until the past", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &d, 0));
		long long wall = now(CLOCK_REALTIME) + 20000000;
		d = (struct timespec){wall / 1000000000, wall % 1000000000};
		do r = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &d, 0); while (r == EINTR);
		printf("until a time of day: %d %d\n", r, now(CLOCK_REALTIME) >= wall);
	}
	struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
	for (int i = 0; i < 3; i++) say("bad time", nanosleep(&bad[i], 0));
	say("bad pointer", syscall(SYS_nanosleep, 8, 0));
}

static void usage(void) {
	struct rusage a, b, t;
	struct tms m;
	getrusage(RUSAGE_SELF, &a);
	char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(p, 1 << 20, MADV_NOHUGEPAGE);
	memset(p, 1, 1 << 20);
	spin(30);
	for (int i = 0; i < 3; i++) usleep(1000);
	say("RUSAGE_THREAD", getrusage(RUSAGE_THREAD, &t));
	say("RUSAGE_SELF", getrusage(RUSAGE_SELF, &b));
	printf("time %d, user and system %d, faults %d, switches %d, size %d, thread %d\n", us(b.ru_utime) + us(b.ru_stime) - us(a.ru_utime) - us(a.ru_stime) >= 25000,
		us(b.ru_utime) + us(b.ru_stime) > 0, b.ru_minflt - a.ru_minflt >= 16, b.ru_nvcsw - a.ru_nvcsw >= 3, b.ru_maxrss >= 1024,
		us(t.ru_utime) + us(t.ru_stime) > 0 && us(t.ru_utime) + us(t.ru_stime) <= us(b.ru_utime) + us(b.ru_stime));
	say("RUSAGE_CHILDREN", getrusage(RUSAGE_CHILDREN, &b));
	printf("%lld %ld\n", us(b.ru_utime), b.ru_maxrss);
	say("bad", getrusage(5, &b));
	say("bad", getrusage(RUSAGE_SELF, (void *)8));
	clock_t c = times(&m);
	printf("times %d %d %ld %ld\n", c > 0, m.tms_utime + m.tms_stime >= 2, m.tms_cutime, m.tms_cstime);
	say("times without", times(0) >= c);
	struct sysinfo s;
	say("sysinfo", sysinfo(&s));
	printf("%d %d %d %d\n", s.uptime > 0, s.totalram * s.mem_unit > 1 << 20, s.freeram > 0 && s.freeram <= s.totalram, s.procs > 0);
	struct utsname u;
	say("uname", uname(&u));
	printf("%s %s\n", u.sysname, u.machine);
}

static void adjust(void) {
	struct timex x = {0};
	say("adjtimex", adjtimex(&x) >= 0);
	printf("tick %ld precision %ld tolerance %ld %d\n", x.tick, x.precision, x.tolerance, (x.status & STA_NANO ? x.time.tv_usec < 1000000000 : x.time.tv_usec < 1000000) && llabs(x.time.tv_sec - time(0)) < 2);
	x.modes = 0;
	say("clock_adjtime", clock_adjtime(CLOCK_REALTIME, &x) >= 0);
	say("of CLOCK_MONOTONIC", clock_adjtime(CLOCK_MONOTONIC, &x));
	say("of no clock", clock_adjtime(55, &x));
	say("bad pointer", syscall(SYS_adjtimex, 8));
	x.modes = ADJ_TICK;
	x.tick = 1;
	say("bad tick", adjtimex(&x));
}

static void timers(void) {
	struct itimerspec v = {{0, 2000000}, {0, 1000000}}, old;
	uint64_t n = 0;
	static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_PROCESS_CPUTIME_ID, 99};
	for (int i = 0; i < 6; i++) {
		int fd = timerfd_create(ids[i], TFD_NONBLOCK | TFD_CLOEXEC);
		say("timerfd_create", fd < 0 ? -1 : 0);
		if (fd < 0) continue;
		say("read unset", read(fd, &n, 8));
		say("set", timerfd_settime(fd, 0, &v, 0));
		struct pollfd p = {fd, POLLIN, 0};
		say("poll", poll(&p, 1, -1));
		usleep(10000);
		say("read", read(fd, &n, 8));
		printf("%d\n", n >= 3);
		say("short", read(fd, &n, 7));
		say("write", write(fd, &n, 8));
		say("get", timerfd_gettime(fd, &old));
		printf("%ld %d\n", old.it_interval.tv_nsec, old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 2000000);
		v.it_value.tv_nsec = 0;
		say("stop", timerfd_settime(fd, 0, &v, &old));
		v.it_value.tv_nsec = 1000000;
		say("CANCEL_ON_SET", timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET | TFD_TIMER_ABSTIME, &v, 0));
		say("bad flags", timerfd_settime(fd, 0x10, &v, 0));
		v.it_value.tv_nsec = -1;
		say("bad time", timerfd_settime(fd, 0, &v, 0));
		v.it_value.tv_nsec = 1000000;
		close(fd);
	}
	say("bad flags", timerfd_create(CLOCK_MONOTONIC, 1));
	say("no timer", timerfd_settime(0, 0, &v, 0));
}

static void limits(void) {
	static const int safe[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME};
	struct rlimit l;
	for (int i = 0; i < sizeof safe / sizeof *safe; i++) {
		getrlimit(safe[i], &l);
		rlim_t hard = l.rlim_max;
		l.rlim_cur = l.rlim_max / 2;
		printf("limit %d: %d", safe[i], setrlimit(safe[i], &l));
		getrlimit(safe[i], &l);
		printf(" %d", l.rlim_cur == hard / 2);
		l.rlim_cur = hard;
		printf(" %d\n", setrlimit(safe[i], &l));
	}
	say("bad limit", getrlimit(16, &l));
	l = (struct rlimit){5, 4};
	say("soft above hard", setrlimit(RLIMIT_CORE, &l));
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = 10;
	setrlimit(RLIMIT_NOFILE, &l);
	int n = 0, fd;
	while ((fd = dup(0)) >= 0) n = fd;
	say("descriptors", fd);
	printf("up to %d\n", n);
	say("dup2 above", dup2(0, 10));
	while (n > 2) close(n--);
	getrlimit(RLIMIT_AS, &l);
	l.rlim_cur = 100 << 20;
	setrlimit(RLIMIT_AS, &l);
	say("mmap beyond RLIMIT_AS", (long)mmap(0, 200 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_AS, &l);
	signal(SIGXFSZ, hit);
	hits = 0;
	char name[] = "/tmp/answers.XXXXXX";
	fd = mkstemp(name);
	unlink(name);
	getrlimit(RLIMIT_FSIZE, &l);
	l.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &l);
	char buf[2000] = {0};
	say("write up to RLIMIT_FSIZE", write(fd, buf, 2000));
	say("and beyond", write(fd, buf, 1));
	say("ftruncate beyond", ftruncate(fd, 2000));
	printf("SIGXFSZ %d\n", hits);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_FSIZE, &l);
	close(fd);
	struct rlimit old;
	say("prlimit of self", prlimit(getpid(), RLIMIT_CORE, 0, &old));
	say("prlimit of nobody", prlimit(4000000, RLIMIT_CORE, 0, &old));
}

// limited meets the limit of CPU time. Linux looks at it only in ticks, which on a busy machine seldom hit this program.
static void limited(void) {
	struct rlimit l;
	signal(SIGXCPU, hit);
	hits = 0;
	getrlimit(RLIMIT_CPU, &l);
	l.rlim_cur = 1;
	setrlimit(RLIMIT_CPU, &l);
	for (int i = 0; i < 200 && !hits; i++) spin(10);
	printf("SIGXCPU %d\n", hits > 0);
}

static void random_(void) {
	char b[600];
	say("getrandom", getrandom(b, sizeof b, 0));
	say("GRND_NONBLOCK", getrandom(b, 10, GRND_NONBLOCK));
	say("GRND_RANDOM", getrandom(b, 10, GRND_RANDOM));
	say("GRND_INSECURE", getrandom(b, 10, 4));
	say("both", getrandom(b, 10, GRND_RANDOM | 4));
	say("unknown", getrandom(b, 10, 8));
	say("fault", getrandom((void *)8, 10, 0));
	say("none", getrandom(b, 0, 0));
}

static void refused(void) {
	say("personality", personality(0xffffffff));
	say("personality", personality(ADDR_NO_RANDOMIZE));
	say("personality", personality(0xffffffff));
	personality(0);
}

static void ids(void) {
	gid_t g[10], set[] = {5, 3, 4};
	uid_t r, e, s;
	say("setgroups", syscall(SYS_setgroups, 3, set));
	say("getgroups", syscall(SYS_getgroups, 10, g));
	printf("%d %d %d\n", g[0], g[1], g[2]);
	say("getgroups of few", syscall(SYS_getgroups, 2, g));
	say("setregid", syscall(SYS_setregid, 7, 8));
	getresgid(&r, &e, &s);
	printf("%d %d %d\n", r, e, s);
	say("setresgid", syscall(SYS_setresgid, 9, -1, 11));
	getresgid(&r, &e, &s);
	printf("%d %d %d\n", r, e, s);
	say("setfsuid", syscall(SYS_setfsuid, 1234));
	say("setfsuid", syscall(SYS_setfsuid, -1));
	syscall(SYS_setfsuid, 0);
	char name[] = "/tmp/answers.XXXXXX";
	int fd = mkstemp(name);
	fchmod(fd, 0600);
	say("keep capabilities", prctl(PR_SET_KEEPCAPS, 0));
	say("setresuid", syscall(SYS_setresuid, 1000, 1001, 0));
	getresuid(&r, &e, &s);
	printf("%d %d %d\n", r, e, s);
	say("open what is root's", open(name, O_RDONLY));
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];
	syscall(SYS_capget, &h, d);
	printf("capabilities %d %d\n", d[0].effective != 0, d[0].permitted != 0);
	say("clock_settime", clock_settime(CLOCK_REALTIME, &(struct timespec){0, 0}));
	say("sethostname", sethostname("x", 1));
	say("chroot", chroot("/"));
	say("setgroups", syscall(SYS_setgroups, 3, set));
	say("setuid elsewhere", syscall(SYS_setuid, 4321));
	say("back to root", syscall(SYS_setresuid, 0, 0, 0));
	syscall(SYS_capget, &h, d);
	printf("capabilities %d %d\n", d[0].effective != 0, d[0].permitted != 0);
	say("open what is root's", open(name, O_RDONLY) < 0);
	unlink(name);
	say("setuid for good", syscall(SYS_setuid, 4321));
	say("back to root", syscall(SYS_setuid, 0));
	printf("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
	struct rlimit l = {1, RLIM_INFINITY};
	say("raise a limit", setrlimit(RLIMIT_NICE, &l));
	say("nice", setpriority(PRIO_PROCESS, 0, -5));
	say("real time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}));
	say("adjtimex", adjtimex(&(struct timex){.modes = ADJ_OFFSET}));
}

static long long cpu(void) { return now(CLOCK_PROCESS_CPUTIME_ID); }

static volatile int virtual;
static void virtual_hit(int sig) { virtual++; }

// divided measures where the CPU time goes, in ring 3 or in the kernel. What the machine does besides
// counts, too: it is to do nothing.
static void divided(struct rusage *th, struct tms *t) {
	struct rusage a, b, c;
	struct itimerval it = {{0, 20000}, {0, 20000}};
	virtual = 0;
	setitimer(ITIMER_VIRTUAL, &it, 0);
	getrusage(RUSAGE_SELF, &a);
	volatile long n = 0;
	for (long long end = cpu() + 400000000; cpu() < end;)
		for (int i = 0; i < 1000000; i++) n++;
	getrusage(RUSAGE_SELF, &b);
	int was = virtual, zero = open("/dev/zero", O_RDONLY);
	static char buf[1 << 20];
	for (long long end = cpu() + 400000000; cpu() < end;)
		if (read(zero, buf, sizeof buf) <= 0) exit(99); // a signal makes it less
	getrusage(RUSAGE_SELF, &c);
	getrusage(RUSAGE_THREAD, th);
	times(t);
	setitimer(ITIMER_VIRTUAL, &(struct itimerval){0}, 0);
	close(zero);
#define MS(a, b, f) ((b.f.tv_sec - a.f.tv_sec) * 1000 + (b.f.tv_usec - a.f.tv_usec) / 1000)
	int user = MS(a, b, ru_utime) > 3 * MS(a, b, ru_stime), kernel = MS(b, c, ru_stime) > 3 * MS(b, c, ru_utime);
	int many = was > 5, fewer = virtual - was < was;
	printf("in ring 3: %d\nin the kernel: %d\nITIMER_VIRTUAL: %d, %d\n", user, kernel, many, fewer);
}

static void division(void) {
	struct rusage th;
	struct tms t;
	signal(SIGVTALRM, virtual_hit);
	divided(&th, &t);
	printf("times: %d, thread: %d\n", t.tms_utime > 0 && t.tms_stime > 0, th.ru_utime.tv_usec > 0 && th.ru_stime.tv_usec > 0);
	long user = 0, system = 0;
	FILE *f = fopen("/proc/self/stat", "r");
	if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %ld %ld", &user, &system) != 2) exit(99);
	fclose(f);
	printf("stat: %d\n", user >= t.tms_utime && system >= t.tms_stime);
}

static void *sleeper(void *until) {
	long r = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, 0);
	return (void *)r;
}

static void set(void) {
	struct itimerspec v = {{0, 0}, {time(0) + 3600, 0}};
	int canceled = timerfd_create(CLOCK_REALTIME, 0), due = timerfd_create(CLOCK_REALTIME, 0), mono = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	uint64_t n = 0;
	timer_t id;
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	signal(SIGUSR2, hit);
	say("timer_create", timer_create(CLOCK_REALTIME, &e, &id));
	say("timer_settime", timer_settime(id, TIMER_ABSTIME, &v, 0));
	say("cancel on set", timerfd_settime(canceled, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &v, 0));
	say("due", timerfd_settime(due, TFD_TIMER_ABSTIME, &v, 0));
	struct itimerspec rel = {{0, 0}, {3600, 0}};
	say("relative", timerfd_settime(mono, 0, &rel, 0));
	pthread_t t;
	pthread_create(&t, 0, sleeper, &v.it_value);
	usleep(20000);
	struct timespec later = {v.it_value.tv_sec + 10, 0};
	say("clock_settime", clock_settime(CLOCK_REALTIME, &later));
	void *r;
	pthread_join(t, &r);
	printf("sleeper: %ld\n", (long)r);
	struct pollfd p = {canceled, POLLIN};
	say("poll", poll(&p, 1, -1));
	say("read", read(canceled, &n, 8));
	say("read", read(due, &n, 8));
	while (!hits) usleep(1000);
	say("relative", read(mono, &n, 8));
	struct timex x = {.modes = ADJ_SETOFFSET, .time = {-5, 0}};
	long long before = now(CLOCK_REALTIME);
	say("back by 5 s", adjtimex(&x) >= 0);
	say("read", read(canceled, &n, 8));
	printf("%d\n", now(CLOCK_REALTIME) < before);
}

// Ticks of CPU time by a stat file.
static long ticks(const char *path) {
	char line[1000];
	long user = -1, system = 0;
	FILE *f = fopen(path, "r");
	if (!f || !fgets(line, sizeof line, f)) return -1;
	sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system);
	fclose(f);
	return user + system;
}

static volatile int worked;
static void *work(void *arg) {
	struct timespec ts;
	do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	while (!ts.tv_sec && ts.tv_nsec < 300000000);
	*(int *)arg = gettid();
	worked = 1;
	pause();
	return 0;
}

// A thread's stat file has its own time, the process's that of all.
static void threads(void) {
	puts("-- CPU time of threads");
	pthread_t t;
	int tid;
	char path[64];
	struct timespec ts;
	do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); // so that ours is more, too
	while (!ts.tv_sec && ts.tv_nsec < 200000000);
	pthread_create(&t, 0, work, &tid);
	while (!worked) usleep(1000);
	sprintf(path, "/proc/self/task/%d/stat", tid);
	long theirs = ticks(path), all = ticks("/proc/self/stat");
	printf("theirs: %d, that of all is more: %d\n", theirs >= 29, all >= theirs + 15);
}

int main(int argc, char **argv) {
	if (argc > 1) {
		if (!strcmp(argv[1], "set")) set();
		else division(), limited();
		return 0;
	}
	cpuclocks();
	sleeps();
	usage();
	adjust();
	timers();
	limits();
	random_();
	refused();
	ids();
	threads();
	return 0;
}

// stops: what stops a process, what continues it, and what its calls make of that.
// "stops killed" is killed while it is stopped, "stops for good" goes on only if
// somebody else lets it.
#include "tell.h"
#include "await.h"
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

static double now(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

// A timer that sends sig every 100 ms: one that came before the stop would not do.
static timer_t every(int sig) {
	timer_t t;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig};
	struct itimerspec ts = {{0, 100000000}, {0, 100000000}};
	if (timer_create(CLOCK_MONOTONIC, &ev, &t) || timer_settime(t, 0, &ts, 0)) exit(99);
	return t;
}

static void show_pending(const char *what) {
	sigset_t s;
	sigpending(&s);
	printf("%s: pending", what);
	for (int i = 1; i <= 64; i++)
		if (sigismember(&s, i) == 1) printf(" %d", i);
	puts("");
}

static volatile int count;
static void note(int sig) { count++; }

// stop_me stops the process when its first thread waits, and when that waits again writes to the
// pipe that it got.
static void *stop_me(void *arg) {
	int main_thread = getpid();
	await_asleep(&main_thread);
	timer_t t = every(SIGCONT);
	raise(SIGSTOP); // to this thread, so that it does not get any further
	timer_delete(t);
	await_asleep(&main_thread);
	if (arg && write(*(int *)arg, "x", 1) != 1) exit(99);
	return 0;
}

#define STOPPED(arg, call) \
	do { \
		pthread_t t; \
		pthread_create(&t, 0, stop_me, arg); \
		TELL(call); \
		int e = errno; \
		pthread_join(t, 0); \
		errno = e; \
	} while (0)

static volatile int run;
static volatile double longest, last; // time between two looks at the clock; the last one
static void *spin(void *arg) {
	last = now();
	for (double t; run; last = t)
		if ((t = now()) - last > longest) longest = t - last;
	return 0;
}

static long futex(volatile void *a, int op, unsigned v, const void *t) { return syscall(SYS_futex, a, op, v, t, 0, ~0); }

static void *nap(void *arg) { return (void *)(long)nanosleep(&(struct timespec){0, 300000000}, 0); }

int main(int argc, char **argv) {
	setbuf(stdout, 0);
	setsid(); // so that the group is an orphaned one everywhere
	if (argc > 1 && !strcmp(argv[1], "killed")) {
		every(SIGKILL);
		kill(getpid(), SIGSTOP);
		puts("not killed");
		return 1;
	}
	if (argc > 1) {
		puts("stopped");
		for (;;) kill(getpid(), SIGSTOP);
	}

	puts("-- all threads");
	pthread_t t, other;
	run = 1;
	pthread_create(&t, 0, spin, 0);
	pthread_create(&other, 0, nap, 0);
	while (!last) usleep(1000); // it runs, on a busy machine, too
	usleep(10000);              // and the other is asleep
	double began = now();
	timer_t tm = every(SIGCONT);
	TELL(kill(getpid(), SIGSTOP));
	printf("for long enough: %d\n", now() - began > 0.09);
	timer_delete(tm);
	for (double goes_on = now(); last < goes_on;) usleep(1000);
	run = 0;
	pthread_join(t, 0);
	void *napped;
	pthread_join(other, &napped);
	printf("nanosleep in a third: %ld\n", (long)napped);
	printf("the other one too: %d\n", longest > 0.04);

	puts("-- one thread is told");
	tm = every(SIGCONT);
	TELL(raise(SIGSTOP));
	timer_delete(tm);

	puts("-- terminal stops in an orphaned group");
	TELL(raise(SIGTSTP));
	TELL(raise(SIGTTIN));
	TELL(raise(SIGTTOU));
	signal(SIGTSTP, note);
	TELL(raise(SIGTSTP));
	printf("caught %d\n", count);
	signal(SIGTSTP, SIG_DFL);

	puts("-- pending");
	sigset_t s, none;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGTSTP), sigaddset(&s, SIGTTIN), sigaddset(&s, SIGCONT);
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGTSTP), kill(getpid(), SIGTTIN);
	show_pending("TSTP, TTIN");
	kill(getpid(), SIGCONT);
	show_pending("CONT");
	raise(SIGTSTP);
	show_pending("TSTP again");
	tm = every(SIGCONT);
	kill(getpid(), SIGSTOP);
	puts("continued by a blocked SIGCONT");
	timer_delete(tm);
	signal(SIGCONT, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, 0);
	tm = every(SIGCONT);
	kill(getpid(), SIGSTOP);
	puts("continued by an ignored SIGCONT");
	timer_delete(tm);
	signal(SIGCONT, SIG_DFL);

	puts("-- calls that are stopped");
	int p[2], ep = epoll_create1(0);
	char c;
	if (pipe(p)) return 99;
	struct epoll_event ev = {.events = EPOLLIN};
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev);
	struct pollfd pf = {p[0], POLLIN, 0};
	fd_set fds;
	FD_ZERO(&fds);
	struct timespec half = {0, 500000000};
	volatile int word = 0;
	sem_t sem;
	sem_init(&sem, 0, 0);
	STOPPED(0, nanosleep(&half, 0));
	STOPPED(0, clock_nanosleep(CLOCK_MONOTONIC, 0, &half, 0));
	STOPPED(p + 1, read(p[0], &c, 1));
	STOPPED(p + 1, poll(&pf, 1, -1));
	TELL(read(p[0], &c, 1));
	STOPPED(0, poll(&pf, 1, 500));
	STOPPED(0, ppoll(&pf, 1, &half, 0));
	STOPPED(0, select(0, &fds, 0, 0, &(struct timeval){0, 500000}));
	STOPPED(p + 1, epoll_wait(ep, &ev, 1, -1));
	TELL(read(p[0], &c, 1));
	STOPPED(0, futex(&word, FUTEX_WAIT, 0, &half));
	STOPPED(0, sigtimedwait(&s, 0, &half));
	STOPPED(0, sem_timedwait(&sem, &(struct timespec){0}));
	signal(SIGCONT, note);
	count = 0;
	sigprocmask(SIG_BLOCK, &s, 0); // for the thread that stops: this one takes it
	pthread_create(&t, 0, stop_me, p + 1);
	sigprocmask(SIG_SETMASK, &none, 0);
	TELL(nanosleep(&(struct timespec){100, 0}, 0));
	printf("handled: %d\n", count > 0);
	TELL(read(p[0], &c, 1));
	pthread_join(t, 0);
	return 0;
}

// signals: how they are sent, queued, blocked, waited for and handled.
#include "tell.h"
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1 << 31)
#endif

static sigset_t set_of(int a, int b) {
	sigset_t s;
	sigemptyset(&s);
	if (a) sigaddset(&s, a);
	if (b) sigaddset(&s, b);
	return s;
}

static void install(int sig, void (*f)(int, siginfo_t *, void *), int flags) {
	struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
	sigemptyset(&sa.sa_mask);
	if (sigaction(sig, &sa, 0)) puts("sigaction failed");
}

static void show_mask(const char *what) {
	sigset_t s;
	sigprocmask(0, 0, &s);
	printf("%s: blocked", what);
	for (int i = 1; i <= 64; i++)
		if (sigismember(&s, i) == 1) printf(" %d", i);
	puts("");
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
static void note(int sig, siginfo_t *info, void *uc) {
	(void)uc;
	count++;
	printf("signal %d code %d value %d mine %d\n", sig, info->si_code, info->si_code == SI_USER || info->si_code == SI_TKILL ? 0 : info->si_value.sival_int,
		info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE ? info->si_pid == getpid() && info->si_uid == getuid() : 0);
}
static void quiet(int sig, siginfo_t *info, void *uc) {
	(void)sig, (void)info, (void)uc;
	count++;
}

// Alarms in some milliseconds, and again and again: the first may come before the
// call that it shall interrupt.
static void alarm_in(int ms) {
	struct itimerval it = {.it_value = {0, ms * 1000}, .it_interval = {0, 50000}};
	setitimer(ITIMER_REAL, &it, 0);
}

#define INTERRUPTED(call) \
	do { \
		alarm_in(5); \
		long result = (call); \
		int why = errno; \
		setitimer(ITIMER_REAL, &(struct itimerval){0}, 0); \
		errno = why; \
		tell(#call, result); \
	} while (0)

static void actions(void) {
	puts("-- actions");
	struct sigaction sa = {.sa_handler = SIG_IGN}, old;
	TELL(sigaction(0, &sa, 0));
	TELL(sigaction(65, &sa, 0));
	TELL(sigaction(SIGKILL, &sa, 0));
	TELL(sigaction(SIGSTOP, &sa, 0));
	TELL(sigaction(SIGKILL, 0, &old));
	TELL(syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 4));
	TELL(syscall(SYS_rt_sigaction, SIGUSR1, (void *)1, 0, 8));
	TELL(syscall(SYS_rt_sigprocmask, 5, &sa, 0, 8));
	TELL(syscall(SYS_rt_sigprocmask, 5, 0, 0, 8));
	TELL(syscall(SYS_rt_sigprocmask, 0, (void *)1, 0, 8));
	install(SIGUSR1, note, SA_RESETHAND);
	sigaction(SIGUSR1, 0, &old);
	printf("flags %x\n", old.sa_flags & ~0x04000000);
	raise(SIGUSR1);
	sigaction(SIGUSR1, 0, &old);
	printf("default again: %d, flags %x\n", old.sa_handler == SIG_DFL, old.sa_flags & ~0x04000000);
	install(SIGUSR1, note, 0);
	kill(getpid(), SIGUSR1);
	syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
	syscall(SYS_tkill, getpid(), SIGUSR1);
	sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42});
	struct sigaction unknown = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | 0x00000400 | 0x00000800 | 0x100};
	sigaction(SIGUSR2, &unknown, 0);
	sigaction(SIGUSR2, 0, &old);
	printf("unknown flags: %x\n", old.sa_flags & ~0x04000000);
	raise(SIGUSR2);
	sigset_t s = set_of(SIGKILL, SIGSTOP);
	sigprocmask(SIG_BLOCK, &s, 0);
	show_mask("KILL and STOP");
	signal(SIGUSR1, SIG_IGN);
	s = set_of(SIGUSR1, SIGCHLD);
	sigprocmask(SIG_SETMASK, &s, 0);
	raise(SIGUSR1), raise(SIGCHLD);
	show_pending("ignored and blocked");
	signal(SIGUSR1, SIG_IGN);
	show_pending("ignored again");
	install(SIGCHLD, note, 0);
	s = set_of(0, 0);
	sigprocmask(SIG_SETMASK, &s, 0);
	signal(SIGCHLD, SIG_DFL);
	raise(SIGCHLD), raise(SIGURG), raise(SIGWINCH), raise(SIGCONT);
	puts("ignored by default");
}

static void inner(int sig, siginfo_t *info, void *uc) {
	(void)uc, (void)info;
	printf("in %d\n", sig);
	show_mask(" ");
	if (sig == SIGUSR1 && ++count < 3) raise(SIGUSR1);
	if (sig == SIGUSR1) raise(SIGUSR2);
	printf("out %d\n", sig);
}

static void masks(void) {
	puts("-- masks in handlers");
	struct sigaction sa = {.sa_sigaction = inner, .sa_flags = SA_SIGINFO};
	sa.sa_mask = set_of(SIGUSR2, SIGHUP);
	sigaction(SIGUSR1, &sa, 0);
	sa.sa_mask = set_of(0, 0);
	sigaction(SIGUSR2, &sa, 0);
	count = 0;
	raise(SIGUSR1);
	puts("SA_NODEFER");
	sa.sa_flags |= SA_NODEFER;
	sa.sa_mask = set_of(SIGUSR2, 0);
	sigaction(SIGUSR1, &sa, 0);
	count = 0;
	raise(SIGUSR1);
	show_mask("after");
}

static void kills(void) {
	puts("-- kill");
	install(SIGUSR1, note, 0);
	TELL(kill(getpid(), 0));
	TELL(kill(getpid(), 65));
	TELL(kill(getpid(), -1));
	TELL(kill(3999999, 0));
	TELL(kill(-3999999, SIGUSR1));
	TELL(kill(INT_MIN, SIGUSR1));
	TELL(syscall(SYS_tkill, 0, SIGUSR1));
	TELL(syscall(SYS_tkill, -1, SIGUSR1));
	TELL(syscall(SYS_tkill, 3999999, SIGUSR1));
	TELL(syscall(SYS_tkill, getpid(), 65));
	TELL(syscall(SYS_tkill, getpid(), 0));
	TELL(syscall(SYS_tgkill, 0, getpid(), SIGUSR1));
	TELL(syscall(SYS_tgkill, getpid(), 0, SIGUSR1));
	TELL(syscall(SYS_tgkill, 3999999, getpid(), SIGUSR1));
	TELL(syscall(SYS_tgkill, getpid(), 3999999, SIGUSR1));
	siginfo_t i = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_pid = 77, .si_value.sival_int = 5};
	TELL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &i));
	i.si_code = 3;
	TELL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &i));
	TELL(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &i));
	TELL(syscall(SYS_rt_sigqueueinfo, 3999999, SIGUSR1, &i));
	TELL(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &i));
	TELL(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &i));
	TELL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, (void *)1));
}

static void queues(void) {
	puts("-- queues");
	int rt = SIGRTMIN;
	sigset_t all, none = set_of(0, 0);
	sigfillset(&all);
	for (int k = 0; k < 4; k++) install(rt + k, note, 0);
	install(SIGUSR1, note, 0), install(SIGUSR2, note, 0);
	sigprocmask(SIG_SETMASK, &all, 0);
	for (int i = 0; i < 3; i++)
		for (int k = 3; k >= 0; k--) sigqueue(getpid(), rt + k, (union sigval){.sival_int = 10 * k + i});
	sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 1});
	sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 2});
	sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 3});
	show_pending("all");
	sigset_t one = set_of(rt + 2, 0);
	siginfo_t info;
	printf("waited %d", sigwaitinfo(&one, &info) - rt);
	printf(" value %d code %d\n", info.si_value.sival_int, info.si_code);
	// Handlers nest in the order of delivery: the last one set up runs first.
	sigprocmask(SIG_SETMASK, &none, 0);
	puts("-- limit");
	struct rlimit r, was;
	getrlimit(RLIMIT_SIGPENDING, &was);
	r = (struct rlimit){500, was.rlim_max};
	sigprocmask(SIG_SETMASK, &all, 0);
	setrlimit(RLIMIT_SIGPENDING, &r);
	int n = 0;
	while (n < 1000 && sigqueue(getpid(), rt, (union sigval){.sival_int = n}) == 0) n++;
	// The host may have others of the same user's.
	printf("queued some: %d, then %s\n", n > 100 && n <= 500, strerrorname_np(errno));
	TELL(kill(getpid(), rt + 1)); // comes without information
	TELL(kill(getpid(), SIGUSR1));
	setrlimit(RLIMIT_SIGPENDING, &was);
	sigset_t s = set_of(rt, 0);
	struct timespec zero = {0};
	int sum = n * (n - 1) / 2;
	while (n > 0 && sigtimedwait(&s, &info, &zero) == rt) sum -= info.si_value.sival_int, n--;
	printf("left %d, sum %d\n", n, sum);
	s = set_of(rt + 1, SIGUSR1);
	for (int i = 0; i < 3; i++) {
		int got = sigtimedwait(&s, &info, &zero);
		if (got < 0) printf("%s\n", strerrorname_np(errno));
		else printf("%d code %d\n", got, info.si_code);
	}
	sigprocmask(SIG_SETMASK, &none, 0);
}

static void waits(void) {
	puts("-- sigtimedwait");
	sigset_t s = set_of(SIGUSR1, SIGUSR2);
	struct timespec zero = {0}, bad = {0, 1000000000}, neg = {-1, 0}, ms = {0, 1000000};
	siginfo_t info;
	TELL(sigtimedwait(&s, &info, &zero));
	TELL(sigtimedwait(&s, &info, &bad));
	TELL(sigtimedwait(&s, &info, &neg));
	TELL(sigtimedwait(&s, &info, &ms));
	TELL(syscall(SYS_rt_sigtimedwait, &s, 0, &zero, 4));
	TELL(syscall(SYS_rt_sigtimedwait, 1, 0, &zero, 8));
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGUSR2);
	TELL(sigtimedwait(&s, &info, &zero));
	raise(SIGUSR2);
	TELL(syscall(SYS_rt_sigtimedwait, &s, 1, &zero, 8));
	TELL(sigtimedwait(&s, &info, &zero));
	// Another signal interrupts it.
	install(SIGALRM, quiet, SA_RESTART);
	INTERRUPTED(sigwaitinfo(&s, &info));
	sigset_t none = set_of(0, 0);
	INTERRUPTED(sigsuspend(&none));
	show_mask("after sigsuspend");
	raise(SIGUSR1);
	install(SIGUSR1, note, 0);
	TELL(sigsuspend(&none));
	INTERRUPTED(pause());
	TELL(syscall(SYS_rt_sigsuspend, &none, 4));
	TELL(syscall(SYS_rt_sigsuspend, 1, 8));
	sigprocmask(SIG_UNBLOCK, &s, 0);
}


// What interrupted calls become, with and without SA_RESTART.
static int fds[2];
static void *feed(void *arg) {
	(void)arg;
	usleep(300000);
	if (write(fds[1], "x", 1) != 1) puts("write failed");
	return 0;
}
static void restarts(int flags) {
	printf("-- interrupted, %s\n", flags ? "SA_RESTART" : "no SA_RESTART");
	install(SIGALRM, quiet, flags);
	sigset_t alrm = set_of(SIGALRM, 0);
	pthread_t t;
	char c;
	pipe(fds);
	// The feeder must not take the signal.
	sigprocmask(SIG_BLOCK, &alrm, 0);
	pthread_create(&t, 0, feed, 0);
	sigprocmask(SIG_UNBLOCK, &alrm, 0);
	count = 0;
	INTERRUPTED(read(fds[0], &c, 1));
	printf("signals: %d\n", count > 0);
	pthread_join(t, 0);
	if (!flags) read(fds[0], &c, 1);
	struct pollfd p = {.fd = fds[0], .events = POLLIN};
	INTERRUPTED(poll(&p, 1, 5000));
	INTERRUPTED(ppoll(&p, 1, &(struct timespec){5, 0}, 0));
	fd_set r;
	FD_ZERO(&r);
	FD_SET(fds[0], &r);
	INTERRUPTED(select(fds[0] + 1, &r, 0, 0, &(struct timeval){5, 0}));
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};
	epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &ev);
	INTERRUPTED(epoll_wait(ep, &ev, 1, 5000));
	close(ep);
	struct timespec left = {9, 9};
	alarm_in(5);
	int e = nanosleep(&(struct timespec){5, 0}, &left);
	setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
	printf("nanosleep: %d %s, some left: %d\n", e, strerrorname_np(errno), left.tv_sec == 4);
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 5;
	left.tv_sec = 9;
	alarm_in(5);
	printf("clock_nanosleep: %s, left untouched: %d\n", strerrorname_np(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &left)), left.tv_sec == 9);
	int word = 0;
	INTERRUPTED(syscall(SYS_futex, &word, 0, 0, &(struct timespec){0, 400000000}, 0, 0));
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 400000000;
	if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
	INTERRUPTED(syscall(SYS_futex, &word, 9, 0, &until, 0, -1));
	// A full pipe: a write that has begun is cut short.
	fcntl(fds[1], F_SETPIPE_SZ, 4096);
	static char big[10000];
	INTERRUPTED(write(fds[1], big, sizeof big));
	if (!flags) INTERRUPTED(write(fds[1], big, 1));
	close(fds[0]), close(fds[1]);
	signal(SIGPIPE, SIG_IGN);
	pipe(fds);
	close(fds[0]);
	TELL(write(fds[1], "x", 1));
	install(SIGPIPE, note, 0);
	TELL(write(fds[1], "x", 1));
	close(fds[1]);
	signal(SIGPIPE, SIG_DFL);
	setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
}

// Not handled signals don't disturb: the calls go on.
static void undisturbed(void) {
	puts("-- ignored");
	signal(SIGALRM, SIG_IGN);
	alarm_in(5);
	struct timespec left = {0};
	TELL(nanosleep(&(struct timespec){0, 20000000}, &left));
	int word = 0;
	INTERRUPTED(syscall(SYS_futex, &word, 0, 0, &(struct timespec){0, 20000000}, 0, 0));
	INTERRUPTED(poll(0, 0, 20));
}

static void stacks(void);
static char alt[1 << 16];
static jmp_buf back;
static void on_stack(int sig, siginfo_t *info, void *ucv) {
	ucontext_t *uc = ucv;
	char here;
	stack_t st;
	sigaltstack(0, &st);
	printf("on it: %d, flags %x, in context: flags %x %d\n", &here >= alt && &here < alt + sizeof alt, st.ss_flags, uc->uc_stack.ss_flags, uc->uc_stack.ss_sp == alt);
	stack_t other = {.ss_sp = alt + 100, .ss_size = 8192};
	errno = 0;
	int r = sigaltstack(&other, 0);
	printf("change: %d %s\n", r, r ? strerrorname_np(errno) : "");
	if (sig == SIGUSR1) raise(SIGUSR2);
	if (info->si_code == SI_QUEUE) longjmp(back, 1);
}

static void stacks(void) {
	puts("-- alternate stack");
	stack_t st = {.ss_sp = alt, .ss_size = sizeof alt}, old;
	TELL(sigaltstack(0, &old));
	printf("flags %x\n", old.ss_flags);
	TELL(sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = 100}, 0));
	TELL(sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = 8192, .ss_flags = 8}, 0));
	TELL(sigaltstack((void *)1, 0));
	TELL(sigaltstack(&st, (void *)1));
	TELL(sigaltstack(&st, &old));
	TELL(sigaltstack(0, &old));
	printf("flags %x, size %ld\n", old.ss_flags, (long)old.ss_size);
	install(SIGUSR1, on_stack, SA_ONSTACK);
	install(SIGUSR2, on_stack, SA_ONSTACK);
	raise(SIGUSR1);
	puts("without SA_ONSTACK");
	install(SIGUSR2, on_stack, 0);
	raise(SIGUSR2);
	sigaltstack(&st, 0);
	puts("SS_AUTODISARM");
	st.ss_flags = SS_AUTODISARM;
	TELL(sigaltstack(&st, 0));
	sigaltstack(0, &old);
	printf("flags %x\n", old.ss_flags);
	install(SIGUSR2, on_stack, SA_ONSTACK);
	raise(SIGUSR2);
	sigaltstack(0, &old);
	printf("back: flags %x %d\n", old.ss_flags, old.ss_sp == alt);
	puts("out by longjmp");
	st.ss_flags = 0;
	sigaltstack(&st, 0);
	if (setjmp(back) == 0) sigqueue(getpid(), SIGUSR2, (union sigval){0});
	sigset_t s = set_of(SIGUSR2, 0);
	sigprocmask(SIG_UNBLOCK, &s, 0);
	sigaltstack(0, &old);
	printf("flags %x\n", old.ss_flags);
	st.ss_flags = SS_DISABLE;
	TELL(sigaltstack(&st, 0));
	sigaltstack(0, &old);
	printf("flags %x\n", old.ss_flags);
}

static void timers(void) {
	puts("-- timers");
	struct itimerval it = {0}, old;
	TELL(setitimer(3, &it, 0));
	TELL(getitimer(3, &it));
	it = (struct itimerval){{0, 1000000}, {0, 0}};
	TELL(setitimer(ITIMER_REAL, &it, 0));
	it = (struct itimerval){{0, 0}, {-1, 0}};
	TELL(setitimer(ITIMER_REAL, &it, 0));
	TELL(setitimer(ITIMER_REAL, (void *)1, 0));
	TELL(getitimer(ITIMER_REAL, (void *)1));
	it = (struct itimerval){{7, 0}, {100, 0}};
	TELL(setitimer(ITIMER_REAL, &it, &old));
	getitimer(ITIMER_REAL, &old);
	printf("%ld %d\n", (long)old.it_interval.tv_sec, old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	TELL(alarm(50));
	TELL(alarm(0));
	TELL(alarm(0));
	install(SIGALRM, quiet, 0);
	install(SIGVTALRM, quiet, 0);
	install(SIGPROF, quiet, 0);
	for (int k = 0; k < 3; k++) {
		count = 0;
		it = (struct itimerval){{0, 2000}, {0, 2000}};
		setitimer(k, &it, 0);
		while (count < 5) {}
		it = (struct itimerval){0};
		setitimer(k, &it, 0);
		printf("timer %d fires\n", k);
	}
	timer_t id;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 66};
	install(SIGRTMIN, note, 0);
	TELL(timer_create(99, &ev, &id));
	ev.sigev_signo = 65;
	TELL(timer_create(CLOCK_MONOTONIC, &ev, &id));
	ev.sigev_signo = SIGRTMIN, ev.sigev_notify = 77;
	TELL(timer_create(CLOCK_MONOTONIC, &ev, &id));
	ev.sigev_notify = SIGEV_SIGNAL;
	TELL(timer_create(CLOCK_MONOTONIC, &ev, &id));
	struct itimerspec ts = {{0, 0}, {0, 3000000}}, was;
	count = 0;
	// Blocked, it cannot come before the line about the call is printed.
	sigset_t s = set_of(SIGRTMIN, 0), before;
	sigprocmask(SIG_BLOCK, &s, &before);
	TELL(timer_settime(id, 0, &ts, 0));
	while (count < 1) sigsuspend(&before);
	sigprocmask(SIG_SETMASK, &before, 0);
	TELL(timer_getoverrun(id));
	TELL(timer_gettime(id, &was));
	printf("%ld %ld\n", (long)was.it_value.tv_sec, was.it_value.tv_nsec);
	// Expirations while the signal is pending are overruns.
	sigprocmask(SIG_BLOCK, &s, 0);
	ts = (struct itimerspec){{0, 1000000}, {0, 1000000}};
	timer_settime(id, 0, &ts, 0);
	usleep(20000);
	siginfo_t info;
	int got = sigwaitinfo(&s, &info);
	printf("%d code %d value %d, overrun %d\n", got == SIGRTMIN, info.si_code, info.si_value.sival_int, info.si_overrun > 5);
	printf("getoverrun %d\n", timer_getoverrun(id) == info.si_overrun);
	ts = (struct itimerspec){0};
	timer_settime(id, 0, &ts, &was);
	printf("interval %ld\n", was.it_interval.tv_nsec);
	struct timespec zero = {0};
	while (sigtimedwait(&s, 0, &zero) > 0) {}
	sigprocmask(SIG_UNBLOCK, &s, 0);
	TELL(timer_settime(id, 0, 0, 0));
	ts.it_value.tv_nsec = -1;
	TELL(timer_settime(id, 0, &ts, 0));
	TELL(timer_delete(id));
	TELL(timer_delete(id));
	TELL(timer_gettime(id, &was));
	ev.sigev_notify = SIGEV_NONE;
	timer_create(CLOCK_REALTIME, &ev, &id);
	clock_gettime(CLOCK_REALTIME, &ts.it_value);
	ts.it_value.tv_sec += 1000;
	TELL(timer_settime(id, TIMER_ABSTIME, &ts, 0));
	timer_gettime(id, &was);
	printf("%d\n", was.it_value.tv_sec == 999 || was.it_value.tv_sec == 1000);
	timer_delete(id);
	TELL(timer_create(CLOCK_PROCESS_CPUTIME_ID, 0, &id));
	count = 0;
	install(SIGALRM, quiet, 0);
	ts = (struct itimerspec){{0, 0}, {0, 2000000}};
	timer_settime(id, 0, &ts, 0);
	while (!count) {}
	puts("CPU timer fires");
	timer_delete(id);
}

static void descriptor(void) {
	puts("-- signalfd");
	sigset_t s = set_of(SIGUSR1, SIGRTMIN + 1);
	sigaddset(&s, SIGKILL);
	sigprocmask(SIG_BLOCK, &s, 0);
	TELL(signalfd(-1, &s, 0x12345));
	TELL(signalfd(77, &s, 0));
	TELL(signalfd(0, &s, 0));
	TELL(syscall(SYS_signalfd4, -1, &s, 4, 0));
	TELL(syscall(SYS_signalfd4, -1, 1, 8, 0));
	int fd = signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC);
	printf("%d %x %x\n", fd >= 0, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
	struct signalfd_siginfo si[3];
	TELL(read(fd, si, sizeof si));
	TELL(read(fd, si, 127));
	TELL(write(fd, si, 128));
	TELL(lseek(fd, 0, SEEK_SET));
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	TELL(poll(&p, 1, 0));
	sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 11});
	sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 12});
	raise(SIGUSR1);
	TELL(poll(&p, 1, 0));
	printf("revents %x\n", p.revents);
	memset(si, 0xff, sizeof si);
	TELL(read(fd, si, sizeof si - 1));
	for (int i = 0; i < 2; i++)
		printf("%d code %d pid %d uid %d int %d ptr %d pad %d\n", si[i].ssi_signo, si[i].ssi_code, si[i].ssi_pid == (unsigned)getpid(), si[i].ssi_uid == getuid(),
			si[i].ssi_int, (int)si[i].ssi_ptr, si[i].__pad[0]);
	TELL(read(fd, si, sizeof si));
	printf("%d\n", si[0].ssi_int);
	TELL(syscall(SYS_read, fd, 1, 128));
	raise(SIGUSR1);
	TELL(syscall(SYS_read, fd, 1, 128));
	TELL(read(fd, si, sizeof si));
	// The mask can be changed; another signal is not for it.
	sigset_t other = set_of(SIGUSR2, 0);
	sigprocmask(SIG_BLOCK, &other, 0);
	raise(SIGUSR1), raise(SIGUSR2);
	TELL(signalfd(fd, &other, 0) == fd);
	TELL(read(fd, si, sizeof si));
	printf("%d\n", si[0].ssi_signo);
	TELL(read(fd, si, sizeof si));
	show_pending("left");
	// By epoll, sent to a thread that waits.
	int ep = epoll_create1(0), bfd = signalfd(-1, &s, 0);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = bfd};
	TELL(epoll_ctl(ep, EPOLL_CTL_ADD, bfd, &ev));
	TELL(epoll_wait(ep, &ev, 1, 0));
	TELL(read(bfd, si, sizeof si));
	TELL(epoll_wait(ep, &ev, 1, 0));
	timer_t id;
	struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 5};
	timer_create(CLOCK_MONOTONIC, &se, &id);
	struct itimerspec ts = {{0, 0}, {0, 5000000}};
	timer_settime(id, 0, &ts, 0);
	TELL(epoll_wait(ep, &ev, 1, 5000));
	TELL(read(bfd, si, sizeof si));
	printf("%d code %d overrun %d int %d\n", si[0].ssi_signo - SIGRTMIN, si[0].ssi_code, si[0].ssi_overrun, si[0].ssi_int);
	timer_settime(id, 0, &ts, 0);
	TELL(read(bfd, si, sizeof si));
	timer_delete(id);
	close(ep), close(fd), close(bfd);
	sigprocmask(SIG_UNBLOCK, &s, 0);
	sigprocmask(SIG_UNBLOCK, &other, 0);
}

static volatile int taken;

static void await_taken(int n) {
	while (taken < n) usleep(1000);
}

static void *target(void *arg) {
	sigset_t s = set_of(SIGUSR1, SIGRTMIN);
	siginfo_t info;
	*(volatile int *)arg = (int)syscall(SYS_gettid);
	for (int i = 0; i < 3; i++) {
		int got = sigwaitinfo(&s, &info);
		printf("thread got %d code %d\n", got, info.si_code);
		taken++;
	}
	return 0;
}

static void threads(void) {
	puts("-- threads");
	sigset_t s = set_of(SIGUSR1, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &s, 0);
	volatile int tid = 0;
	pthread_t t;
	pthread_create(&t, 0, target, (void *)&tid);
	while (!tid) usleep(1000);
	pthread_kill(t, SIGUSR1);
	await_taken(1);
	show_pending("ours");
	kill(getpid(), SIGUSR1);
	await_taken(2);
	pthread_sigqueue(t, SIGRTMIN, (union sigval){.sival_int = 3});
	pthread_join(t, 0);
	show_pending("none");
	sigprocmask(SIG_UNBLOCK, &s, 0);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	install(SIGUSR1, note, 0);
	install(SIGUSR2, note, 0);
	actions();
	masks();
	kills();
	queues();
	waits();
	restarts(0);
	restarts(SA_RESTART);
	undisturbed();
	stacks();
	timers();
	descriptor();
	threads();
}

// futexpi: locks with priority inheritance, as the C library uses them and beneath it,
// and futex_waitv.
#include "show.h"
#include "await.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define NR_futex_waitv 449

enum {
	FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE = 3, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_WAIT_REQUEUE_PI = 11, FUTEX_CMP_REQUEUE_PI,
	FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG = 128, FUTEX_CLOCK_REALTIME = 256, FUTEX_WAKE_PRIVATE = FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
	FUTEX_LOCK_PI_PRIVATE = FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, FUTEX_UNLOCK_PI_PRIVATE = FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG,
	FUTEX_TRYLOCK_PI_PRIVATE = FUTEX_TRYLOCK_PI | FUTEX_PRIVATE_FLAG, FUTEX_32 = 2,
};
#define FUTEX_WAITERS 0x80000000
#define FUTEX_OWNER_DIED 0x40000000
#define FUTEX_TID_MASK 0x3fffffff

static long futex(volatile void *a, int op, unsigned v, const void *t, volatile void *b, unsigned v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }
static long lock(volatile void *a) { return futex(a, FUTEX_LOCK_PI, 0, 0, 0, 0); }
static long unlock(volatile void *a) { return futex(a, FUTEX_UNLOCK_PI, 0, 0, 0, 0); }

static volatile unsigned word, word2;
static unsigned tid(void) { return syscall(SYS_gettid); }

static void show(const char *what, unsigned w) {
	printf("%s:%s%s %s\n", what, w & FUTEX_WAITERS ? " waiters" : "", w & FUTEX_OWNER_DIED ? " died" : "",
		(w & FUTEX_TID_MASK) == 0 ? "free" : (w & FUTEX_TID_MASK) == tid() ? "mine" : "another's");
}

static struct timespec in(int clock, int ms) {
	struct timespec ts;
	clock_gettime(clock, &ts);
	ts.tv_nsec += ms * 1000000L;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

// A thread that has a lock until it is told to go on.
struct holder {
	pthread_t t;
	volatile unsigned *at;
	volatile int has, go, keep, tid;
};

static void *hold(void *arg) {
	struct holder *h = arg;
	h->tid = tid();
	lock(h->at);
	h->has = 1;
	while (!h->go) usleep(1000);
	if (!h->keep) unlock(h->at);
	return 0;
}

static void start(struct holder *h, volatile unsigned *at) {
	*h = (struct holder){.at = at};
	pthread_create(&h->t, 0, hold, h);
	while (!h->has) usleep(1000);
}

static void end(struct holder *h) {
	h->go = 1;
	pthread_join(h->t, 0);
}

static volatile int sleeper; // the id of a thread that soon waits

static void *locker(void *arg) {
	sleeper = tid();
	long r = lock(arg);
	int e = errno;
	if (r == 0) show("got it", *(volatile unsigned *)arg), unlock(arg);
	return (void *)(r == 0 ? 0L : (long)e);
}

static void *waiter(void *arg) {
	sleeper = tid();
	futex(arg, FUTEX_WAIT, word, 0, 0, 0);
	return 0;
}

static void single(void) {
	puts("-- alone");
	word = 0;
	SHOW(lock(&word)), show("locked", word);
	SHOW(lock(&word));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI2, 0, 0, 0, 0));
	SHOW(unlock(&word)), show("unlocked", word);
	SHOW(unlock(&word));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0, 0, 0, 0)), show("tried", word);
	word |= FUTEX_WAITERS | FUTEX_OWNER_DIED;
	SHOW(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0)), show("unlocked", word);
	word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
	SHOW(lock(&word)), show("after one who died", word);
	word = 0x3ffffff;
	SHOW(lock(&word)), show("of nobody", word);
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
	SHOW(unlock(&word));
	puts("-- refused");
	struct timespec bad = {0, 1000000000}, zero = {0};
	word = 0;
	SHOW(lock((char *)&word + 1));
	SHOW(unlock((char *)&word + 1));
	SHOW(lock((void *)8));
	SHOW(unlock((void *)8));
	SHOW(futex((void *)8, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &bad, 0, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, (void *)8, 0, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
	SHOW(futex(&word, FUTEX_UNLOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
	void *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SHOW(futex(ro, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0));
	SHOW(futex(ro, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
	SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, 0, &word, 0));
	SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 1, 0, &word2, 0));
	SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, &zero, &word2, 0));
	SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI | FUTEX_CLOCK_REALTIME, 0, &zero, &word2, 0));
	SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, 0, (void *)8, 0));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, 0, &word, 0));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 2, 0, &word2, 0));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)-1L, &word2, 0));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, 0, &word2, 1));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, 0, &word2, 0));
}

static void two(void) {
	puts("-- against another");
	struct holder h;
	pthread_t t;
	void *r;
	word = 0;
	start(&h, &word);
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0)), show("tried", word);
	struct timespec ts = in(CLOCK_REALTIME, 20);
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &ts, 0, 0)), show("timed out", word);
	ts = in(CLOCK_MONOTONIC, 20);
	SHOW(futex(&word, FUTEX_LOCK_PI2, 0, &ts, 0, 0));
	ts = in(CLOCK_REALTIME, 20);
	SHOW(futex(&word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &ts, 0, 0));
	sleeper = 0;
	pthread_create(&t, 0, locker, (void *)&word);
	await_asleep(&sleeper);
	SHOW(futex(&word, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW(futex(&word, FUTEX_REQUEUE, 1, (void *)1, &word2, 0));
	SHOW(unlock(&word));
	unsigned was = word;
	word = FUTEX_WAITERS | tid();
	SHOW(unlock(&word));
	word = was;
	end(&h);
	pthread_join(t, &r);
	printf("the waiter: %ld\n", (long)r), show("in the end", word);

	word = 0;
	start(&h, &word);
	h.keep = 1;
	sleeper = 0;
	pthread_create(&t, 0, locker, (void *)&word);
	await_asleep(&sleeper);
	end(&h);
	pthread_join(t, &r);
	printf("after a dead owner: %ld\n", (long)r), show("in the end", word);

	word = 0;
	start(&h, &word);
	h.keep = 1;
	end(&h);
	while (syscall(SYS_tgkill, getpid(), h.tid, 0) == 0) usleep(1000);
	SHOW(lock(&word)), show("of one long dead", word);

	word = 0;
	sleeper = 0;
	pthread_create(&t, 0, waiter, (void *)&word);
	await_asleep(&sleeper);
	SHOW(lock(&word)), show("free, with one who just waits", word);
	SHOW(unlock(&word));
	word = 0;
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, 0, &word2, 0));
	SHOW(futex(&word, FUTEX_WAKE, 1, 0, 0, 0));
	pthread_join(t, 0);

}

static volatile int waits;
static void *circle(void *arg) {
	lock(&word2);
	waits = tid();
	long r = lock(&word); // the main thread has it
	unlock(&word), unlock(&word2);
	return (void *)r;
}

static volatile int ready, order, requeuers[4];
static void *requeued(void *arg) {
	requeuers[__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST)] = tid();
	long r = futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, 0, &word2, 0);
	int ok = r == 0 && (word2 & FUTEX_TID_MASK) == tid();
	order++; // under the lock
	unlock(&word2);
	return (void *)(long)ok;
}

static void requeue(void) {
	puts("-- requeue");
	pthread_t t[4];
	void *r;
	for (int held = 0; held < 2; held++) {
		word = word2 = ready = order = 0;
		memset((void *)requeuers, 0, sizeof requeuers);
		for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, requeued, 0);
		for (int i = 0; i < 4; i++) await_asleep(&requeuers[i]);
		SHOW(futex(&word, FUTEX_WAKE, 1, 0, 0, 0));
		SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, 0, &ready, 0));
		if (held) SHOW(lock(&word2));
		SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)1L, &word2, 0));
		SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)(long)INT_MAX, &word2, 0));
		if (held) show("held", word2), SHOW(unlock(&word2));
		int all = 1;
		for (int i = 0; i < 4; i++) pthread_join(t[i], &r), all &= r != 0;
		printf("all had it: %d, one by one: %d\n", all, order), show("in the end", word2 & ~FUTEX_WAITERS);
	}
}

static volatile long counter;
static void *contend(void *arg) {
	unsigned me = tid();
	for (int i = 0; i < 3000; i++) {
		unsigned zero = 0, mine = me;
		if (!__atomic_compare_exchange_n(&word, &zero, me, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && lock(&word)) return (void *)1;
		counter++;
		if (i % 100 == 0) sched_yield();
		if (!__atomic_compare_exchange_n(&word, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && unlock(&word)) return (void *)2;
	}
	return 0;
}

static pthread_mutex_t mutex;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static volatile int turn, dying;

static void make(int kind, int robust) {
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	printf("protocol %d\n", pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
	pthread_mutexattr_settype(&a, kind);
	if (robust) pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	printf("init %d\n", pthread_mutex_init(&mutex, &a));
}

static void *play(void *arg) {
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != (arg != 0)) pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return 0;
}

// die dies with the lock, if late when another waits for it.
static void *die(void *late) {
	static int main_thread;
	main_thread = getpid();
	pthread_mutex_lock(&mutex);
	if (late) dying = 1, await_asleep(&main_thread);
	return 0;
}

static void *other(void *arg) { return (void *)(long)pthread_mutex_trylock(&mutex); }

static void library(void) {
	puts("-- the library's");
	pthread_t t, u;
	void *r;
	make(PTHREAD_MUTEX_ERRORCHECK, 0);
	printf("lock %d, again %d\n", pthread_mutex_lock(&mutex), pthread_mutex_lock(&mutex));
	pthread_create(&t, 0, other, 0);
	pthread_join(t, &r);
	printf("another's trylock %ld\n", (long)r);
	printf("unlock %d, again %d\n", pthread_mutex_unlock(&mutex), pthread_mutex_unlock(&mutex));
	make(PTHREAD_MUTEX_RECURSIVE, 0);
	printf("lock %d, again %d\n", pthread_mutex_lock(&mutex), pthread_mutex_lock(&mutex));
	pthread_create(&t, 0, play, 0);
	pthread_create(&u, 0, play, (void *)1);
	printf("unlock %d, again %d\n", pthread_mutex_unlock(&mutex), pthread_mutex_unlock(&mutex));
	pthread_join(t, 0), pthread_join(u, 0);
	printf("turns %d\n", turn);
	for (long late = 0; late < 2; late++) {
		make(PTHREAD_MUTEX_NORMAL, 1);
		pthread_create(&t, 0, die, (void *)late);
		if (late) while (!dying);
		else pthread_join(t, 0);
		printf("after a dead owner %d\n", pthread_mutex_lock(&mutex));
		printf("consistent %d, unlock %d\n", pthread_mutex_consistent(&mutex), pthread_mutex_unlock(&mutex));
		if (late) pthread_join(t, 0);
		printf("lock %d\n", pthread_mutex_lock(&mutex));
		printf("unlock %d\n", pthread_mutex_unlock(&mutex));
	}
	pthread_create(&t, 0, die, 0);
	pthread_join(t, 0);
	printf("after a dead owner %d\n", pthread_mutex_lock(&mutex));
	printf("not made consistent: unlock %d\n", pthread_mutex_unlock(&mutex));
	printf("lock %d\n", pthread_mutex_lock(&mutex));
}

struct waitv { unsigned long val, addr; unsigned flags, reserved; };
static long waitv(void *v, unsigned n, unsigned flags, void *ts, int clock) { return syscall(NR_futex_waitv, v, n, flags, ts, clock); }

static void *wake(void *arg) {
	usleep(100000);
	while (futex(arg, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0) == 0) usleep(10000);
	return 0;
}

static void vectors(void) {
	puts("-- waitv");
	static volatile unsigned a[3];
	struct waitv v[3] = {{0, (unsigned long)&a[0], FUTEX_32 | FUTEX_PRIVATE_FLAG}, {0, (unsigned long)&a[1], FUTEX_32 | FUTEX_PRIVATE_FLAG}, {0, (unsigned long)&a[2], FUTEX_32}};
	struct timespec zero = {0}, bad = {0, -1};
	SHOW(waitv(0, 1, 0, 0, 0));
	SHOW(waitv(v, 0, 0, 0, 0));
	SHOW(waitv(v, 129, 0, 0, 0));
	SHOW(waitv(v, 3, 1, 0, 0));
	SHOW(waitv((void *)8, 3, 0, 0, 0));
	SHOW(waitv(v, 3, 0, &zero, 7));
	SHOW(waitv(v, 3, 0, &bad, 0));
	SHOW(waitv(v, 3, 0, (void *)8, 0));
	SHOW(waitv(v, 3, 0, &zero, CLOCK_MONOTONIC));
	SHOW(waitv(v, 3, 0, &zero, CLOCK_REALTIME));
	a[1] = 1;
	SHOW(waitv(v, 3, 0, 0, 0));
	a[1] = 0;
	v[2].reserved = 1;
	SHOW(waitv(v, 3, 0, 0, 0));
	v[2].reserved = 0, v[2].flags = 0x40 | FUTEX_32;
	SHOW(waitv(v, 3, 0, 0, 0));
	v[2].flags = FUTEX_32, v[2].addr++;
	SHOW(waitv(v, 3, 0, 0, 0));
	v[2].addr = 8;
	SHOW(waitv(v, 3, 0, 0, 0));
	v[2].addr = (unsigned long)&a[2];
	for (int i = 0; i < 2; i++) {
		pthread_t t;
		pthread_create(&t, 0, wake, (void *)&a[i]);
		SHOW(waitv(v, 3, 0, 0, 0));
		pthread_join(t, 0);
	}
	SHOW(futex(&a[0], FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
}

int main(void) {
	pthread_t t[8];
	void *r;
	single();
	two();
	puts("-- a circle");
	word = word2 = 0;
	lock(&word);
	pthread_create(&t[0], 0, circle, 0);
	await_asleep(&waits);
	SHOW(lock(&word2));
	SHOW(unlock(&word));
	pthread_join(t[0], &r);
	printf("the other: %ld\n", (long)r);
	requeue();
	puts("-- contention");
	word = 0;
	for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, contend, 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], &r);
		if (r) printf("thread %d: %ld\n", i, (long)r);
	}
	printf("%ld\n", counter);
	library();
	vectors();
	return 0;
}

// futexes: every operation, right and wrong, and threads that end.
#include "tell.h"
#include "await.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

static long futex(volatile void *a, int op, unsigned v, const void *t, volatile void *b, unsigned v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }

static volatile int word, word2, waiting, woken;
static volatile int waiters[8]; // their ids, waiting of them

struct waiter {
	volatile int *at;
	int op;
	unsigned bits;
};

static void *wait_thread(void *arg) {
	struct waiter *w = arg;
	waiters[__atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST)] = own_tid();
	if (futex(w->at, w->op, 0, 0, 0, w->bits) == 0) __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void await_waiters(int n) {
	for (int i = 0; i < n; i++) await_asleep(&waiters[i]);
}

static void nobody_waits(void) {
	waiting = woken = 0;
	memset((void *)waiters, 0, sizeof waiters);
}

// Starts n threads and waits until they do.
static void start(pthread_t *t, struct waiter *w, int n) {
	nobody_waits();
	for (int i = 0; i < n; i++) pthread_create(&t[i], 0, wait_thread, w);
	await_waiters(n);
}

static void join(pthread_t *t, int n) {
	for (int i = 0; i < n; i++) pthread_join(t[i], 0);
	printf("woken %d\n", woken);
}

static void refused(void) {
	puts("-- refused");
	struct timespec bad = {0, 1000000000}, neg = {-1, 0}, zero = {0};
	word = 0;
	TELL(futex(&word, FUTEX_WAIT, 1, 0, 0, 0));
	TELL(futex((char *)&word + 1, FUTEX_WAIT, 0, 0, 0, 0));
	TELL(futex((void *)8, FUTEX_WAIT, 0, 0, 0, 0));
	TELL(futex((void *)8, FUTEX_WAKE, 1, 0, 0, 0));
	TELL(futex((void *)8, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAIT, 0, &bad, 0, 0));
	TELL(futex(&word, FUTEX_WAIT, 0, &neg, 0, 0));
	TELL(futex(&word, FUTEX_WAIT, 0, (void *)8, 0, 0));
	TELL(futex(&word, FUTEX_WAIT, 0, &zero, 0, 0));
	TELL(futex(&word, FUTEX_WAIT_PRIVATE, 0, &zero, 0, 0));
	TELL(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &zero, 0, 0));
	TELL(futex(&word, FUTEX_WAIT_BITSET, 0, &zero, 0, 0));
	TELL(futex(&word, FUTEX_WAIT_BITSET, 0, &zero, 0, 1));
	TELL(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &zero, 0, 1));
	TELL(futex(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE, 0, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE, -1, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0));
	TELL(futex(&word, 2, 1, 0, 0, 0));
	TELL(futex(&word, 99, 1, 0, 0, 0));
	TELL(futex(&word, FUTEX_REQUEUE, -1, 0, &word2, 0));
	TELL(futex(&word, FUTEX_REQUEUE, 1, (void *)-1L, &word2, 0));
	TELL(futex(&word, FUTEX_REQUEUE, 1, 0, (char *)&word2 + 1, 0));
	TELL(futex(&word, FUTEX_CMP_REQUEUE, 1, 0, &word2, 5));
	TELL(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, (void *)8, 0));
	TELL(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, FUTEX_OP(7, 1, 0, 0)));
	TELL(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, FUTEX_OP(0, 1, 9, 0)));
	void *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TELL(futex(ro, FUTEX_WAIT_PRIVATE, 0, &zero, 0, 0));
	TELL(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, ro, FUTEX_OP(0, 1, 0, 0)));
	TELL(syscall(SYS_set_robust_list, 0, 23));
	TELL(syscall(SYS_get_robust_list, 3999999, &ro, &ro));
	TELL(syscall(SYS_get_robust_list, 0, 8, 8));
}

static void waking(void) {
	puts("-- waking");
	pthread_t t[8];
	struct waiter w = {&word, FUTEX_WAIT_PRIVATE, 0};
	word = word2 = 0;
	start(t, &w, 5);
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, 2, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, 0, 0, 0, 0));
	TELL(futex(&word2, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0));
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0));
	join(t, 5);
	puts("bitset");
	w = (struct waiter){&word, FUTEX_WAIT_BITSET_PRIVATE, 5};
	start(t, &w, 3);
	TELL(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, 0, 0, 2));
	TELL(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, 0, 0, 4));
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	join(t, 3);
	puts("requeue");
	w = (struct waiter){&word, FUTEX_WAIT_PRIVATE, 0};
	start(t, &w, 6);
	TELL(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &word2, 1));
	TELL(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &word2, 0));
	TELL(futex(&word2, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	TELL(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)9, &word2, 0));
	TELL(futex(&word, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	TELL(futex(&word2, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	join(t, 6);
	puts("wake_op");
	static const int ops[][6] = {
		// op, argument, compare, argument, old value, shift
		{FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 3, 3},
		{FUTEX_OP_ADD, 7, FUTEX_OP_CMP_NE, 3, 3},
		{FUTEX_OP_OR, 6, FUTEX_OP_CMP_LT, 4, 3},
		{FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_LE, 2, 3},
		{FUTEX_OP_XOR, 1, FUTEX_OP_CMP_GT, -5, 3},
		{FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GE, 4, 3},
		{FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 12, FUTEX_OP_CMP_EQ, 3, 3},
	};
	for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
		pthread_t u[2];
		struct waiter w2 = {&word2, FUTEX_WAIT_PRIVATE, 0};
		word = word2 = 0;
		nobody_waits();
		w = (struct waiter){&word, FUTEX_WAIT_PRIVATE, 0};
		for (int k = 0; k < 2; k++) pthread_create(&t[k], 0, wait_thread, &w), pthread_create(&u[k], 0, wait_thread, &w2);
		await_waiters(4);
		word2 = ops[i][4];
		long n = futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2, FUTEX_OP((unsigned)ops[i][0], ops[i][1] & 0xfff, ops[i][2], ops[i][3] & 0xfff));
		printf("%ld, word %d\n", n, word2);
		futex(&word, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0), futex(&word2, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0);
		for (int k = 0; k < 2; k++) pthread_join(u[k], 0);
		join(t, 2);
	}
}

// Memory that is mapped twice has one futex, unless it is said to be private.
static void shared(void) {
	puts("-- shared");
	int fd = memfd_create("x", 0);
	ftruncate(fd, 4096);
	volatile int *a = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *b = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_t t[3];
	struct waiter w = {a + 3, FUTEX_WAIT, 0};
	start(t, &w, 3);
	TELL(futex(b + 3, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
	TELL(futex(b + 2, FUTEX_WAKE, 9, 0, 0, 0));
	TELL(futex(b + 3, FUTEX_WAKE, 2, 0, 0, 0));
	TELL(futex(b + 3, FUTEX_CMP_REQUEUE, 0, (void *)1, b + 5, 0));
	TELL(futex(a + 5, FUTEX_WAKE, 9, 0, 0, 0));
	join(t, 3);
}

static long elapsed(const struct timespec *from) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

static void timeouts(void) {
	puts("-- timeouts");
	struct timespec start, t;
	word = 0;
	for (int i = 0; i < 4; i++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		int op = FUTEX_WAIT_BITSET;
		switch (i) {
		case 0: op = FUTEX_WAIT; t = (struct timespec){0, 30000000}; break;
		case 1: clock_gettime(CLOCK_MONOTONIC, &t); break;
		case 2: op |= FUTEX_CLOCK_REALTIME; clock_gettime(CLOCK_REALTIME, &t); break;
		case 3: t = (struct timespec){0, 1}; break;
		}
		if (i == 1 || i == 2) {
			t.tv_nsec += 30000000;
			if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
		}
		long r = futex(&word, op, 0, &t, 0, -1);
		printf("%d: %ld %s, waited: %d\n", i, r, strerrorname_np(errno), elapsed(&start) >= 29);
	}
}

static pthread_mutex_t robust;
static void *dies(void *arg) {
	(void)arg;
	pthread_mutex_lock(&robust);
	return 0;
}

static struct {
	void *next;
	long offset;
	void *pending;
} head;
static struct entry {
	void *next;
	int pad[6];
	volatile int lock;
} entries[3];
static void *dies_with_list(void *arg) {
	(void)arg;
	int tid = (int)syscall(SYS_gettid);
	head.next = &entries[0];
	head.offset = offsetof(struct entry, lock);
	for (int i = 0; i < 3; i++) entries[i].next = i < 2 ? (void *)&entries[i + 1] : (void *)&head;
	entries[0].lock = tid;
	entries[1].lock = tid | FUTEX_WAITERS;
	entries[2].lock = 12345;
	head.pending = 0;
	syscall(SYS_set_robust_list, &head, sizeof head);
	syscall(SYS_exit, 0);
	return 0;
}

static void endings(void) {
	puts("-- robust");
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &a);
	pthread_t t;
	pthread_create(&t, 0, dies, 0);
	pthread_join(t, 0);
	printf("lock: %s\n", strerrorname_np(pthread_mutex_lock(&robust)));
	pthread_mutex_consistent(&robust);
	pthread_mutex_unlock(&robust);
	printf("again: %d\n", pthread_mutex_lock(&robust));
	pthread_create(&t, 0, dies_with_list, 0);
	pthread_join(t, 0);
	printf("%x %x %d\n", entries[0].lock, entries[1].lock, entries[2].lock);
	// A list that leads nowhere, and one without an end.
	pthread_create(&t, 0, dies_with_list, 0);
	pthread_join(t, 0);
	puts("ended");
}

static volatile int cleared;
static char thread_stack[65536] __attribute__((aligned(16)));
static int plain(void *arg) {
	(void)arg;
	return 0;
}

static void cloning(void) {
	puts("-- clone");
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	int parent = 0;
	cleared = 1;
	int tid = clone(plain, thread_stack + sizeof thread_stack, flags | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, 0, &parent, 0, &cleared);
	while (cleared) futex(&cleared, FUTEX_WAIT, 1, 0, 0, 0);
	printf("%d %d\n", tid > 0, parent == tid);
	TELL(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	TELL(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
	TELL(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
	TELL(syscall(SYS_clone, flags | CLONE_NEWNS | CLONE_FS, 0, 0, 0, 0));
	TELL(syscall(SYS_clone, flags | CLONE_SETTLS, thread_stack + 4096, 0, 0, 0x8000000000000000));
	struct {
		unsigned long flags, pidfd, child, parent, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
	} c = {.flags = flags};
	TELL(syscall(SYS_clone3, &c, 0));
	TELL(syscall(SYS_clone3, &c, 63));
	TELL(syscall(SYS_clone3, &c, 4097));
	TELL(syscall(SYS_clone3, 8, 88));
	c.stack = 4096;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.stack = 0, c.stack_size = 4096;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.stack_size = 0, c.exit_signal = SIGCHLD;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.exit_signal = 0, c.flags |= CLONE_DETACHED;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.flags = flags | 1;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.flags = flags | 1UL << 40;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	c.flags = flags, c.set_tid_size = 1;
	TELL(syscall(SYS_clone3, &c, sizeof c));
	struct {
		typeof(c) c;
		unsigned long more[4];
	} d = {.more = {0, 0, 7, 0}};
	d.c.flags = flags;
	TELL(syscall(SYS_clone3, &d, sizeof d));
	TELL(syscall(SYS_set_tid_address, 0) == getpid());
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	refused();
	waking();
	shared();
	timeouts();
	endings();
	cloning();
}

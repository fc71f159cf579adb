// storm SEED N: threads that wake, signal and interrupt each other, and take memory
// away from under each other, N times each. A wake-up that is lost hangs it; what else
// goes wrong it says.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { threads = 6, page = 4096 };
static int rounds;
static uint64_t seed;
static atomic_int sent, got, wrong;
static atomic_int tids[threads];
static pthread_barrier_t start, end;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn; // under mutex
static volatile char *shared; // a page that somebody takes away and puts back

static void handler(int sig) { atomic_fetch_add(&got, 1); }

static void fail(const char *what) {
	if (!atomic_exchange(&wrong, 1)) puts(what);
}

// relay gives the turn to the next thread and waits until it comes round again.
static void relay(int me) {
	pthread_mutex_lock(&mutex);
	while (turn != me) pthread_cond_wait(&cond, &mutex);
	turn = (turn + 1) % threads;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
}

// signalOther sends a queued signal to some thread, wherever it is.
static void signalOther(int to) {
	siginfo_t info = {.si_code = SI_QUEUE};
	while (syscall(SYS_rt_tgsigqueueinfo, getpid(), tids[to], SIGRTMIN, &info)) usleep(100);
	atomic_fetch_add(&sent, 1);
}

static void nap(long ns) {
	struct timespec left = {0, ns};
	while (nanosleep(&left, &left));
}

// remap has pages of its own come and go: what it reads must be what it wrote.
static void remap(unsigned value) {
	size_t n = (1 + value % 40) * page;
	volatile unsigned *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		fail("mmap");
		return;
	}
	for (size_t i = 0; i < n / 4; i += page / 4) {
		if (p[i]) fail("a new page is not empty");
		p[i] = value;
	}
	sched_yield();
	for (size_t i = 0; i < n / 4; i += page / 4)
		if (p[i] != value) fail("a page holds something else");
	madvise((void *)p, page, MADV_DONTNEED);
	if (p[0]) fail("a page given back is not empty");
	munmap((void *)p, n);
}

// replace puts another page in the place of the shared one, full of one value:
// nobody may see the old one afterwards.
static atomic_int version;
static pthread_mutex_t replacing = PTHREAD_MUTEX_INITIALIZER;
static void replace(void) {
	pthread_mutex_lock(&replacing);
	int v = version + 1;
	int *p = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*p = v;
	if (mremap(p, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)shared) == MAP_FAILED) fail("mremap");
	version = v;
	pthread_mutex_unlock(&replacing);
}
static void look(void) {
	int before = version, v = *(volatile int *)shared;
	if (v && v < before) fail("an old page is still seen");
}

static void *nothing(void *x) { return x; }

static void *run(void *arg) {
	int me = (int)(intptr_t)arg;
	uint64_t r = seed * 1000 + me + 1;
	tids[me] = gettid();
	pthread_barrier_wait(&start);
	for (int i = 0; i < rounds; i++) {
		r ^= r >> 12, r ^= r << 25, r ^= r >> 27;
		unsigned x = r * 0x2545f4914f6cdd1dull >> 33;
		relay(me);
		switch (x % 8) {
		case 0: signalOther(x / 8 % threads); break;
		case 1: nap(x / 8 % 300000); break;
		case 2: remap(x); break;
		case 3: replace(); break;
		case 4: for (int k = 0; k < 1000; k++) look(); break;
		case 5: for (int k = 0; k < 5; k++) signalOther(x / 8 % threads); break;
		case 6: {
			pthread_t t;
			void *v;
			if (pthread_create(&t, 0, nothing, arg) || pthread_join(t, &v) || v != arg) fail("a thread");
			break;
		}
		case 7: for (volatile unsigned k = 0; k < x / 8 % 100000; k++); break;
		}
	}
	pthread_barrier_wait(&end);
	return 0;
}

int main(int argc, char **argv) {
	seed = strtoul(argv[1], 0, 0), rounds = atoi(argv[2]);
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaction(SIGRTMIN, &a, 0);
	shared = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_barrier_init(&start, 0, threads);
	pthread_barrier_init(&end, 0, threads);
	pthread_t t[threads];
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t[i], 0, run, (void *)(intptr_t)i)) return 99;
	for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
	if (sent != got) printf("%d signals sent, %d came\n", sent, got);
	puts("done");
	return wrong || sent != got;
}

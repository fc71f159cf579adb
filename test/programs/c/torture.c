// torture HOW SECONDS: what breaks kernels, for as long as it takes.
#include "tell.h"
#include <immintrin.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

static long rounds;
static atomic_int failed;
static unsigned next(unsigned *s) { return *s = *s * 1664525 + 1013904223, *s >> 8; }

static void fail(const char *what) {
	if (!atomic_exchange(&failed, 1)) {
		printf("FAILED: %s\n", what);
		fflush(stdout);
	}
}

// Threads map, write, protect, move and unmap, each its own memory beside the others'.
#define PAGE 4096UL
static void *mapper(void *arg) {
	unsigned s = (unsigned)(long)arg * 7919 + 1;
	struct {
		unsigned char *p;
		unsigned pages;
		unsigned char v;
	} m[16] = {0};
	for (long i = 0; i < rounds && !failed; i++) {
		unsigned k = next(&s) % 16;
		if (!m[k].p) {
			m[k].pages = 1 + next(&s) % 64;
			if (next(&s) % 8 == 0) m[k].pages += 1024;
			m[k].v = (unsigned char)next(&s);
			m[k].p = mmap(0, m[k].pages * PAGE, PROT_READ | PROT_WRITE, (next(&s) % 4 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
			if (m[k].p == MAP_FAILED) return fail("mmap"), (void *)0;
			for (unsigned j = 0; j < m[k].pages; j++) {
				if (m[k].p[j * PAGE + j % PAGE]) return fail("not zero"), (void *)0;
				m[k].p[j * PAGE + j % PAGE] = m[k].v;
			}
			continue;
		}
		switch (next(&s) % 6) {
		case 0:
			mprotect(m[k].p, m[k].pages * PAGE, PROT_READ);
			break;
		case 1:
			mprotect(m[k].p, m[k].pages * PAGE, PROT_READ | PROT_WRITE);
			break;
		case 2: {
			unsigned n = m[k].pages + next(&s) % 8;
			unsigned char *q = mremap(m[k].p, m[k].pages * PAGE, n * PAGE, MREMAP_MAYMOVE);
			if (q == MAP_FAILED) return fail("mremap"), (void *)0;
			m[k].p = q;
			break;
		}
		case 3:
			for (unsigned j = 0; j < m[k].pages; j++)
				if (m[k].p[j * PAGE + j % PAGE] != m[k].v) return fail("lost"), (void *)0;
			munmap(m[k].p, m[k].pages * PAGE);
			m[k].p = 0;
			break;
		case 4: {
			unsigned at = next(&s) % m[k].pages;
			if (m[k].p[at * PAGE + at % PAGE] != m[k].v) return fail("wrong"), (void *)0;
			break;
		}
		case 5:
			if (m[k].pages > 4) { // new pages in its midst; a hole would be another thread's prey
				unsigned at = next(&s) % (m[k].pages - 2);
				mmap(m[k].p + at * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
				mprotect(m[k].p, m[k].pages * PAGE, PROT_READ | PROT_WRITE);
				for (unsigned j = at; j < at + 2; j++) {
					if (m[k].p[j * PAGE + j % PAGE]) return fail("old in new"), (void *)0;
					m[k].p[j * PAGE + j % PAGE] = m[k].v;
				}
				// Its parts are different mappings now; together again as one.
				unsigned char *q = mmap(0, m[k].pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				memcpy(q, m[k].p, m[k].pages * PAGE);
				munmap(m[k].p, m[k].pages * PAGE);
				m[k].p = q;
			}
			break;
		}
	}
	for (int k = 0; k < 16; k++)
		if (m[k].p) munmap(m[k].p, m[k].pages * PAGE);
	return 0;
}

// Threads that pass a token around, and count under a mutex.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn, members;
static long counted;
static void *passer(void *arg) {
	int me = (int)(long)arg;
	for (long i = 0; i < rounds; i++) {
		pthread_mutex_lock(&mutex);
		while (turn != me) pthread_cond_wait(&cond, &mutex);
		turn = (turn + 1) % members;
		counted++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return 0;
}

// Signals from everywhere at everybody.
static atomic_long handled;
static __thread volatile int depth;
static void storm_handler(int sig, siginfo_t *info, void *uc) {
	(void)info, (void)uc;
	depth++;
	atomic_fetch_add(&handled, 1);
	if (sig == SIGUSR1 && depth < 3) raise(SIGUSR2);
	depth--;
}
static atomic_int storming;
static pthread_t victims[16];
static void *victim(void *arg) {
	unsigned s = (unsigned)(long)arg;
	char b[64];
	int fds[2];
	pipe(fds);
	while (storming) {
		double x = 1;
		for (int i = 0; i < 100; i++) x = x * 1.0000001 + 1e-9;
		if (x < 1 || x > 1.1) fail("arithmetic");
		if (write(fds[1], "abc", 3) != 3 && errno != EINTR) fail("write");
		if (read(fds[0], b, sizeof b) < 0 && errno != EINTR) fail("read");
		struct timespec ts = {0, next(&s) % 100000};
		nanosleep(&ts, 0);
		sched_yield();
	}
	close(fds[0]), close(fds[1]);
	return 0;
}

// Numbers in registers, while the CPU is taken away and signals come.
static void *number(void *arg) {
	double seed = (double)(long)arg + 0.5;
	for (long i = 0; i < rounds && !failed; i++) {
		double a = seed, b = seed * 2, c = seed * 3, d = seed * 4;
		long double e = seed * 5;
		for (int k = 0; k < 20000; k++) {
			a += 1, b += 2, c += 3, d += 4, e += 5;
			asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
		}
		if (a != seed + 20000 || b != seed * 2 + 40000 || c != seed * 3 + 60000 || d != seed * 4 + 80000 || e != seed * 5 + 100000) return fail("numbers"), (void *)0;
	}
	return 0;
}

__attribute__((target("avx"))) static void *wide(void *arg) {
	long v = (long)arg;
	for (long i = 0; i < rounds && !failed; i++) {
		long in[4] = {v, v + i, ~v, v * i}, out[4];
		asm volatile("vmovdqu %1, %%ymm9; mov $30000, %%ecx; 1: vmovdqa %%ymm9, %%ymm10; vmovdqa %%ymm10, %%ymm9; dec %%ecx; jnz 1b; vmovdqu %%ymm9, %0; vzeroupper"
			: "=m"(out) : "m"(in) : "ecx", "xmm9", "xmm10", "memory");
		if (memcmp(in, out, sizeof in)) return fail("wide numbers"), (void *)0;
	}
	return 0;
}

// Out of handlers by siglongjmp, in several threads.
static __thread sigjmp_buf out;
static void jumper(int sig) { siglongjmp(out, sig); }
static void *jumps(void *arg) {
	(void)arg;
	for (long i = 0; i < rounds; i++) {
		int sig = sigsetjmp(out, 1);
		if (sig == 0) {
			if (i % 2) *(volatile int *)8 = 1;
			else pthread_kill(pthread_self(), SIGUSR1);
			fail("no signal");
		} else if (sig != (i % 2 ? SIGSEGV : SIGUSR1))
			fail("another signal");
	}
	return 0;
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static long recurse(long n) {
	volatile char b[500];
	b[0] = (char)n, b[499] = 1;
	if (n == 0) return 0;
	long r = recurse(n - 1) + b[499];
	if (b[0] != (char)n) fail("stack");
	return r;
}
static void *deep(void *arg) {
	for (long i = 0; i < rounds; i++)
		if (recurse((long)arg) != (long)arg) fail("depth");
	return 0;
}

// All at once: threads that come and go, map, unmap, have faults repaired by a handler, wait at futexes and let
// others wait elsewhere, and signal each other meanwhile; the handler maps, too.
enum { TOGETHER = 50, STEPS = 20 };
static atomic_int tids[TOGETHER], gate, hall;
static __thread unsigned char *guarded;
static __thread volatile int repaired;
static atomic_long disturbed;

static void repair(int sig, siginfo_t *info, void *uc) {
	(void)sig, (void)uc;
	if ((unsigned char *)info->si_addr != guarded) _exit(97);
	repaired++;
	mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

static void disturb(int sig) {
	(void)sig;
	int saved = errno;
	disturbed++;
	unsigned char *p = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || p[PAGE]++ != 0) fail("a handler's pages");
	munmap(p, 2 * PAGE);
	errno = saved;
}

static long futex(atomic_int *at, int op, int v, void *timeout, atomic_int *at2, int v3) {
	return syscall(SYS_futex, at, op | FUTEX_PRIVATE_FLAG, v, timeout, at2, v3);
}

static void *everything(void *arg) {
	unsigned s = (unsigned)(long)arg * 7919 + 1;
	int faults = 0;
	atomic_store(&tids[(long)arg % TOGETHER], (int)syscall(SYS_gettid));
	guarded = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < STEPS && !failed; i++) {
		struct timespec ts = {0, 1000000};
		size_t n = (1 + next(&s) % 16) * PAGE;
		unsigned char v = (unsigned char)i, *p;
		switch (next(&s) % 6) {
		case 0:
			p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			for (size_t at = 0; at < n; at += PAGE)
				if (p[at]++) fail("not zero");
			munmap(p, n);
			break;
		case 1:
			*guarded = v;
			mprotect(guarded, PAGE, next(&s) % 2 ? PROT_NONE : PROT_READ);
			(*(volatile unsigned char *)guarded)++;
			faults++;
			if (*guarded != (unsigned char)(v + 1)) fail("lost in a fault");
			break;
		case 2:
			futex(&gate, FUTEX_WAIT, gate, &ts, 0, 0);
			break;
		case 3:
			futex(&gate, FUTEX_CMP_REQUEUE, 1, (void *)100, &hall, gate);
			break;
		case 4:
			gate++;
			futex(&hall, FUTEX_WAKE, INT_MAX, 0, 0, 0);
			break;
		case 5:
			syscall(SYS_tgkill, getpid(), atomic_load(&tids[next(&s) % TOGETHER]), SIGUSR1);
		}
	}
	if (repaired != faults) fail("faults");
	munmap(guarded, PAGE);
	return 0;
}

static void run(int n, void *(*f)(void *), long base) {
	pthread_t t[64];
	for (long i = 0; i < n; i++)
		if (pthread_create(&t[i], 0, f, (void *)(base + i))) fail("pthread_create");
	for (int i = 0; i < n; i++) pthread_join(t[i], 0);
}

int main(int argc, char **argv) {
	if (argc != 3) return 99;
	rounds = atol(argv[2]);
	struct sigaction sa = {.sa_sigaction = storm_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &sa, 0), sigaction(SIGUSR2, &sa, 0), sigaction(SIGALRM, &sa, 0), sigaction(SIGRTMIN, &sa, 0);
	if (!strcmp(argv[1], "memory")) run(8, mapper, 0);
	else if (!strcmp(argv[1], "everything")) {
		struct sigaction d = {.sa_handler = disturb}, r = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
		sigaction(SIGUSR1, &d, 0), sigaction(SIGSEGV, &r, 0);
		for (long i = 0; i < rounds && !failed; i++) run(TOGETHER, everything, i * TOGETHER);
		if (disturbed == 0) fail("no signals");
	} else if (!strcmp(argv[1], "futex")) {
		members = 16;
		run(members, passer, 0);
		if (counted != members * rounds) fail("count");
	} else if (!strcmp(argv[1], "signals")) {
		storming = 1;
		for (long i = 0; i < 16; i++) pthread_create(&victims[i], 0, victim, (void *)i);
		struct itimerval it = {{0, 1000}, {0, 1000}};
		setitimer(ITIMER_REAL, &it, 0);
		unsigned s = 1;
		static const int sigs[] = {SIGUSR1, SIGUSR2};
		for (long i = 0; i < rounds && !failed; i++) {
			pthread_kill(victims[next(&s) % 16], sigs[next(&s) % 2]);
			if (next(&s) % 4 == 0) kill(getpid(), SIGRTMIN);
		}
		it = (struct itimerval){0};
		setitimer(ITIMER_REAL, &it, 0);
		storming = 0;
		for (int i = 0; i < 16; i++) pthread_join(victims[i], 0);
		if (handled < rounds / 100) fail("few signals");
	} else if (!strcmp(argv[1], "numbers")) {
		struct itimerval it = {{0, 1000}, {0, 1000}};
		setitimer(ITIMER_REAL, &it, 0);
		run(8, number, 1);
		__builtin_cpu_init();
		if (__builtin_cpu_supports("avx")) run(8, wide, 1);
	} else if (!strcmp(argv[1], "jumps")) {
		struct sigaction j = {.sa_handler = jumper};
		sigaction(SIGUSR1, &j, 0), sigaction(SIGSEGV, &j, 0);
		run(8, jumps, 0);
	} else if (!strcmp(argv[1], "stack")) {
		deep((void *)12000); // into the growing stack of the first thread
		run(4, deep, 10000);
	} else
		return 98;
	puts(failed ? "broken" : "sound");
	return failed;
}

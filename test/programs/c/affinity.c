// affinity: threads run on the CPUs of their masks and nowhere else, whatever they do.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int cpus;
static atomic_int wrong, word[64], stop;

static void say(const char *what, long r) { printf("%s: %ld %s\n", what, r, r < 0 ? strerror(errno) : ""); }

static cpu_set_t only(int cpu) {
	cpu_set_t s;
	CPU_ZERO(&s);
	CPU_SET(cpu, &s);
	return s;
}

static int pin(pid_t tid, int cpu) {
	cpu_set_t s = only(cpu);
	return sched_setaffinity(tid, sizeof s, &s);
}

// check looks where the caller runs, by the vDSO and by the system call.
static void check(int cpu, const char *when) {
	unsigned c = 99;
	int v = sched_getcpu();
	syscall(SYS_getcpu, &c, 0, 0);
	if ((v != cpu || (int)c != cpu) && !atomic_exchange(&wrong, 1))
		printf("FAILED: %s: on CPU %d and %u, not %d\n", when, v, c, cpu);
}

static void spin(int cpu, const char *when) {
	for (int i = 0; i < 20000; i++)
		if (sched_getcpu() != cpu) check(cpu, when);
}

// Two of these a CPU: they take turns there, and hand a word to each other.
static void *worker(void *arg) {
	int n = (int)(long)arg, cpu = n % cpus, peer = n / cpus;
	pin(0, cpu);
	check(cpu, "pinned");
	for (int round = 0; round < 10; round++) {
		spin(cpu, "busy");
		sched_yield();
		check(cpu, "yielded");
		struct timespec ts = {0, 100000};
		nanosleep(&ts, 0);
		check(cpu, "slept");
		while ((word[cpu] & 1) != peer && !wrong)
			syscall(SYS_futex, &word[cpu], FUTEX_WAIT_PRIVATE, 1 - peer, &(struct timespec){1, 0}, 0, 0);
		check(cpu, "woken");
		word[cpu] = 1 - peer;
		syscall(SYS_futex, &word[cpu], FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
		char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(p, 1, 65536);
		check(cpu, "after page faults");
		munmap(p, 65536);
	}
	return 0;
}

static void *spinner(void *arg) {
	while (!stop) ;
	return arg;
}

// One that moves itself from CPU to CPU.
static void *mover(void *arg) {
	for (int i = 0; i < 200; i++) {
		int cpu = (i * 7 + (int)(long)arg) % cpus;
		pin(0, cpu);
		check(cpu, "moved");
	}
	return 0;
}

// One that others move while it runs: from when they say so on it is where they want it.
static atomic_int wanted, heard, tid;
static void *moved(void *arg) {
	tid = gettid();
	for (int last = 0; !stop;) {
		int w = wanted;
		if (w == last) continue;
		check(w - 1, "moved by another");
		heard = last = w;
	}
	return arg;
}

// One that inherits a mask, and of several CPUs uses those only.
static void *heir(void *arg) {
	cpu_set_t s;
	sched_getaffinity(0, sizeof s, &s);
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 1000; k++) {
			int c = sched_getcpu();
			if (!CPU_ISSET(c, &s) && !atomic_exchange(&wrong, 1)) printf("FAILED: on CPU %d, which is not in its set\n", c);
		}
		if (i % 4 == 0) usleep(50);
		sched_yield();
	}
	return arg;
}

static void run(int n, void *(*f)(void *)) {
	pthread_t t[64];
	for (long i = 0; i < n; i++) pthread_create(&t[i], 0, f, (void *)i);
	for (int i = 0; i < n; i++) pthread_join(t[i], 0);
}

int main(void) {
	cpu_set_t all, s;
	int bytes = sched_getaffinity(0, sizeof all, &all) ? -1 : 0;
	cpus = CPU_COUNT(&all);
	if (cpus > 4) cpus = 4;
	printf("%d\n", bytes);
	CPU_ZERO(&s);
	say("no CPU", sched_setaffinity(0, sizeof s, &s));
	say("no thread", pin(4000000, 0));
	say("no memory", syscall(SYS_sched_setaffinity, 0, 8, 8));
	say("too little room", syscall(SYS_sched_getaffinity, 0, 0, &s));
	pthread_t t[8];
	for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, spinner, 0); // in the way
	run(2 * cpus, worker);
	puts("pinned");
	run(3, mover);
	puts("moving");
	pthread_t m;
	pthread_create(&m, 0, moved, 0);
	while (!tid) sched_yield();
	for (int i = 0; i < 100; i++) {
		int cpu = i * 5 % cpus;
		if (pin(tid, cpu)) printf("moving another: %s\n", strerror(errno));
		wanted = cpu + 1;
		while (heard != cpu + 1 && !wrong) ;
	}
	puts("moved");
	stop = 1;
	pthread_join(m, 0);
	for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
	CPU_ZERO(&s);
	CPU_SET(0, &s);
	CPU_SET(cpus > 2 ? 2 : 0, &s);
	sched_setaffinity(0, sizeof s, &s);
	run(6, heir);
	puts("inherited");
	pin(0, cpus - 1);
	check(cpus - 1, "the last");
	sched_setaffinity(0, sizeof all, &all);
	sched_getaffinity(0, sizeof s, &s);
	printf("all again: %d\n", CPU_EQUAL(&s, &all));
	puts(wrong ? "wrong" : "right");
	return wrong;
}

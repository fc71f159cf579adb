// For core dumps: a crash in a function that gdb shall find, or, with an argument,
// a wait for input; beside threads that wait, sleep and spin.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shape {
	int sides;
	const char *name;
	double area;
};

static struct shape triangle = {3, "triangle", 4.5};
static int zeros[5000];
static int up; // threads
static volatile int spin = 1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *waits(void *p) {
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&mutex);
	return p;
}

static void *sleeps(void *p) {
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	sleep(100000);
	return p;
}

static void *spins(void *p) {
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	while (spin)
		;
	return p;
}

static void crash(struct shape *s, int depth) {
	char *heap = strdup("on the heap");
	double half = s->area / 2;
	if (depth > 0)
		crash(s, depth - 1);
	zeros[4000] = s->sides;
	*(volatile char *)16 = heap[0] + (char)half;
	free(heap);
}

int main(int argc, char **argv) {
	pthread_t t;
	pthread_mutex_lock(&mutex);
	pthread_create(&t, 0, waits, 0);
	pthread_create(&t, 0, sleeps, 0);
	pthread_create(&t, 0, spins, 0);
	while (__atomic_load_n(&up, __ATOMIC_SEQ_CST) < 3)
		usleep(1000);
	if (argc == 1)
		crash(&triangle, 2);
	puts("ready");
	fflush(stdout);
	int c = getchar();
	spin = 0;
	pthread_join(t, 0);
	return c;
}

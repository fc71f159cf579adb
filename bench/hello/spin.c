// spin N: N threads share a fixed amount of work that only needs a CPU; prints how long it took, in microseconds.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int n;

static void *work(void *arg) {
	volatile unsigned x = 1;
	for (long i = 0; i < 60000000 / n; i++) x = x * 1664525 + 1013904223;
	return arg;
}

int main(int argc, char **argv) {
	struct timespec a, b;
	pthread_t t[64];
	n = argc > 1 ? atoi(argv[1]) : 4;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++) pthread_create(&t[i], 0, work, 0);
	for (int i = 0; i < n; i++) pthread_join(t[i], 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("work %ld\n", (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
	return 0;
}

// clocks: what time it is. clocks naps: short sleeps beside threads that spin.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;
static volatile long spins[4];

static double now(clockid_t c) {
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *spin(void *n) {
	while (!stop) ++*(volatile long *)n;
	return 0;
}

int main(int argc, char **argv) {
	if (argc < 2 || strcmp(argv[1], "naps")) {
		double real = now(CLOCK_REALTIME), mono = now(CLOCK_MONOTONIC);
		usleep(20000);
		double dr = now(CLOCK_REALTIME) - real, dm = now(CLOCK_MONOTONIC) - mono;
		printf("%.0f %d\n", real, dr >= 0.02 && dm >= 0.02 && dr - dm < 0.01 && dm - dr < 0.01);
		return 0;
	}
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], 0, spin, (void *)&spins[i])) return 99;
	int early = 0, late = 0, backwards = 0;
	double last = now(CLOCK_MONOTONIC);
	for (int i = 0; i < 10; i++) {
		double start = now(CLOCK_MONOTONIC);
		usleep(5000);
		double end = now(CLOCK_MONOTONIC);
		early += end - start < 0.005;
		late += end - start > 1;
		backwards += start < last || end < start;
		last = end;
	}
	// Whoever has not run by now must still come to it.
	for (int i = 0; i < 4; i++)
		while (!spins[i]) usleep(1000);
	stop = 1;
	for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
	printf("early %d, late %d, backwards %d\n", early, late, backwards);
	return 0;
}

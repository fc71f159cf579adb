// clocks: what time it is. clocks naps: short sleeps beside threads that spin.
// clocks late N: how many of 100 very short ones beside N such are late.
// clocks turns: after a byte of input, spins until another thread has run; at most a second.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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
	if (argc < 2) {
		double a = now(CLOCK_MONOTONIC), real = now(CLOCK_REALTIME), b = now(CLOCK_MONOTONIC);
		usleep(20000);
		double c = now(CLOCK_MONOTONIC), dr = now(CLOCK_REALTIME) - real, d = now(CLOCK_MONOTONIC);
		const double slew = 0.001; // the host's
		printf("%.0f %d\n", real, c - b >= 0.02 && dr >= c - b - slew && dr <= d - a + slew);
		return 0;
	}
	if (!strcmp(argv[1], "late")) {
		pthread_t spinner;
		for (int i = atoi(argv[2]); i > 0; i--)
			if (pthread_create(&spinner, 0, spin, (void *)&spins[0])) return 99;
		int late = 0;
		for (int i = 0; i < 100; i++) {
			double start = now(CLOCK_MONOTONIC);
			usleep(200);
			late += now(CLOCK_MONOTONIC) - start > 0.0004;
		}
		printf("%d\n", late);
		return 0;
	}
	if (!strcmp(argv[1], "turns")) {
		char byte;
		pthread_t other;
		if (read(0, &byte, 1) != 1 || pthread_create(&other, 0, spin, (void *)&spins[0])) return 99;
		double start = now(CLOCK_MONOTONIC);
		while (!spins[0] && now(CLOCK_MONOTONIC) - start < 1)
			;
		puts(spins[0] ? "both ran" : "the other waits");
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

// cpus goes to each CPU in turn, and tells how many there are by three ways to ask.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
	cpu_set_t all, one;
	int there = 0;
	sched_getaffinity(0, sizeof all, &all);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all)) continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof one, &one);
		there += sched_getcpu() == i;
	}
	printf("%d %ld %d\n", CPU_COUNT(&all), sysconf(_SC_NPROCESSORS_ONLN), there);
	return 0;
}

// asleep says hello and sleeps for an hour.
#include <stdio.h>
#include <time.h>

int main(void) {
	struct timespec hour = {3600, 0};
	puts("Hello from a microVM");
	fflush(stdout);
	return nanosleep(&hour, 0);
}

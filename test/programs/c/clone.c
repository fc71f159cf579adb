/* Writes random numbers for ever: what a copy of the machine shall not repeat. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

int main(void)
{
	uint64_t v;

	open("/dev/hwrng", O_RDONLY); /* the kernel looks for devices when it is asked for one */
	for (;;) {
		if (getrandom(&v, sizeof v, 0) != sizeof v)
			return 1;
		printf("random %016llx\n", (unsigned long long)v);
		fflush(stdout);
		usleep(20000);
	}
}

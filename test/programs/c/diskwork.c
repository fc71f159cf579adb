// diskwork DEVICE write SEED [die] writes to a disk in several ways. With die the program
// is killed then. diskwork DEVICE read reads it so, and tells what is there.
#define _GNU_SOURCE
#include <signal.h>
#include "diskwork.h"

int main(int argc, char **argv) {
	struct diskwork w = {.path = argv[1], .seed = argc > 3 ? atoi(argv[3]) : 0};
	diskwork(&w);
	printf("%llu bytes: %08x %08x %08x %08x\n", (unsigned long long)w.size, w.sums[0], w.sums[1], w.sums[2], w.sums[3]);
	fflush(stdout);
	if (argc > 4) kill(getpid(), SIGKILL);
	return 0;
}

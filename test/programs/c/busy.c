// Busy: computes, and has the kernel make pipes, for ever.
#include <unistd.h>

__attribute__((noinline)) static unsigned long hot(unsigned long n) {
	volatile unsigned long sum = 0;
	for (unsigned long i = 0; i < n; i++)
		sum += i ^ sum;
	return sum;
}

int main(void) {
	for (;;) {
		int fds[2];
		hot(20000);
		if (pipe(fds) != 0)
			return 1;
		close(fds[0]);
		close(fds[1]);
	}
}

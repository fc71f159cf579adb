// Standard output and standard error, in turns.
#include <unistd.h>

int main(void) {
	for (int i = 0; i < 5; i++) {
		write(1, "out 0\n", 6);
		write(2, "err 0\n", 6);
	}
	// What the console's framing must not take for its own.
	static const char odd[] = "\x10\x10.\x1b_abcdx7\x1b\\ \x1b\\ \x1b_ \0\xff\n";
	write(1, odd, sizeof odd - 1);
	write(2, odd, sizeof odd - 1);
	write(1, "\x1b", 1); // an escape at the very end
	return 0;
}

// What its standard descriptors are, the terminal's size, and what happens to
// it until a line "quit" comes in.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t winch, interrupt;
static void on(int s) { if (s == SIGWINCH) winch = 1; else interrupt = 1; }

static void size(void) {
	struct winsize w = {0};
	ioctl(0, TIOCGWINSZ, &w);
	printf("size %d %d\n", w.ws_row, w.ws_col);
}

int main(void) {
	struct sigaction a = {.sa_handler = on};
	sigaction(SIGWINCH, &a, 0);
	sigaction(SIGINT, &a, 0);
	printf("terminals %d %d %d\n", isatty(0), isatty(1), isatty(2));
	size();
	puts("ready");
	fflush(stdout);
	for (;;) {
		char line[100];
		ssize_t n = read(0, line, sizeof line);
		if (winch) { winch = 0; size(); }
		if (interrupt) { interrupt = 0; puts("interrupt"); }
		if (n == 0) { puts("end of input"); return 4; }
		if (n > 0 && !strncmp(line, "quit", 4)) return 3;
		if (n > 0) printf("line %.*s", (int)n, line);
		if (n < 0 && errno != EINTR) return 5;
		fflush(stdout);
	}
}

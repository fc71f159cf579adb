// Takes all memory there is.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void) {
	puts("eating");
	fflush(stdout);
	for (;;) {
		char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) return 1;
		memset(p, 1, 1 << 20);
	}
}

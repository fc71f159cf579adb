// memory MIB: how much memory the machine has, and a pattern through so much
// of it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

int main(int argc, char **argv) {
	struct sysinfo info;
	if (argc != 2 || sysinfo(&info)) return 99;
	printf("total %llu\n", (unsigned long long)info.totalram * info.mem_unit >> 20);
	size_t n = (size_t)atoi(argv[1]) << 20, step = 4096 / sizeof(uint64_t);
	uint64_t *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) return 1;
	for (size_t i = 0; i < n / sizeof *p; i += step) {
		if (p[i]) return 2;
		p[i] = i ^ 0x5555555555555555;
	}
	for (size_t i = 0; i < n / sizeof *p; i += step)
		if (p[i] != (i ^ 0x5555555555555555)) return 3;
	puts("sound");
	return 7;
}

// end exit N, end signal N: ends in that way.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc != 3) return 99;
	int n = atoi(argv[2]);
	printf("about to %s %d\n", argv[1], n);
	fflush(stdout);
	if (!strcmp(argv[1], "exit")) return n;
	if (!strcmp(argv[1], "_exit")) _exit(n);
	signal(n, SIG_DFL); // whoever started us may ignore some
	if (!strcmp(argv[1], "signal")) kill(getpid(), n);
	if (!strcmp(argv[1], "raise")) raise(n);
	if (!strcmp(argv[1], "null")) *(volatile int *)(long)n = 1;
	if (!strcmp(argv[1], "divide")) { volatile int zero = 0; n = n / zero; }
	if (!strcmp(argv[1], "ud2")) __asm__("ud2");
	if (!strcmp(argv[1], "hlt")) __asm__("hlt");
	if (!strcmp(argv[1], "int3")) __asm__("int3");
	if (!strcmp(argv[1], "call")) ((void (*)(void))(long)n)();
	puts("still here");
	return 98;
}

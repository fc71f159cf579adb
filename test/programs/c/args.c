// Prints what it was started with, a byte string a line, in brackets.
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv, char **envp) {
	char cwd[PATH_MAX];
	for (int i = 0; i < argc; i++) printf("arg %d [%s]\n", i, argv[i]);
	for (int i = 0; envp[i]; i++) printf("env %d [%s]\n", i, envp[i]);
	printf("cwd [%s]\n", getcwd(cwd, sizeof cwd) ? cwd : "?");
	return 0;
}

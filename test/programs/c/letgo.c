// letgo [file]: what the kernel kept for a program that has let go of it is there for other things: a third of
// what is free in sockets, which are closed, and then almost all of it in pages, or in those of a file.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { most = 1000 };

int main(int argc, char **argv) {
	static char data[4096];
	static int pairs[most][2];
	struct sysinfo info;
	if (sysinfo(&info)) return 99;
	unsigned long free = info.freeram * info.mem_unit, kept = 0;
	int n = 0;
	for (; kept < free / 3 && n < most; n++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[n])) return 1;
		for (ssize_t r; kept < free / 3 && (r = send(pairs[n][0], data, sizeof data, MSG_DONTWAIT)) > 0;) kept += r;
	}
	if (kept < free / 3) return 2;
	while (n--)
		if (close(pairs[n][0]) || close(pairs[n][1])) return 3;
	unsigned long size = free / 8 * 7;
	int fd = argc > 1 ? memfd_create("file", 0) : -1;
	if (fd >= 0) {
		for (unsigned long i = 0; i < size; i += sizeof data)
			if (write(fd, data, sizeof data) != sizeof data) return printf("%lu KiB of %lu: %m\n", i >> 10, size >> 10), 4;
	} else {
		char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) return 5;
		for (unsigned long i = 0; i < size; i += 4096) p[i] = 1;
	}
	puts("there");
	return 7;
}

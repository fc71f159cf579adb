// copy_file_range within one file, where ranges may overlap, and with what is
// not to be copied.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy(const char *what, int in, long long from, int out, long long to, size_t n, unsigned flags)
{
	off_t f = from, t = to;
	ssize_t k = copy_file_range(in, from == -100 ? NULL : &f, out, to == -100 ? NULL : &t, n, flags);
	printf("%-24s %zd %s, offsets %lld %lld\n", what, k, k < 0 ? strerror(errno) : "", (long long)f, (long long)t);
}

int main(void)
{
	char b[64] = { 0 };
	const int none = -100; // no offset: the file's own
	char name[] = "/tmp/copyrangeXXXXXX", name2[] = "/tmp/copyrangeXXXXXX";
	int f = mkstemp(name), g = mkstemp(name2);
	int again = open(name, O_RDWR), append = open(name, O_RDWR | O_APPEND);
	int only = open(name, O_RDONLY), write_only = open(name2, O_WRONLY), dir = open("/tmp", O_RDONLY), null = open("/dev/null", O_RDWR);
	write(f, "0123456789abcdefghij", 20);
	lseek(f, 0, SEEK_SET);
	copy("onto itself", f, none, f, none, 1000, 0);
	copy("overlapping", f, 0, f, 10, 11, 0);
	copy("overlapping, downwards", f, 10, f, 0, 1000, 0);
	copy("overlapping, two opens", f, 0, again, 5, 10, 0);
	copy("apart", f, 0, f, 10, 10, 0);
	copy("apart, to behind the end", f, 15, f, 25, 1000, 0);
	copy("nothing, onto itself", f, 0, f, 0, 0, 0);
	copy("from beyond the end", f, 40, f, 0, 10, 0);
	copy("another file", f, none, g, none, 7, 0);
	copy("its rest", f, none, g, none, 1000, 0);
	copy("its end", f, none, g, none, 1000, 0);
	copy("flags", f, 0, g, 0, 1, 2);
	copy("negative from", f, -5, g, 0, 3, 0);
	copy("negative to", f, 0, g, -5, 3, 0);
	copy("appending", f, 0, append, 0, 1, 0);
	copy("not to be read", write_only, 0, f, 0, 1, 0);
	copy("not to be written", f, 0, only, 0, 1, 0);
	copy("a directory", dir, 0, f, 0, 1, 0);
	copy("to a directory", f, 0, dir, 0, 1, 0);
	copy("a device", null, 0, f, 0, 1, 0);
	copy("to a device", f, none, null, none, 1, 0);
	copy("another file system", open("/dev/shm/copyrange", O_CREAT | O_TRUNC | O_RDWR, 0600), 0, f, 0, 1, 0);
	copy("closed", 77, 0, f, 0, 1, 0);
	copy("to a closed one", f, 0, 77, 0, 1, 0);
	ssize_t k = copy_file_range(f, (void *)8, g, NULL, 1, 0);
	printf("bad offset: %zd %s\n", k, strerror(errno));
	printf("[%.*s]", (int)pread(f, b, sizeof b, 0), b);
	printf(" [%.*s]\n", (int)pread(g, b, sizeof b, 0), b);
	unlink("/dev/shm/copyrange"), unlink(name), unlink(name2);
	return 0;
}

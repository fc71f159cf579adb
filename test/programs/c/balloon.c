// What a program sees of a machine's memory when the host wants some of it.
//   watch        says what there is, whenever that has changed
//   below N      waits until there is less than N MiB in all
//   use N FREE   touches N MiB once less than FREE is free, and says whether it could
//   release N    touches N MiB and gives them back
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long field(const char *name)
{
	char line[200];
	long n = -1;
	FILE *f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			n = atol(line + strlen(name)) >> 10;
	if (f)
		fclose(f);
	return n;
}

static char *touch(long mib)
{
	char *p = mmap(0, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < mib << 20; i += 4096)
		p[i] = i >> 12 | 1;
	return p;
}

int main(int argc, char **argv)
{
	long mib = argc > 2 ? atol(argv[2]) : 0, last = 0;

	setvbuf(stdout, 0, _IOLBF, 0);
	if (!strcmp(argv[1], "watch")) {
		for (;;) {
			long total = field("MemTotal:"), nfree = field("MemFree:");
			if (labs(total + nfree - last) > 1) {
				printf("total %ld free %ld\n", total, nfree);
				last = total + nfree;
			}
			usleep(20000);
		}
	} else if (!strcmp(argv[1], "below")) {
		while (field("MemTotal:") >= mib)
			usleep(20000);
		printf("smaller\n");
		return 0;
	} else if (!strcmp(argv[1], "use")) {
		printf("waiting\n");
		while (field("MemFree:") >= atol(argv[3]))
			usleep(20000);
		printf("using\n");
		char *p = touch(mib);
		for (long i = 0; i < mib << 20; i += 4096)
			if (p[i] != (char)(i >> 12 | 1)) {
				printf("lost at %ld\n", i);
				return 1;
			}
		printf("used\n");
		pause();
	} else {
		char *p = touch(mib);
		printf("touched\n");
		munmap(p, mib << 20);
		printf("released\n");
		pause();
	}
	return 0;
}

// Copies so many bytes of /dev/hwrng to the standard output, and says on the standard
// error what else there is to say of random numbers.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = atol(argv[1]);
	char *p = calloc(1, n), a[64] = {0}, b[64] = {0};
	struct stat st;

	int fd = open("/dev/hwrng", O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) {
		perror("/dev/hwrng");
		return 1;
	}
	if (!S_ISCHR(st.st_mode) || st.st_rdev != (10 << 8 | 183))
		fprintf(stderr, "mode %o, device %lx\n", st.st_mode, (long)st.st_rdev);
	if (open("/dev/hwrng", O_WRONLY) >= 0 || errno != EINVAL)
		fprintf(stderr, "it can be opened to be written: %s\n", strerror(errno));
	for (long i = 0; i < n;) {
		long k = read(fd, p + i, n - i < 300 ? n - i : 300);
		if (k <= 0) {
			perror("read");
			return 1;
		}
		i += k;
	}
	if (getrandom(a, sizeof a, 0) != sizeof a || getrandom(b, sizeof b, GRND_RANDOM) != sizeof b || !memcmp(a, b, sizeof a))
		fprintf(stderr, "no random numbers\n");
	fwrite(p, 1, n, stdout);
	return 0;
}

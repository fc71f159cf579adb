// The requests of ioctl that /dev/random and /dev/urandom know.
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void ask(int fd, const char *what, unsigned long req, void *arg)
{
	int r = ioctl(fd, req, arg);
	printf("%s: %d %s\n", what, r, r ? strerror(errno) : "");
}

int main(void)
{
	const char *names[] = { "/dev/random", "/dev/urandom" };
	for (int i = 0; i < 2; i++) {
		int fd = open(names[i], O_RDWR), n = -1, less = -5, more = 8;
		printf("%s\n", names[i]);
		ask(fd, "entropy", RNDGETENTCNT, &n);
		printf("%d bits\n", n);
		ask(fd, "entropy nowhere", RNDGETENTCNT, (void *)8);
		ask(fd, "more", RNDADDTOENTCNT, &more);
		struct { int bits, size; unsigned char bytes[4]; } pool = { 8, 4, "abc" };
		ask(fd, "bytes with entropy", RNDADDENTROPY, &pool);
		pool.bits = -1;
		ask(fd, "with less than none", RNDADDENTROPY, &pool);
		ask(fd, "less", RNDADDTOENTCNT, &less);
		ask(fd, "more from nowhere", RNDADDTOENTCNT, NULL);
		ask(fd, "zap", RNDZAPENTCNT, NULL);
		ask(fd, "clear", RNDCLEARPOOL, NULL);
		ask(fd, "terminal", 0x5401, &n);
		ask(fd, "bytes", FIONREAD, &n);
		close(fd);
	}
	return 0;
}

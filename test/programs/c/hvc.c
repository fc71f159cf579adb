// hvc: sends so many bytes back that come by the console device /dev/hvc0.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char buf[10000];

int main(int argc, char **argv) {
	int fd = open("/dev/hvc0", O_RDWR);
	struct winsize w;
	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &w)) {
		printf("/dev/hvc0: %s\n", strerror(errno));
		return 1;
	}
	printf("%d rows of %d\n", w.ws_row, w.ws_col);
	for (long left = atol(argv[1]); left > 0;) {
		struct pollfd p = {fd, POLLIN | POLLOUT};
		if (poll(&p, 1, -1) != 1 || !(p.revents & POLLOUT)) puts("no room");
		ssize_t n = read(fd, buf, sizeof buf);
		if (n <= 0 || write(fd, buf, n) != n) {
			printf("%s\n", strerror(errno));
			return 1;
		}
		left -= n;
	}
	puts("over");
	return 0;
}

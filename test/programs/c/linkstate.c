// linkstate: waits until eth0's cable is in, out, and in again, and says so.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <net/if.h>

static int holds(const char *file, const char *want) {
	char b[64] = "";
	int fd = open(file, O_RDONLY);
	ssize_t n = read(fd, b, sizeof b);
	close(fd);
	return n == (ssize_t)strlen(want) && memcmp(b, want, n) == 0;
}

int main(void) {
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 3; i++) {
		int in = i % 2 == 0;
		for (;; usleep(1000)) { // all must say the same, and the cable may move in between
			struct ifreq r = {0};
			strcpy(r.ifr_name, "eth0");
			if (ioctl(s, SIOCGIFFLAGS, &r)) {
				perror("SIOCGIFFLAGS");
				return 1;
			}
			if (!(r.ifr_flags & IFF_RUNNING) != in && holds("/sys/class/net/eth0/carrier", in ? "1\n" : "0\n") &&
			    holds("/sys/class/net/eth0/operstate", in ? "up\n" : "down\n"))
				break;
		}
		puts(in ? "in" : "out");
	}
	return 0;
}

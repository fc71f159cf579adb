// full KIB: a server that has taken all memory but so many KiB: what comes by a connection to port 85 is sent back.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void watch(int ep, int fd) {
	struct epoll_event e = {EPOLLIN, {.fd = fd}};
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) close(fd);
}

int main(int argc, char **argv) {
	int ep = epoll_create1(0), l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = {AF_INET, htons(85)};
	struct sysinfo info;
	static char buf[1 << 14];
	if (argc != 2 || bind(l, (void *)&a, sizeof a) || listen(l, 4096)) return 99;
	watch(ep, l);
	size_t most = 1 << 30, step = 4096;
	char *p = mmap(0, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || madvise(p, most, MADV_NOHUGEPAGE)) return 98;
	for (; !sysinfo(&info) && info.freeram * info.mem_unit >> 10 > atol(argv[1]); p += step) *p = 1;
	for (struct epoll_event e; epoll_wait(ep, &e, 1, -1) == 1;) {
		int fd = e.data.fd;
		ssize_t n;
		if (fd == l) {
			if ((fd = accept4(l, 0, 0, SOCK_NONBLOCK)) >= 0) watch(ep, fd);
			else usleep(10000); // others may end
		} else if ((n = read(fd, buf, sizeof buf)) <= 0 || write(fd, buf, n) != n) {
			close(fd);
		}
	}
	return 97;
}

// The init of a Linux guest with a web server: loads the drivers, as modules in the order
// of their names, sets the network up as QEMU's user network has it, and runs web.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules.h"

static void set(int s, int request, struct ifreq *r, const char *addr) {
	struct sockaddr_in *a = (struct sockaddr_in *)&r->ifr_addr;
	a->sin_family = AF_INET;
	inet_pton(AF_INET, addr, &a->sin_addr);
	if (ioctl(s, request, r)) perror(addr);
}

int main(int argc, char **argv) {
	load_modules();
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, 0);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 2; i++) {
		struct ifreq r = {0};
		strcpy(r.ifr_name, i ? "eth0" : "lo");
		set(s, SIOCSIFADDR, &r, i ? "10.0.2.15" : "127.0.0.1");
		set(s, SIOCSIFNETMASK, &r, i ? "255.255.255.0" : "255.0.0.0");
		r.ifr_flags = IFF_UP | IFF_RUNNING;
		if (ioctl(s, SIOCSIFFLAGS, &r)) perror(r.ifr_name);
	}
	if (fork() == 0) {
		execv("/web", argv);
		_exit(127);
	}
	wait(0);
	reboot(RB_AUTOBOOT);
	return 1;
}

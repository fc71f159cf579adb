// The init of a Linux guest that measures a disk: loads the drivers, as modules in
// the order of their names, and runs disk on the first one that appears, with its own arguments.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules.h"

int main(int argc, char **argv) {
	mkdir("/dev", 0755);
	mount("dev", "/dev", "devtmpfs", 0, 0);
	load_modules();
	const char *disk = 0;
	while (!disk) {
		disk = access("/dev/vda", F_OK) == 0 ? "/dev/vda" : access("/dev/sda", F_OK) == 0 ? "/dev/sda" : 0;
		usleep(10000);
	}
	if (fork() == 0) {
		execl("/disk", "disk", disk, argc > 1 ? argv[1] : 0, argc > 2 ? argv[2] : 0, (char *)0);
		_exit(127);
	}
	wait(0);
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}

// The init of a Linux guest that measures its sockets to the host: loads the drivers,
// as modules in the order of their names, and runs vsockpeer with its own arguments.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules.h"

int main(int argc, char **argv) {
	load_modules();
	if (fork() == 0) {
		execv("/vsockpeer", argv);
		_exit(127);
	}
	wait(0);
	reboot(RB_AUTOBOOT);
	return 1;
}

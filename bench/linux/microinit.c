// The init of a Linux guest that does nothing but measure: starts the CPUs that the kernel was told
// not to (maxcpus=1), gives the program the devices and the file system that it works on, runs it,
// and ends the VM. Arguments: the program.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// startCPUs starts the other CPUs. Where QEMU counts instructions it runs one CPU after the other, each
// until it pauses or the next timer is due, and if it was a timer the next CPU does not run at all
// (QEMU 7.2). Linux waits for a CPU that starts without a PAUSE, but lets other processes run: one that pauses.
static void startCPUs(void) {
	pid_t pauses = fork();
	if (pauses == 0)
		for (;;) {
			__builtin_ia32_pause();
			sched_yield();
		}
	for (int cpu = 1, fd;; cpu++, close(fd)) {
		char name[64];
		snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu%d/online", cpu);
		if ((fd = open(name, O_WRONLY)) < 0 || write(fd, "1", 1) != 1) break;
	}
	kill(pauses, SIGKILL);
	waitpid(pauses, 0, 0);
}

int main(int argc, char **argv) {
	(void)argc;
	mkdir("/dev", 0755), mkdir("/sys", 0755), mkdir("/tmp", 0777);
	mount("dev", "/dev", "devtmpfs", 0, 0);
	mount("sys", "/sys", "sysfs", 0, 0);
	mount("tmp", "/tmp", "tmpfs", 0, 0);
	startCPUs();
	pid_t program = fork();
	if (program == 0) {
		execv(argv[1], argv + 1);
		return 1;
	}
	waitpid(program, 0, 0);
	tcdrain(1);
	reboot(RB_AUTOBOOT);
	return 1;
}

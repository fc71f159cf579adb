// Makes calls that fail, with every flag there is.
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define call(...) syscall(__VA_ARGS__)

enum { all = ~0u, none = -1, here = -100 };

int main(void) {
	static const char *const bad = (char *)1;
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} sa = {(void *)1, 0xffffffff, 0, 0};
	struct {
		unsigned events;
		unsigned long data;
	} __attribute__((packed)) ev = {all, 0};
	struct pollfd p = {1, -1, 0};
	struct timespec zero = {0, 0};

	call(SYS_rt_sigaction, 70, &sa, 0, 8);
	call(SYS_openat, here, bad, 0x7ffffffc, 0);
	call(SYS_mremap, 1, 1, 1, all, 1);
	call(SYS_msync, 1, 1, all);
	call(SYS_epoll_ctl, none, 1, none, &ev);
	call(SYS_poll, &p, 1, 0);
	call(SYS_faccessat2, here, bad, 7, all);
	call(SYS_statx, here, bad, all, all, 0);
	call(SYS_splice, none, 0, none, 0, 1, all);
	call(SYS_renameat2, none, bad, none, bad, all);
	call(SYS_recvfrom, none, 0, 0, all, 0, 0);
	call(SYS_fallocate, none, all, 0, 0);
	call(SYS_close_range, 1, 0, all);
	call(SYS_mlockall, all);
	call(SYS_wait4, -2, 0, all, 0);
	call(SYS_waitid, 0, 0, 0, all, 0);
	call(SYS_eventfd2, 0, all);
	call(SYS_timerfd_create, 1, all);
	call(SYS_timerfd_settime, none, all, 0, 0);
	call(SYS_inotify_init1, all);
	call(SYS_inotify_add_watch, none, bad, all);
	call(SYS_signalfd4, none, 0, 8, all);
	call(SYS_getrandom, 0, 0, all);
	call(SYS_pipe2, 0, all);
	call(SYS_dup3, 1, 1, all);
	call(SYS_epoll_create1, all);
	call(SYS_preadv2, none, 0, 0, 0, 0, all);
	call(SYS_sync_file_range, none, 0, 0, all);
	call(SYS_flock, none, all);
	call(SYS_mlock2, 1, 0, all);
	call(SYS_clock_nanosleep, 0, all, 0, 0);
	call(SYS_timer_settime, 0, all, 0, 0);
	call(SYS_access, bad, all);
	call(SYS_unlinkat, here, bad, all);
	call(SYS_linkat, here, bad, here, bad, all);
	call(SYS_utimensat, here, bad, 0, all);
	call(SYS_newfstatat, here, bad, 0, all);
	call(SYS_fcntl, none, 4, all);
	call(SYS_fcntl, none, 2, all);
	call(SYS_fcntl, none, 1030, all);
	call(SYS_umask, 0);
	call(SYS_umask, 022);
	call(SYS_chmod, bad, 07777);
	call(SYS_mknod, bad, 0100644, 0);
	call(SYS_mknod, bad, 020644, 0x105);
	call(SYS_mkdir, bad, 01777);
	call(SYS_getrusage, 7, 0);
	call(SYS_prctl, 9999, 1, 2, 3, 4);
	call(SYS_prctl, 38, 1, 0, 0, 0);
	call(SYS_prctl, 23, 1, 0, 0, 0);
	call(SYS_prctl, 1, 9, 0, 0, 0);
	call(SYS_arch_prctl, 0x1003, 0);
	call(SYS_ioctl, none, 0x12345678, 1);
	call(SYS_ioctl, none, 0x5413, 1);
	call(SYS_sched_setscheduler, 0, 0, 0);
	call(SYS_setpriority, 5, 0, 0);
	call(SYS_ppoll, 0, 0, &zero, 0, 8);
	call(SYS_pselect6, 0, 0, 0, 0, &zero, 0);
	call(SYS_getcwd, 0, 0);
	call(SYS_tkill, 1, 99);
	call(SYS_kill, 0x7fffffff, 33);
	call(SYS_exit_group, 300);
}

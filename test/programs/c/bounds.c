// bounds: limits that bind a program without capabilities, personality(2), and a
// mapping that the kernel's own accesses make grow.
#include "tell.h"
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static void limit(int which, rlim_t n) {
	struct rlimit r = {n, n};
	if (setrlimit(which, &r)) puts("setrlimit failed");
}

static void *nothing(void *arg) { return 0; }

// What a mapping's rights are now: its line in /proc/self/maps begins with its address.
static void rights(const char *what, void *p) {
	char want[32], line[300];
	sprintf(want, "%lx-", (unsigned long)p);
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, want, strlen(want))) printf("%s: %.4s\n", what, strchr(line, ' ') + 1);
	fclose(f);
}

int main(void) {
	setbuf(stdout, 0);
	puts("-- a mapping that grows down");
	char *g = mmap((void *)0x200000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	int zero = open("/dev/zero", O_RDONLY);
	TELL(read(zero, g - 3 * 4096, 8192));
	TELL(g[-8192]);
	TELL(read(zero, g - (64L << 20), 4096));

	puts("-- personality");
	TELL(personality(0xffffffff));
	TELL(personality(READ_IMPLIES_EXEC));
	char *p = mmap((void *)0x300000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	rights("readable", p);
	mprotect(p, 4096, PROT_WRITE), rights("writable", p);
	mprotect(p, 4096, PROT_READ | PROT_WRITE), rights("both", p);
	struct utsname u;
	TELL(personality(PER_LINUX32 | UNAME26));
	uname(&u);
	printf("%s %.4s\n", u.machine, u.release);
	TELL(personality(0));
	uname(&u);
	printf("%s\n", u.machine);

	puts("-- with capabilities");
	limit(RLIMIT_MEMLOCK, 16384), limit(RLIMIT_NPROC, 1);
	p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TELL(mlock(p, 65536));
	TELL(munlock(p, 65536));
	pthread_t t;
	printf("thread %d\n", pthread_create(&t, 0, nothing, 0));
	pthread_join(t, 0);
	puts("-- without");
	TELL(syscall(SYS_setresuid, 54321, 54321, 54321));
	TELL(mlock(p, 16384));
	TELL(mlock(p, 16384));
	TELL(mlock(p + 8192, 16384));
	TELL(mlock(p + 65536, 4096));
	TELL(mlockall(MCL_CURRENT));
	TELLP(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
	TELLP(mremap(p, 4096, 16384, MREMAP_MAYMOVE));
	TELL(munlock(p, 16384));
	TELLP(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
	TELL(mlockall(MCL_FUTURE));
	TELLP(mmap(0, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	TELL(munlockall());
	printf("thread %d\n", pthread_create(&t, 0, nothing, 0));
	struct sched_param sp = {5};
	TELL(sched_setscheduler(0, SCHED_FIFO, &sp));
	sp.sched_priority = 6;
	TELL(sched_setscheduler(0, SCHED_FIFO, &sp));
	sp.sched_priority = 1;
	TELL(sched_setscheduler(0, SCHED_RR, &sp));
	sp.sched_priority = 0;
	TELL(sched_setscheduler(0, SCHED_OTHER, &sp));
	TELL(setpriority(PRIO_PROCESS, 0, 10));
	TELL(setpriority(PRIO_PROCESS, 0, 5));
	TELL(setpriority(PRIO_PROCESS, 0, 4));
	limit(RLIMIT_MEMLOCK, 0);
	TELL(mlock(p, 4096));
	TELL(mlockall(MCL_FUTURE));
	TELLP(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
	return 0;
}

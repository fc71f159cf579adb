// What one thread of a test program waits for before it goes on: not a time, which another may need more of on a
// busy machine.
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

// own_tid is the caller's id, to be told to others.
static inline int own_tid(void) { return syscall(SYS_gettid); }

// await_asleep waits until a thread of this process, which has told its id, waits in the kernel.
static inline void await_asleep(const volatile int *tid) {
	for (char state = 0; state != 'S'; usleep(1000)) {
		char name[64];
		FILE *f = 0;
		if (*tid) {
			snprintf(name, sizeof name, "/proc/self/task/%d/stat", *tid);
			f = fopen(name, "r");
		}
		if (!f || fscanf(f, "%*d %*s %c", &state) != 1) state = 0;
		if (f) fclose(f);
	}
}

// wakeup: a thread that has the only CPU wakes another, which shall run before the call returns. Mostly: it
// may be its turn anyway to be the second.
#include "tell.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>

#define TIMES 40
static atomic_int word, seen;
static int fds[2], event;

static void *sleeper(void *how) {
	char c;
	uint64_t n;
	for (int i = 0; i < TIMES; i++) {
		switch (*(char *)how) {
		case 'f':
			syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, i, 0, 0, 0);
			break;
		case 'p':
			read(fds[0], &c, 1);
			break;
		case 'e':
			read(event, &n, 8);
		}
		seen++;
	}
	return 0;
}

static long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void try(const char *how) {
	pthread_t t;
	uint64_t one = 1;
	int soon = 0;
	word = seen = 0;
	pthread_create(&t, 0, sleeper, (void *)how);
	usleep(1000); // it sleeps
	for (int i = 0; i < TIMES; i++) {
		for (long start = now(); now() - start < 3000;);
		int before = seen;
		switch (*how) {
		case 'f':
			word++;
			syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
			break;
		case 'p':
			write(fds[1], "x", 1);
			break;
		case 'e':
			write(event, &one, 8);
		}
		soon += seen > before;
	}
	pthread_join(t, 0);
	printf("%s: %s\n", how, soon > TIMES / 2 ? "at once" : "later");
}

int main(void) {
	pipe(fds);
	event = eventfd(0, EFD_SEMAPHORE);
	sleep(1); // the first turn is long
	try("futex");
	try("pipe");
	try("eventfd");
	return 0;
}

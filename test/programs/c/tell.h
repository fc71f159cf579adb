// What the test programs tell of calls and faults: the same text on every
// machine and kernel that does the same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Prints what a call returned, and errno if that is -1.
#define TELL(call) tell(#call, (long)(call))
// The same of a call that returns an address: only whether it did.
#define TELLP(call) tellp(#call, (void *)(call))

static inline long tell(const char *what, long v) {
	if (v == -1) printf("%s: %s\n", what, strerrorname_np(errno));
	else printf("%s: %ld\n", what, v);
	fflush(stdout);
	return v;
}

static inline void *tellp(const char *what, void *p) {
	if (p == MAP_FAILED) printf("%s: %s\n", what, strerrorname_np(errno));
	else printf("%s: ok\n", what);
	fflush(stdout);
	return p;
}

// Faults: ATTEMPT(statement) prints which signal it brought, if any, with its
// code and where its address is, seen from base.
static sigjmp_buf fault_jump;
static siginfo_t fault_info;

static void fault_handler(int sig, siginfo_t *info, void *uc) {
	(void)sig, (void)uc;
	fault_info = *info;
	siglongjmp(fault_jump, 1);
}

static inline void catch_faults(void) {
	struct sigaction sa = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++) sigaction(sigs[i], &sa, 0);
}

#define ATTEMPT(base, statement) \
	do { \
		if (sigsetjmp(fault_jump, 1) == 0) { \
			statement; \
			printf("%s: fine\n", #statement); \
		} else \
			printf("%s: %s code %d address %#lx\n", #statement, sigabbrev_np(fault_info.si_signo), fault_info.si_code, \
				(unsigned long)((char *)fault_info.si_addr - (char *)(base))); \
		fflush(stdout); \
	} while (0)

// faults [sse]: the signals that a program brings upon itself, what its handlers are
// told, and what they can change.
#include "tell.h"
#include <cpuid.h>
#include <fenv.h>
#include <immintrin.h>
#include <pthread.h>
#include <ucontext.h>

static int avx, sse; // whether to try them: QEMU without KVM raises no SSE exceptions
static siginfo_t got;
static ucontext_t context;
static volatile int skip; // bytes to go on behind

static void handler(int sig, siginfo_t *info, void *ucv) {
	(void)sig;
	ucontext_t *uc = ucv;
	got = *info;
	memcpy(&context, uc, sizeof context);
	if (skip < 0) siglongjmp(fault_jump, 1);
	uc->uc_mcontext.gregs[REG_RIP] += skip;
	uc->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
	if (skip == 0 && sig == SIGFPE) siglongjmp(fault_jump, 1);
}

// What is told of a fault whose address is that of the instruction if ip is 1;
// QEMU has an error code of its own making if it is -1.
static void told(const char *what, int ip) {
	long at = (long)got.si_addr;
	if (ip > 0) at -= context.uc_mcontext.gregs[REG_RIP];
	if (ip < 0) context.uc_mcontext.gregs[REG_ERR] = ip = 0;
	printf("%s: %s code %d address %s%#lx trap %lld error %#llx\n", what, sigabbrev_np(got.si_signo), got.si_code, ip ? "IP+" : "", at,
		context.uc_mcontext.gregs[REG_TRAPNO], context.uc_mcontext.gregs[REG_ERR]);
}

#define FAULT(length, ip, code) \
	do { \
		memset(&got, 0, sizeof got); \
		skip = length; \
		if (sigsetjmp(fault_jump, 1) == 0) { code; } \
		told(#code, ip); \
	} while (0)

static void instructions(void) {
	puts("-- instructions");
	FAULT(2, 1, asm volatile("ud2"));
	FAULT(1, 0, asm volatile("hlt"));
	FAULT(1, 0, asm volatile("cli"));
	FAULT(0, 0, asm volatile("int3"));
	FAULT(3, 0, asm volatile("mov %%cr3, %%rax" ::: "rax"));
	FAULT(2, 0, asm volatile("rdmsr" ::"c"(0x10) : "rax", "rdx"));
	FAULT(2, 0, asm volatile("in $0x60, %%al" ::: "rax"));
	FAULT(1, 0, asm volatile("outb %%al, %%dx" ::"a"(0), "d"(0x80)));
	FAULT(2, -1, asm volatile("int $0x20"));
	FAULT(2, -1, asm volatile("int $14"));
	FAULT(2, 0, asm volatile("wbinvd"));
	FAULT(2, 0, asm volatile("mov %%ax, %%ss" ::"a"(0x1234)));
	FAULT(2, 0, asm volatile("mov %%ax, %%ss" ::"a"(0x18)));
	FAULT(2, 0, asm volatile("mov %%ax, %%ds" ::"a"(0x4321)));
	FAULT(2, 0, asm volatile("mov %%ax, %%ds" ::"a"(0x38)));
	FAULT(-1, 0, asm volatile("jmp *%0" ::"r"(0x8000000000000000)));
	FAULT(-1, 0, asm volatile("call *%0" ::"r"(0x123456L)));
	FAULT(3, 0, asm volatile("mov (%%rax), %%rbx" ::"a"(0x8000000000000000) : "rbx"));
	FAULT(2, 0, asm volatile("mov (%%rax), %%ebx" ::"a"(16) : "rbx"));
	FAULT(2, 0, asm volatile("mov %%ebx, (%%rax)" ::"a"(16) : "rbx"));
	FAULT(4, 0, asm volatile("movaps (%%rsp, %0), %%xmm0" ::"r"(1L) : "xmm0"));
	FAULT(0, 0, asm volatile("pushf; orl $0x100, (%%rsp); popf; nop; nop" ::: "memory", "cc"));
}

static volatile double zero = 0, one = 1, big = 1e308, tiny = 1e-308;
static volatile int izero = 0, least = -2147483647 - 1, minus = -1;
static volatile long double lzero = 0, lone = 1;
static volatile double sink;

static void arithmetic(void) {
	puts("-- arithmetic");
	FAULT(-1, 1, izero = minus / izero);
	izero = 0;
	FAULT(-1, 1, sink = least / minus);
	FAULT(-1, 1, sink = least % minus);
	static const struct {
		const char *what;
		int flag;
	} kinds[] = {{"invalid", FE_INVALID}, {"zero", FE_DIVBYZERO}, {"overflow", FE_OVERFLOW}, {"underflow", FE_UNDERFLOW}, {"inexact", FE_INEXACT}};
	for (int i = 0; i < 5; i++) {
		puts(kinds[i].what);
		for (int x87 = !sse; x87 < 2; x87++) {
			unsigned mxcsr = 0x1f80;
			unsigned short control = 0x37f;
			if (x87) control &= ~kinds[i].flag;
			else mxcsr &= ~(kinds[i].flag << 7);
			memset(&got, 0, sizeof got);
			skip = -1;
			if (sigsetjmp(fault_jump, 1) == 0) {
				asm volatile("ldmxcsr %0; fninit; fldcw %1" ::"m"(mxcsr), "m"(control));
				if (x87) {
					switch (i) {
					case 0: asm volatile("fldz; fldz; fdivp; fwait"); break;
					case 1: asm volatile("fldz; fld1; fdivp; fwait"); break;
					case 2: asm volatile("fldl %0; fmull %0; fstpl %1; fwait" : : "m"(big), "m"(sink)); break;
					case 3: asm volatile("fldl %0; fmull %0; fstpl %1; fwait" : : "m"(tiny), "m"(sink)); break;
					case 4: asm volatile("fld1; fldpi; fdivrp; fwait"); break;
					}
				} else {
					switch (i) {
					case 0: sink = zero / zero; break;
					case 1: sink = one / zero; break;
					case 2: sink = big * big; break;
					case 3: sink = tiny * tiny; break;
					case 4: sink = one / 3; break;
					}
				}
			}
			printf("%s: %s code %d trap %lld\n", x87 ? "x87" : "SSE", got.si_signo ? sigabbrev_np(got.si_signo) : "none", got.si_code, got.si_signo ? context.uc_mcontext.gregs[REG_TRAPNO] : 0);
			asm volatile("fninit");
			mxcsr = 0x1f80;
			asm volatile("ldmxcsr %0" ::"m"(mxcsr));
		}
	}
	printf("%f\n", (double)(lone / 4 + lzero));
}

// A handler that clobbers all registers there are for numbers, and one that
// changes them in its context.
__attribute__((target("avx"))) static void fill_avx(unsigned char c) {
	unsigned char b[32];
	memset(b, c, 32);
	asm volatile("vmovdqu %0, %%ymm0; vmovdqu %0, %%ymm7; vmovdqu %0, %%ymm15" ::"m"(b) : "xmm0", "xmm7", "xmm15");
}
static void clobber(int sig, siginfo_t *info, void *uc) {
	(void)sig, (void)info, (void)uc;
	unsigned mxcsr = 0x5f80;
	asm volatile("fninit; fldpi; fldpi; fldpi; ldmxcsr %0" ::"m"(mxcsr));
	asm volatile("pcmpeqb %%xmm0, %%xmm0; movaps %%xmm0, %%xmm7; movaps %%xmm0, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
	if (avx) fill_avx(0xee);
}

__attribute__((target("avx"))) static void preserved(void) {
	puts("-- numbers");
	signal(SIGUSR1, (void (*)(int))clobber);
	unsigned mxcsr = 0x3f80, after;
	unsigned char in[32], out[3][32];
	for (int i = 0; i < 32; i++) in[i] = (unsigned char)(i + 1);
	double x;
	long tid = getpid(), r;
	memset(out, 0, sizeof out);
	if (avx)
		asm volatile("ldmxcsr %[m]; fninit; fldl %[one]; vmovdqu %[in], %%ymm0; vmovdqu %[in], %%ymm7; vmovdqu %[in], %%ymm15; syscall;"
					 "vmovdqu %%ymm0, %[o0]; vmovdqu %%ymm7, %[o1]; vmovdqu %%ymm15, %[o2]; stmxcsr %[a]; fstpl %[x]"
			: [o0] "=m"(out[0]), [o1] "=m"(out[1]), [o2] "=m"(out[2]), [a] "=m"(after), [x] "=m"(x), "=a"(r)
			: [m] "m"(mxcsr), [in] "m"(in), [one] "m"(one), "a"(SYS_tkill), "D"(tid), "S"(SIGUSR1)
			: "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
	else
		asm volatile("ldmxcsr %[m]; fninit; fldl %[one]; movdqu %[in], %%xmm0; movdqu %[in], %%xmm7; movdqu %[in], %%xmm15; syscall;"
					 "movdqu %%xmm0, %[o0]; movdqu %%xmm7, %[o1]; movdqu %%xmm15, %[o2]; stmxcsr %[a]; fstpl %[x]"
			: [o0] "=m"(out[0]), [o1] "=m"(out[1]), [o2] "=m"(out[2]), [a] "=m"(after), [x] "=m"(x), "=a"(r)
			: [m] "m"(mxcsr), [in] "m"(in), [one] "m"(one), "a"(SYS_tkill), "D"(tid), "S"(SIGUSR1)
			: "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
	int n = avx ? 32 : 16;
	printf("kept: %d %d %d, MXCSR %d, x87 %f\n", !memcmp(out[0], in, n), !memcmp(out[1], in, n), !memcmp(out[2], in, n), after == mxcsr, x);
	mxcsr = 0x1f80;
	asm volatile("ldmxcsr %0; fninit" ::"m"(mxcsr));
}

static void change(int sig, siginfo_t *info, void *ucv) {
	(void)sig, (void)info;
	ucontext_t *uc = ucv;
	struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
	fp->_xmm[3].element[0] = 0x33333333;
	fp->mxcsr = 0x1f80 | 0x6000;
	unsigned char *b = (unsigned char *)fp;
	if (avx) { // the upper halves of YMM registers, and that they are in use
		uint64_t *bv = (uint64_t *)(b + 512);
		if (!(*bv & 4)) memset(b + 576, 0, 256);
		*bv |= 4;
		memset(b + 576 + 3 * 16, 0x44, 16);
	}
	uc->uc_mcontext.gregs[REG_R12] = 1212;
	uc->uc_mcontext.gregs[REG_RBX] = 77;
	sigaddset(&uc->uc_sigmask, SIGUSR2);
	uint32_t *sw = (uint32_t *)(b + 464);
	printf("FP state: magic %x, end %x, features in header %d\n", sw[0], *(uint32_t *)(b + sw[4]), (*(uint64_t *)(sw + 2) & 7) == 7);
	printf("flags %lx\n", uc->uc_flags);
	printf("segments %llx\n", uc->uc_mcontext.gregs[REG_CSGSFS]);
}

__attribute__((target("avx"))) static void changed(void) {
	puts("-- changed");
	struct sigaction sa = {.sa_sigaction = change, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, 0);
	unsigned char out[32] = {0};
	unsigned mxcsr;
	long tid = getpid(), r12, rbx;
	if (avx)
		asm volatile("vzeroall; syscall; vmovdqu %%ymm3, %[o]; stmxcsr %[m]; mov %%r12, %[r]; mov %%rbx, %[b]"
			: [o] "=m"(out), [m] "=m"(mxcsr), [r] "=m"(r12), [b] "=m"(rbx)
			: "a"(SYS_tkill), "D"(tid), "S"(SIGUSR1)
			: "rcx", "r11", "r12", "rbx", "memory", "xmm3");
	else
		asm volatile("syscall; movdqu %%xmm3, %[o]; stmxcsr %[m]; mov %%r12, %[r]; mov %%rbx, %[b]"
			: [o] "=m"(out), [m] "=m"(mxcsr), [r] "=m"(r12), [b] "=m"(rbx)
			: "a"(SYS_tkill), "D"(tid), "S"(SIGUSR1)
			: "rcx", "r11", "r12", "rbx", "memory", "xmm3");
	sigset_t s;
	sigprocmask(0, 0, &s);
	printf("xmm %x, ymm %d, mxcsr %x, r12 %ld, rbx %ld, mask %d\n", *(int *)out, !avx || out[16] == 0x44, mxcsr, r12, rbx, sigismember(&s, SIGUSR2));
	mxcsr = 0x1f80;
	asm volatile("ldmxcsr %0" ::"m"(mxcsr));
}

// Frames that no sigreturn can follow.
static int way;
static void spoil(int sig, siginfo_t *info, void *ucv) {
	(void)sig, (void)info;
	ucontext_t *uc = ucv;
	switch (way) {
	case 0: uc->uc_mcontext.gregs[REG_RIP] = 0x8000000000000000; break;
	case 1: uc->uc_mcontext.fpregs = (void *)8; break;
	case 2: uc->uc_mcontext.gregs[REG_CSGSFS] = 0; break;
	case 3: ((uint32_t *)uc->uc_mcontext.fpregs)[6] = 0xffffffff; break; // MXCSR
	case 4: uc->uc_mcontext.fpregs = 0; break;
	case 5: uc->uc_mcontext.gregs[REG_EFL] |= 0x23000; break; // IOPL, VM
	}
}
static void bad_frames(void) {
	puts("-- bad frames");
	struct sigaction sa = {.sa_sigaction = spoil, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, 0);
	for (way = 0; way < 6; way++) {
		skip = -1;
		memset(&got, 0, sizeof got);
		if (sigsetjmp(fault_jump, 1) == 0) raise(SIGUSR1);
		printf("%d: %s", way, got.si_signo ? sigabbrev_np(got.si_signo) : "none");
		if (way == 0 && got.si_signo) printf(" at %llx", context.uc_mcontext.gregs[REG_RIP]);
		puts("");
	}
}

// A handler that cannot be one.
static void bad_handler(void) {
	puts("-- bad handlers");
	static const unsigned long at[] = {0x8000000000000000, 0x800000000000, 0xffffffff80000000, 16};
	for (int i = 0; i < 4; i++) {
		signal(SIGUSR1, (void (*)(int))at[i]);
		skip = -1;
		memset(&got, 0, sizeof got);
		if (sigsetjmp(fault_jump, 1) == 0) raise(SIGUSR1);
		told("handler", 0);
		printf("IP %llx\n", context.uc_mcontext.gregs[REG_RIP]);
	}
}

// No room for a frame.
static char small[8192];
static void overflow_handler(int sig, siginfo_t *info, void *uc) {
	(void)uc;
	printf("overflow: %s code %d\n", sigabbrev_np(sig), info->si_code);
	siglongjmp(fault_jump, 1);
}
static volatile long depth;
#pragma GCC diagnostic ignored "-Winfinite-recursion"
static long recurse(volatile char *p) {
	volatile char b[1000];
	b[0] = p ? p[0] : 1;
	depth++;
	return recurse(b) + b[0];
}
static void overflow(void) {
	puts("-- stack overflow");
	stack_t st = {.ss_sp = small, .ss_size = sizeof small};
	sigaltstack(&st, 0);
	struct sigaction sa = {.sa_sigaction = overflow_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaction(SIGSEGV, &sa, 0);
	for (int i = 0; i < 3; i++) {
		depth = 0;
		if (sigsetjmp(fault_jump, 1) == 0) recurse(0);
		printf("deep: %d\n", depth > 7000 && depth < 9000);
	}
}

// Out of handlers by longjmp, again and again.
static void jumps(void) {
	puts("-- longjmp");
	skip = -1;
	int n = 0;
	for (int i = 0; i < 20000; i++) {
		if (sigsetjmp(fault_jump, 1) == 0) {
			if (i % 2) *(volatile int *)16 = 1;
			else asm volatile("ud2");
		} else
			n++;
	}
	printf("%d\n", n);
}

int main(int argc, char **argv) {
	(void)argv;
	setvbuf(stdout, 0, _IOLBF, 0);
	__builtin_cpu_init();
	avx = __builtin_cpu_supports("avx");
	sse = argc > 1;
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	for (int i = 0; i < 5; i++) sigaction(sigs[i], &sa, 0);
	instructions();
	arithmetic();
	preserved();
	changed();
	bad_frames();
	bad_handler();
	jumps();
	overflow();
}

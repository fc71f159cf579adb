/*
 * The vDSO (man 7 vdso): what the application calls instead of the kernel to
 * know the time. It reads the clock page, which lies in the page before it and
 * is clockPage in ../vdso.go. What that does not tell, only the kernel knows.
 */
typedef unsigned long u64;

struct timespec {
	long sec, nsec;
};
struct timeval {
	long sec, usec;
};

extern const volatile struct {
	u64 tsc0;		/* the TSC at boot */
	u64 mult;		/* ns a tick, << 32 */
	u64 boot, wall;		/* what the two kinds of clocks showed then, in ns; 0: ask the kernel */
} clock_page __attribute__((visibility("hidden")));

#define NS 1000000000ul

/* Clocks by kind and, of both, those with a coarse resolution (clock_gettime(2)), as bit sets. */
enum {
	WALL = 1 << 0 | 1 << 5 | 1 << 11,
	BOOT = 1 << 1 | 1 << 4 | 1 << 6 | 1 << 7,
	COARSE = 1 << 5 | 1 << 6,
	COARSE_TICK = 4000000,	/* coarseTick in kernel/linux/time.go */
};

enum { GETTIMEOFDAY = 96, TIME = 201, CLOCK_GETTIME = 228, CLOCK_GETRES = 229 };

static inline long kernel(long nr, long a, void *b)
{
	long r;
	asm volatile("syscall" : "=a"(r) : "0"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return r;
}

static inline u64 since(u64 zero)
{
	unsigned lo, hi;
	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	u64 ticks = (u64)hi << 32 | lo;
	return zero + (u64)((unsigned __int128)(ticks - clock_page.tsc0) * clock_page.mult >> 32);
}

int __vdso_clock_gettime(unsigned id, struct timespec *ts)
{
	unsigned kind = id < 32 ? 1u << id : 0;
	u64 zero = 0;
	if (kind & BOOT)
		zero = clock_page.boot;
	else if (kind & WALL)
		zero = clock_page.wall;
	if (!zero)
		return kernel(CLOCK_GETTIME, id, ts);
	u64 ns = since(zero);
	ts->sec = ns / NS;
	ts->nsec = ns % NS;
	return 0;
}

int __vdso_clock_getres(unsigned id, struct timespec *ts)
{
	unsigned kind = id < 32 ? 1u << id : 0;
	if (!(kind & (BOOT | WALL)))
		return kernel(CLOCK_GETRES, id, ts);
	if (ts) {
		ts->sec = 0;
		ts->nsec = kind & COARSE ? COARSE_TICK : 1;
	}
	return 0;
}

int __vdso_gettimeofday(struct timeval *tv, int *zone)
{
	u64 zero = clock_page.wall;
	if (!zero)
		return kernel(GETTIMEOFDAY, (long)tv, zone);
	if (tv) {
		u64 ns = since(zero);
		tv->sec = ns / NS;
		tv->usec = ns % NS / 1000;
	}
	if (zone)
		zone[0] = zone[1] = 0;
	return 0;
}

long __vdso_time(long *t)
{
	u64 zero = clock_page.wall;
	if (!zero)
		return kernel(TIME, (long)t, 0);
	long now = since(zero) / NS;
	if (t)
		*t = now;
	return now;
}

/* The limit of a segment of every CPU's GDT is its number; there is one memory node. */
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	unsigned limit;
	asm volatile("lsl %1, %0" : "=r"(limit) : "r"(0x4b));
	if (cpu)
		*cpu = limit;
	if (node)
		*node = 0;
	return 0;
}

/* C libraries take the kernel's version from here: 6.1, as uname(2) says. */
static const struct {
	unsigned name_size, size, type;
	char name[8];
	unsigned version;
} note __attribute__((section(".note"), aligned(4), used)) = { 6, 4, 0, "Linux", 6 << 16 | 1 << 8 };

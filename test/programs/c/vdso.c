// vdso: the functions of the vDSO beside the system calls that they stand for, and
// clocks that threads read in turn. vdso set: what a set clock shows.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *base;

// find looks a function up as a dynamic linker does.
static void *find(const char *name) {
	const Elf64_Ehdr *e = (void *)base;
	const Elf64_Phdr *p = (void *)(base + e->e_phoff);
	const Elf64_Dyn *d = 0;
	const char *load = 0;
	for (int i = 0; i < e->e_phnum; i++) {
		if (p[i].p_type == PT_LOAD && !load) load = base + p[i].p_offset - p[i].p_vaddr;
		if (p[i].p_type == PT_DYNAMIC) d = (void *)(base + p[i].p_offset);
	}
	const Elf64_Sym *sym = 0;
	const char *str = 0;
	const uint16_t *versions = 0;
	const Elf64_Verdef *def = 0;
	const Elf64_Shdr *s = (void *)(base + e->e_shoff);
	size_t n = 0;
	for (; d->d_tag != DT_NULL; d++)
		switch (d->d_tag) {
		case DT_SYMTAB: sym = (void *)(load + d->d_un.d_ptr); break;
		case DT_STRTAB: str = load + d->d_un.d_ptr; break;
		case DT_VERSYM: versions = (void *)(load + d->d_un.d_ptr); break;
		case DT_VERDEF: def = (void *)(load + d->d_un.d_ptr); break;
		}
	for (int i = 0; i < e->e_shnum; i++)
		if (s[i].sh_type == SHT_DYNSYM) n = s[i].sh_size / sizeof *sym;
	int version = 0;
	for (;; def = (void *)((char *)def + def->vd_next)) {
		const Elf64_Verdaux *a = (void *)((char *)def + def->vd_aux);
		if (!(def->vd_flags & VER_FLG_BASE) && !strcmp(str + a->vda_name, "LINUX_2.6")) version = def->vd_ndx;
		if (!def->vd_next) break;
	}
	for (size_t i = 1; i < n; i++)
		if (!strcmp(str + sym[i].st_name, name) && (versions[i] & 0x7fff) == version) return (void *)(load + sym[i].st_value);
	return 0;
}

static int (*gettime)(clockid_t, struct timespec *), (*getres)(clockid_t, struct timespec *), (*timeofday)(struct timeval *, struct timezone *);
static time_t (*seconds)(time_t *);
static int (*cpu)(unsigned *, unsigned *, void *);

static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static void clocks(void) {
	for (int id = -1; id < 16; id++) {
		struct timespec a, v, b, r = {7, 7}, s = {7, 7};
		int bad = 0, e = 0, f = 0;
		for (int i = 0; i < 100; i++) {
			f = syscall(SYS_clock_gettime, id, &a) ? -errno : 0;
			e = gettime(id, &v);
			syscall(SYS_clock_gettime, id, &b);
			bad += e != f || (!e && (ns(v) < ns(a) || ns(v) > ns(b) || v.tv_nsec < 0 || v.tv_nsec > 999999999));
		}
		int re = getres(id, &r), rf = syscall(SYS_clock_getres, id, &s) ? -errno : 0;
		int null = getres(id, 0);
		printf("clock %d: %d, %d bad, resolution %d %d %s\n", id, e, bad, re, null, re == rf && r.tv_sec == s.tv_sec && r.tv_nsec == s.tv_nsec ? "same" : "differs");
	}
	struct timeval a, v, b;
	struct timezone z = {77, 77};
	int bad = 0;
	for (int i = 0; i < 100; i++) {
		syscall(SYS_gettimeofday, &a, 0);
		int e = timeofday(&v, &z);
		syscall(SYS_gettimeofday, &b, 0);
		bad += e || timercmp(&v, &a, <) || timercmp(&v, &b, >) || v.tv_usec > 999999;
	}
	time_t t0 = time(0) - 1, t1 = 0, t = seconds(&t1); // time(2) may be a tick late
	struct timespec now;
	gettime(CLOCK_REALTIME, &now);
	printf("gettimeofday: %d bad, zone %d %d, %d %d; time: %d %d\n", bad, z.tz_minuteswest, z.tz_dsttime, timeofday(0, 0), timeofday(0, &z), t == t1, t >= t0 && t <= now.tv_sec && seconds(0) >= t);
	unsigned c = 99, n = 99;
	int e = cpu(&c, &n, 0);
	printf("getcpu: %d, cpu %d, node %u, %d\n", e, c < sysconf(_SC_NPROCESSORS_CONF), n, cpu(0, 0, 0));
}

// Threads that hand each other the latest time that anyone has seen.
static long long last[2];
static int backwards;

static void *watch(void *arg) {
	for (int i = 0; i < 20000; i++) {
		int k = i & 1;
		long long seen = __atomic_load_n(&last[k], __ATOMIC_SEQ_CST);
		struct timespec t;
		if (i % 16 > 1) gettime(k ? CLOCK_MONOTONIC : CLOCK_REALTIME, &t);
		else syscall(SYS_clock_gettime, k ? CLOCK_MONOTONIC : CLOCK_REALTIME, &t);
		if (ns(t) < seen) __atomic_add_fetch(&backwards, 1, __ATOMIC_SEQ_CST);
		while (seen < ns(t) && !__atomic_compare_exchange_n(&last[k], &seen, ns(t), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
		if (i % 1000 == 0) sched_yield();
	}
	return arg;
}

static void set(void) {
	struct timespec before, t = {2000000000, 5}, after, m0, m1;
	gettime(CLOCK_REALTIME, &before);
	gettime(CLOCK_MONOTONIC, &m0);
	int e = syscall(SYS_clock_settime, CLOCK_REALTIME, &t);
	gettime(CLOCK_REALTIME, &after);
	gettime(CLOCK_MONOTONIC, &m1);
	printf("clock_settime %d: %ld, monotonic %d\n", e, after.tv_sec, ns(m1) >= ns(m0) && m1.tv_sec - m0.tv_sec < 60);
	struct timeval v = {1500000000, 5};
	e = syscall(SYS_settimeofday, &v, 0);
	timeofday(&v, 0);
	printf("settimeofday %d: %ld %ld\n", e, (long)v.tv_sec, (long)seconds(0));
}

int main(int argc, char **argv) {
	base = (void *)getauxval(AT_SYSINFO_EHDR);
	if (!base || memcmp(base, ELFMAG, SELFMAG)) return 99;
	gettime = find("__vdso_clock_gettime");
	getres = find("__vdso_clock_getres");
	timeofday = find("__vdso_gettimeofday");
	seconds = find("__vdso_time");
	cpu = find("__vdso_getcpu");
	if (!gettime || !getres || !timeofday || !seconds || !cpu) return 99;
	if (argc > 1) {
		set();
		return 0;
	}
	clocks();

	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps)) {
		unsigned long lo, hi;
		char rights[8], name[64] = "";
		sscanf(line, "%lx-%lx %7s %*s %*s %*s %63s", &lo, &hi, rights, name);
		if (lo <= (unsigned long)base && (unsigned long)base < hi) printf("%s %s %d\n", name, rights, lo == (unsigned long)base);
		if (!strcmp(name, "[vvar]")) printf("%s %s\n", name, rights);
	}
	fclose(maps);

	pthread_t threads[4];
	for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, watch, 0);
	for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
	printf("backwards %d\n", backwards);
	return 0;
}

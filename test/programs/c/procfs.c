// /proc and /sys as far as programs read them: what can be known is checked, and
// the rest only for its form.
#include "show.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

static char text[1 << 20];

// get reads a file, all of it.
static long get(const char *path) {
	int fd = open(path, O_RDONLY);
	long n = 0, k;
	if (fd < 0) {
		printf("%s: %s\n", path, strerror(errno));
		text[0] = 0;
		return -1;
	}
	while ((k = read(fd, text + n, sizeof text - 1 - n)) > 0) n += k;
	close(fd);
	text[n] = 0;
	return n;
}

static void check(const char *what, int ok) { printf("%s: %s\n", what, ok ? "yes" : "NO"); }
#define CHECK(x) check(#x, x)

// field returns the number behind a name at a line's start.
static long field(const char *name) {
	char *p = text;
	size_t n = strlen(name);
	for (;;) {
		if (!strncmp(p, name, n)) return atol(p + n);
		if (!(p = strchr(p, '\n'))) return -1;
		p++;
	}
}

static int lines(void) {
	int n = 0;
	for (char *p = text; (p = strchr(p, '\n')); p++) n++;
	return n;
}

static void show(const char *path) {
	if (get(path) >= 0) printf("%s: %s", path, text);
}

static void entries(const char *dir, const char *want) {
	DIR *d = opendir(dir);
	if (!d) {
		result(dir, -1);
		return;
	}
	int dots = 0, found = 0, all = 0;
	for (struct dirent *e; (e = readdir(d));) {
		all++;
		if (e->d_name[0] == '.') dots++;
		if (!strcmp(e->d_name, want)) found++;
	}
	closedir(d);
	printf("%s: dots %d, found %d, others %d\n", dir, dots, found, all > dots + found);
}

static pthread_barrier_t bar;
static long tid;
static void *thread(void *arg) {
	tid = syscall(SYS_gettid);
	prctl(PR_SET_NAME, "a thread");
	get("/proc/thread-self/status");
	CHECK(field("Pid:") == tid && tid != getpid());
	pthread_barrier_wait(&bar);
	pthread_barrier_wait(&bar);
	return 0;
}

static const char *baseof(const char *path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

static void self(char **argv) {
	char path[PATH_MAX], exe[PATH_MAX], link[PATH_MAX];
	long n;
	puts("-- the process");
	sprintf(path, "%d", getpid());
	n = readlink("/proc/self", link, sizeof link), link[n > 0 ? n : 0] = 0;
	CHECK(!strcmp(link, path));
	n = readlink("/proc/thread-self", link, sizeof link), link[n > 0 ? n : 0] = 0;
	sprintf(path, "%d/task/%ld", getpid(), syscall(SYS_gettid));
	CHECK(!strcmp(link, path));
	n = readlink("/proc/self/exe", exe, sizeof exe), exe[n > 0 ? n : 0] = 0;
	CHECK(!strcmp(baseof(exe), baseof(argv[0])));
	struct stat a, b;
	CHECK(!stat("/proc/self/exe", &a) && !stat(exe, &b) && a.st_ino == b.st_ino);
	SHOW(lstat("/proc/self/exe", &a));
	printf("%o\n", a.st_mode);
	int fd = open("/proc/self/exe", O_RDONLY);
	CHECK(read(fd, text, 4) == 4 && !memcmp(text, "\177ELF", 4));
	close(fd);
	n = get("/proc/self/cmdline");
	CHECK(n == (long)(strlen(argv[0]) + strlen(argv[1]) + 2) && !strcmp(text, argv[0]) && !strcmp(text + strlen(text) + 1, argv[1]));
	n = get("/proc/self/environ");
	CHECK(n > 5 && !strncmp(text, "PATH=", 5));
	show("/proc/self/comm");
	prctl(PR_SET_NAME, "renamed");
	show("/proc/self/comm");
	fd = open("/proc/self/comm", O_WRONLY);
	SHOW(write(fd, "by a rather long name\n", 22));
	close(fd);
	show("/proc/self/comm");
	n = readlink("/proc/self/cwd", link, sizeof link), link[n > 0 ? n : 0] = 0;
	CHECK(getcwd(path, sizeof path) && !strcmp(path, link));
	n = readlink("/proc/self/root", link, sizeof link), link[n > 0 ? n : 0] = 0;
	printf("root %s\n", link);
	SHOW(access("/proc/self/cwd/.", X_OK));

	puts("-- stat");
	get("/proc/self/stat");
	char *p = strrchr(text, ')');
	int fields = 2;
	for (char *q = p; *q; q++) fields += *q == ' ';
	printf("%d fields, state %c\n", fields, p[2]);
	CHECK(atoi(text) == getpid());
	get("/proc/self/statm");
	long size, resident, shared, code, lib, data, dirty;
	SHOW(sscanf(text, "%ld %ld %ld %ld %ld %ld %ld", &size, &resident, &shared, &code, &lib, &data, &dirty));
	CHECK(size > resident && resident > 10 && code > 0 && data > 0 && lib == 0 && dirty == 0);

	puts("-- status");
	get("/proc/self/status");
	char *lines[] = {"Name:", "Umask:", "State:", "Tgid:", "Ngid:", "Pid:", "PPid:", "TracerPid:", "Uid:", "Gid:", "FDSize:", "Groups:", "VmPeak:",
		"VmSize:", "VmLck:", "VmPin:", "VmHWM:", "VmRSS:", "RssAnon:", "RssFile:", "RssShmem:", "VmData:", "VmStk:", "VmExe:", "VmLib:", "VmPTE:", "VmSwap:",
		"Threads:", "SigQ:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:",
		"Seccomp:", "Cpus_allowed:", "Cpus_allowed_list:", "Mems_allowed:", "Mems_allowed_list:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char want[64];
		sprintf(want, "\n%s\t", lines[i]);
		if (!strstr(text, want + (i == 0))) printf("no %s\n", lines[i]);
	}
	CHECK(field("Pid:") == getpid() && field("Tgid:") == getpid() && field("Threads:") == 1);
	CHECK(field("VmRSS:") > 40 && field("VmSize:") >= field("VmRSS:") && field("VmHWM:") >= field("VmRSS:"));
	p = strstr(text, "Umask:"), p && printf("%.11s\n", p);
	char *big = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	get("/proc/self/status");
	long before = field("VmRSS:"), vm = field("VmSize:");
	memset(big, 1, 8 << 20);
	get("/proc/self/status");
	CHECK(field("VmRSS:") >= before + 6000 && field("VmSize:") == vm);
	munmap(big, 8 << 20);
	get("/proc/self/status");
	CHECK(field("VmRSS:") < before + 1000 && field("VmSize:") == vm - 8192 && field("VmHWM:") >= before + 8000);

	puts("-- maps");
	char *anon = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(anon + 4096, 4096, PROT_NONE);
	anon[0] = 1;
	fd = open(exe, O_RDONLY);
	char *file = mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 4096);
	close(fd);
	fd = syscall(SYS_memfd_create, "mem", 0);
	ftruncate(fd, 8192);
	char *mem = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mem[0] = 1;
	get("/proc/self/maps");
	int found = 0, bad = 0;
	unsigned long last = 0;
	for (p = strtok(text, "\n"); p; p = strtok(0, "\n")) {
		unsigned long lo, hi, off, ino;
		unsigned maj, min;
		char rights[8], name[PATH_MAX] = "";
		if (sscanf(p, "%lx-%lx %7s %lx %x:%x %lu %[^\n]", &lo, &hi, rights, &off, &maj, &min, &ino, name) < 7) bad++;
		if (lo < last || hi <= lo) bad++;
		last = hi;
		if (lo == (unsigned long)anon && hi == lo + 4096 && !strcmp(rights, "rw-p") && !*name) found |= 1;
		if (lo == (unsigned long)anon + 4096 && hi == lo + 4096 && !strcmp(rights, "---p")) found |= 2;
		if (lo == (unsigned long)file && hi == lo + 8192 && !strcmp(rights, "r--s") && off == 4096 && ino && !strcmp(name, exe)) found |= 4;
		if (lo == (unsigned long)mem && !strcmp(rights, "rw-s") && !strcmp(name, "/memfd:mem (deleted)")) found |= 8;
		if (strstr(name, "[stack]") && lo < (unsigned long)&p && (unsigned long)&p < hi) found |= 16;
		if (!strcmp(name, "[heap]")) found |= 32;
		if (!strcmp(name, exe) && lo <= (unsigned long)self && (unsigned long)self < hi && !strcmp(rights, "r-xp")) found |= 64;
		if (*name && strlen(p) - strlen(name) < 73) bad++;
	}
	printf("found %x, bad %d\n", found, bad);
	get("/proc/self/smaps");
	long rss = 0, pss = 0, count = 0;
	for (p = text; (p = strstr(p, "\nRss:")); p++) rss += atol(p + 5), count++;
	for (p = text; (p = strstr(p, "\nPss:")); p++) pss += atol(p + 5);
	get("/proc/self/maps");
	int maps = 0;
	for (p = text; (p = strchr(p, '\n')); p++) maps++;
	get("/proc/self/status");
	CHECK(count >= maps - 1 && count <= maps + 1 && rss > 40 && pss <= rss && labs(rss - field("VmRSS:")) < 400);
	get("/proc/self/smaps");
	for (const char *w[] = {"Size:", "KernelPageSize:", "MMUPageSize:", "Rss:", "Pss:", "Shared_Clean:", "Shared_Dirty:", "Private_Clean:", "Private_Dirty:",
		"Referenced:", "Anonymous:", "AnonHugePages:", "Swap:", "Locked:", "VmFlags:", 0}, **i = w; *i; i++)
		if (!strstr(text, *i)) printf("no %s\n", *i);
	get("/proc/self/smaps_rollup");
	CHECK(strstr(text, "[rollup]") && labs(field("Rss:") - rss) < 400);

	puts("-- auxv");
	n = get("/proc/self/auxv");
	CHECK(n % 16 == 0 && n >= 16 * 10);
	unsigned long *aux = (void *)text;
	int same = 0, end = 0;
	for (int i = 0; i < n / 16; i++) {
		if (aux[2 * i] == AT_PAGESZ && aux[2 * i + 1] == 4096) same |= 1;
		if (aux[2 * i] == AT_ENTRY && aux[2 * i + 1] == getauxval(AT_ENTRY)) same |= 2;
		if (aux[2 * i] == AT_RANDOM && aux[2 * i + 1] == getauxval(AT_RANDOM)) same |= 4;
		if (aux[2 * i] == AT_NULL) end++;
	}
	printf("%d %d\n", same, end);

	puts("-- limits and the like");
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = 512;
	setrlimit(RLIMIT_NOFILE, &l);
	get("/proc/self/limits");
	p = strstr(text, "Max open files");
	unsigned long soft = 0;
	p && sscanf(p, "Max open files %lu", &soft);
	printf("%lu\n", soft);
	fd = open("/proc/self/oom_score_adj", O_RDWR);
	SHOW(write(fd, "500", 3));
	SHOW(pread(fd, text, 10, 0));
	printf("%.3s\n", text);
	SHOW(write(fd, "2000", 4));
	SHOW(write(fd, "x", 1));
	SHOW(pwrite(fd, "0\n", 2, 0));
	close(fd);
	show("/proc/self/oom_score_adj");
	CHECK(get("/proc/self/cgroup") >= 0); // lines or none
	get("/proc/self/mountinfo");
	CHECK(strstr(text, " / / ") && strstr(text, " / /proc ") && strstr(text, " - proc "));
	for (const char *w[] = {"/", "/proc", "/sys", "/dev/shm", 0}, **i = w; *i; i++) {
		struct statx x;
		statx(AT_FDCWD, *i, 0, STATX_ALL, &x);
		int id = 0, last = 0; // which hides those before it
		for (char *line = text; line && *line; line = strchr(line, '\n'), line += !!line) {
			char where[PATH_MAX];
			if (sscanf(line, "%d %*d %*s %*s %s", &id, where) == 2 && !strcmp(where, *i)) last = id;
		}
		printf("%s ", *i);
		CHECK(x.stx_mask & 0x1000 && (int)x.stx_mnt_id == last);
	}
	get("/proc/self/mounts");
	CHECK(strstr(text, " /proc proc ") && strstr(text, " /dev/shm tmpfs "));
	n = readlink("/proc/mounts", link, sizeof link), link[n > 0 ? n : 0] = 0;
	puts(link);
	show("/proc/self/loginuid");
	show("/proc/self/personality");
	get("/proc/self/io");
	CHECK(field("rchar:") >= 0 && field("write_bytes:") >= 0);

	puts("-- threads");
	pthread_t t;
	pthread_barrier_init(&bar, 0, 2);
	pthread_create(&t, 0, thread, 0);
	pthread_barrier_wait(&bar);
	sprintf(path, "%ld", tid);
	entries("/proc/self/task", path);
	sprintf(path, "/proc/self/task/%ld/comm", tid);
	get(path);
	CHECK(!strcmp(text, "a thread\n"));
	sprintf(path, "/proc/self/task/%ld/stat", tid);
	for (int i = 0; i < 1000 && get(path) > 0 && !strstr(text, ") S"); i++) usleep(1000);
	CHECK(atoi(text) == tid && strstr(text, "(a thread) S"));
	sprintf(path, "/proc/self/task/%ld/status", tid);
	get(path);
	CHECK(field("Pid:") == tid && field("Tgid:") == getpid() && field("Threads:") == 2);
	sprintf(path, "/proc/self/task/%ld/maps", tid);
	CHECK(get(path) > 100);
	sprintf(path, "/proc/self/task/%ld/fd/1", tid);
	SHOW(access(path, F_OK));
	sprintf(path, "/proc/%ld/status", tid); // not listed, but there
	CHECK(get(path) > 100);
	sprintf(path, "/proc/%ld/task", tid);
	SHOW(access(path, F_OK));
	SHOW(access("/proc/self/task/1234567", F_OK));
	pthread_barrier_wait(&bar);
	pthread_join(t, 0);
	sprintf(path, "/proc/self/task/%ld", tid);
	while (!access(path, F_OK)) usleep(1000);
	CHECK(errno == ENOENT);
}

static void descriptors(void) {
	char path[64], link[PATH_MAX];
	puts("-- fd");
	int fd = open("/dev/null", O_RDWR | O_APPEND | O_CLOEXEC), p[2];
	pipe(p);
	sprintf(path, "/proc/self/fd/%d", fd);
	long n = readlink(path, link, sizeof link);
	printf("%.*s\n", (int)n, link);
	struct stat st;
	lstat(path, &st);
	printf("%o\n", st.st_mode);
	sprintf(path, "/proc/self/fd/%d", p[0]);
	n = readlink(path, link, sizeof link);
	lstat(path, &st);
	printf("%.6s %o\n", link, st.st_mode);
	stat(path, &st);
	printf("%o\n", st.st_mode);
	int w = open(path, O_WRONLY);
	SHOW(write(w, "through proc", 12));
	SHOW(read(p[0], link, 100));
	close(w);
	sprintf(path, "%d", fd);
	entries("/proc/self/fd", path);
	entries("/proc/self/fdinfo", path);
	entries("/dev/fd", path);
	sprintf(path, "/proc/self/fdinfo/%d", fd);
	get(path);
	printf("%ld %lo\n", field("pos:"), strtol(strstr(text, "flags:") + 6, 0, 8));
	SHOW(access("/proc/self/fd/999", F_OK));
	SHOW(access("/proc/self/fd/00", F_OK));
	SHOW(access("/proc/self/fd/x", F_OK));
	SHOW(unlink("/proc/self/fd/0"));
	int e = eventfdish();
	sprintf(path, "/proc/self/fd/%d", e);
	n = readlink(path, link, sizeof link);
	printf("%.*s\n", (int)n, link);
	OK(open(path, O_RDWR));
	sprintf(path, "/dev/fd/%d", fd);
	OK(open(path, O_RDONLY));
	SHOW(access("/dev/stdin", F_OK) | access("/dev/stdout", F_OK) | access("/dev/stderr", F_OK));
	int d = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	sprintf(path, "%d", fd);
	SHOW(faccessat(d, path, F_OK, 0));
	close(fd);
	SHOW(faccessat(d, path, F_OK, 0));
	int other = open("/proc/self/status", O_RDONLY);
	char a[10], b[10];
	SHOW(read(other, a, 5));
	SHOW(lseek(other, 1, SEEK_SET));
	SHOW(read(other, b, 4));
	printf("%.5s %.4s\n", a, b);
	SHOW(pread(other, b, 4, 100000));
	close(other);
}

int eventfdish(void) { return syscall(SYS_eventfd2, 0, 0); }

static void machine(void) {
	puts("-- the machine");
	struct utsname u;
	uname(&u);
	get("/proc/version");
	CHECK(!strncmp(text, "Linux version ", 14) && strstr(text, u.release));
	get("/proc/sys/kernel/osrelease");
	CHECK(!strncmp(text, u.release, strlen(u.release)));
	show("/proc/sys/kernel/ostype");
	get("/proc/sys/kernel/hostname");
	CHECK(!strncmp(text, u.nodename, strlen(u.nodename)));
	struct sysinfo si;
	sysinfo(&si);
	get("/proc/meminfo");
	CHECK(labs(field("MemTotal:") - (long)(si.totalram * si.mem_unit / 1024)) < 1000 && field("MemAvailable:") > 0 && field("MemFree:") <= field("MemTotal:"));
	for (const char *w[] = {"Buffers:", "Cached:", "SwapCached:", "Active:", "Inactive:", "SwapTotal:", "SwapFree:", "Dirty:", "Writeback:", "AnonPages:", "Mapped:",
		"Shmem:", "KReclaimable:", "Slab:", "SReclaimable:", "SUnreclaim:", "PageTables:", "CommitLimit:", "Committed_AS:", "VmallocTotal:", "VmallocUsed:",
		"AnonHugePages:", "HugePages_Total:", "HugePages_Free:", "Hugepagesize:", 0}, **i = w; *i; i++)
		if (field(*i) < 0) printf("no %s\n", *i);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	get("/proc/cpuinfo");
	long n = 0;
	for (char *p = text; (p = strstr(p, "processor\t: ")); p++) n++;
	CHECK(n == cpus);
	CHECK(strstr(text, "vendor_id\t: ") && strstr(text, "\nflags\t\t: fpu ") && strstr(text, " sse2 ") && strstr(text, "\nbogomips\t: ") && strstr(text, "cache size\t: "));
	get("/proc/stat");
	n = 0;
	for (char *p = text; (p = strstr(p, "\ncpu")); p++) n++;
	CHECK(n == cpus && !strncmp(text, "cpu  ", 5) && field("btime") > 1600000000 && field("processes") > 0 && field("ctxt") >= 0);
	CHECK(strstr(text, "\nintr ") && strstr(text, "\nsoftirq "));
	double up, idle, a, b, c;
	int run, all, last;
	get("/proc/uptime");
	SHOW(sscanf(text, "%lf %lf", &up, &idle));
	struct timespec ts;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	CHECK(up <= ts.tv_sec + 1 && up + 60 > ts.tv_sec);
	get("/proc/loadavg");
	SHOW(sscanf(text, "%lf %lf %lf %d/%d %d", &a, &b, &c, &run, &all, &last));
	CHECK(run >= 1 && all >= run);
	get("/proc/filesystems");
	CHECK(strstr(text, "nodev\ttmpfs\n") && strstr(text, "nodev\tproc\n"));
	get("/proc/swaps");
	CHECK(!strncmp(text, "Filename\t", 9));
	get("/proc/vmstat");
	CHECK(field("nr_free_pages") > 0 && field("pgfault") > 0);
	CHECK(get("/proc/cmdline") > 0);
	CHECK(get("/proc/devices") > 0 && strstr(text, "Character devices:"));
	CHECK(get("/proc/interrupts") > 0);
	CHECK(get("/proc/partitions") >= 0);
	CHECK(get("/proc/diskstats") >= 0);
	CHECK(get("/proc/cgroups") > 0 && !strncmp(text, "#subsys_name", 12));

	puts("-- sys");
	for (const char *w[] = {"kernel/pid_max", "kernel/threads-max", "kernel/cap_last_cap", "kernel/ngroups_max", "kernel/random/boot_id", "kernel/random/uuid",
		"kernel/random/entropy_avail", "kernel/core_pattern", "kernel/version", "kernel/hostname", "kernel/domainname", "kernel/osrelease", "kernel/overflowuid",
		"kernel/randomize_va_space", "kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/sem", "kernel/msgmax", "kernel/io_uring_disabled", "kernel/dmesg_restrict",
		"kernel/perf_event_paranoid", "kernel/pty/max", "kernel/pty/nr", "kernel/printk", "vm/overcommit_memory", "vm/overcommit_ratio", "vm/max_map_count",
		"vm/mmap_min_addr", "vm/swappiness", "vm/nr_hugepages", "vm/min_free_kbytes", "fs/file-max", "fs/file-nr", "fs/nr_open", "fs/inode-nr", "fs/pipe-max-size", "fs/aio-max-nr",
		"fs/inotify/max_user_watches", "fs/inotify/max_user_instances", "fs/inotify/max_queued_events", "fs/protected_hardlinks", "fs/protected_symlinks",
		"fs/epoll/max_user_watches", "fs/mqueue/msg_max", "net/core/somaxconn", 0}, **i = w; *i; i++) {
		char path[100];
		sprintf(path, "/proc/sys/%s", *i);
		int fd = open(path, O_RDONLY);
		long n = fd < 0 ? -1 : read(fd, text, 1000);
		if (n <= 0 || text[n - 1] != '\n') printf("no %s (%ld, %s)\n", path, n, strerror(errno));
		close(fd);
	}
	OK(open("/proc/sys/kernel/nothing", O_RDONLY));
	OK(open("/proc/nothing", O_RDONLY | O_CREAT, 0600));
	SHOW(mkdir("/proc/x", 0700));
	get("/proc/sys/kernel/random/boot_id");
	char id[64];
	strcpy(id, text);
	get("/proc/sys/kernel/random/boot_id");
	CHECK(strlen(id) == 37 && !strcmp(id, text));
	get("/proc/sys/kernel/random/uuid");
	strcpy(id, text);
	get("/proc/sys/kernel/random/uuid");
	CHECK(strlen(id) == 37 && id[14] == '4' && strcmp(id, text));
	entries("/proc", "self");
	entries("/proc/sys", "kernel");
	struct stat st;
	stat("/proc/version", &st);
	printf("%o %ld %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
	stat("/proc/self", &st);
	printf("%o\n", st.st_mode);
	stat("/proc/self/maps", &st);
	printf("%o %d\n", st.st_mode, st.st_uid);

	puts("-- /sys");
	for (const char *w[] = {"devices/system/cpu/online", "devices/system/cpu/possible", "devices/system/cpu/present", "devices/system/cpu/kernel_max",
		"devices/system/cpu/cpu0/topology/core_id", "devices/system/cpu/cpu0/topology/physical_package_id", "devices/system/cpu/cpu0/topology/thread_siblings_list",
		"devices/system/cpu/cpu0/topology/core_siblings_list", "devices/system/cpu/cpu0/topology/thread_siblings", "devices/system/node/online", "devices/system/node/node0/cpulist",
		"devices/system/node/node0/meminfo", "devices/system/cpu/cpu0/cache/index0/coherency_line_size", "devices/system/cpu/cpu0/cache/index0/size",
		"kernel/mm/transparent_hugepage/enabled", "kernel/mm/transparent_hugepage/hpage_pmd_size", "kernel/mm/transparent_hugepage/defrag", 0}, **i = w; *i; i++) {
		char path[100];
		sprintf(path, "/sys/%s", *i);
		int fd = open(path, O_RDONLY);
		long n = fd < 0 ? -1 : read(fd, text, 4096);
		if (n <= 0 || text[n - 1] != '\n') printf("no %s (%ld, %s)\n", path, n, strerror(errno));
		close(fd);
	}
	get("/sys/devices/system/cpu/online");
	char want[32];
	sprintf(want, cpus > 1 ? "0-%ld\n" : "0\n", cpus - 1);
	CHECK(!strcmp(text, want));
	entries("/sys/devices/system/cpu", "cpu0");
	entries("/sys", "devices");
	SHOW(mkdir("/sys/x", 0700));
	OK(open("/sys/x", O_CREAT | O_WRONLY, 0600));
	SHOW(unlink("/sys/devices"));
	stat("/sys/devices/system/cpu/online", &st);
	printf("%o %ld\n", st.st_mode, (long)st.st_size);
}

int main(int argc, char **argv) {
	setlinebuf(stdout);
	if (argc < 2) return 99;
	self(argv);
	descriptors();
	machine();
	return 0;
}

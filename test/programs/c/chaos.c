// Makes random system calls with random arguments, again and again. It keeps out of
// harm's way only what it stands on itself: its code and stack, its output, and
// the timer that wakes it from calls that wait. Not for a machine one cares about.
//
// chaos SEED N: twice N calls; after each half it gives back what it holds, and
// prints how much memory is free, in kB, and how many descriptors are open.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { page = 4096, pages = 64 };
static char *arena;
static uint64_t state;

static uint64_t rnd(void) { // xorshift64*
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull >> 16;
}
static uint64_t below(uint64_t n) { return rnd() % n; }

static long raw(long nr, const uint64_t a[6]) {
    long ret;
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return ret;
}

// The kinds of arguments that calls take, by number: f a descriptor, p a pointer, s a
// path, n a length, i a small number or flags. What is not here gets anything.
static const char *const kinds[] = {
    [0] = "fpn", "fpn", "sii", "f", "sp", "fp", "sp", "pin", "fni", "pniifn", "pni", "pn", [16] = "fip", "fpnn", "fpnn", "fpi", "fpi", "si", "p", "ipppp",
    [25] = "pnnip", "pni", "pnp", "pni", [32] = "f", "ff", [40] = "ffpn", [53] = "iiip", [72] = "fip", "fi", "f", "f", "sn", "fn", "fpn", "pn", "s", "f", "ss", "si", "s",
    "si", "ss", "s", "ss", "spn", "si", "fi", "sii", "fii", "sii", "i", [131] = "pp", "sp", "sii", [137] = "sp", "fp", [161] = "s", [202] = "pinpp", [213] = "i", [217] = "fpn",
    [221] = "fnni", [230] = "iipp", [232] = "fpii", "fifp", [254] = "fsi", "fi", [257] = "fsii", "fsi", "fsii", "fsiii", "fsp", "fspi", "fsi", "fsfs", "fsfsi", "sfs", "fspn", "fsi", "fsi",
    [275] = "fpfpni", "ffni", "fnni", "fpii", [280] = "fspi", [282] = "fpni", "ii", "i", "finn", "fipp", "fp", [289] = "fpni", "ii", "i", "ffi", "pi", "i", "fpinn", "fpinn",
    [316] = "fsfsi", [318] = "pni", "si", [326] = "fpfpni", "fpinni", "fpinni", [332] = "fsiip", [436] = "iii", "fspn", [439] = "fsii", [441] = "fpipp", [452] = "fsii",
};

static uint64_t pointer(void) {
    switch (below(10)) {
    case 0: return 0;
    case 1: return 0xffff800000000000ull + below(1 << 20); // the kernel's
    case 2: return 0xffffffff80100000ull + below(1 << 22);
    case 3: return 1ull << 47 | below(1 << 20); // nobody's
    case 4: return (uint64_t)arena + (1 + below(pages)) * page - below(64); // across a page's end
    default: return (uint64_t)arena + below(pages * page);
    }
}

static uint64_t argument(char kind) {
    static const char *const paths[] = {"a", "b", "a/c", "/proc/self/fd", "/dev/null", "/proc/self/maps", "/dev/zero", "/tmp", "", "b/../a", "/dev/ptmx", "/proc/self/fd/3"};
    if (below(8) == 0) kind = 0;
    switch (kind) {
    case 'f': return below(12) ? 3 + below(24) : AT_FDCWD;
    case 'p': return pointer();
    case 's': return below(16) ? (uint64_t)paths[below(sizeof paths / sizeof *paths)] : pointer();
    case 'n': return below(10) ? below(3 * page) : rnd() << below(48);
    case 'i': return below(2) ? below(16) : 1ull << below(32) | (below(2) ? 1ull << below(24) : 0);
    }
    switch (below(6)) {
    case 0: return -below(200);
    case 1: return pointer();
    case 2: return 1ull << below(64);
    case 3: return rnd() << 16 ^ rnd();
    default: return below(64);
    }
}

static uint64_t mapped[64], mappedSize[64]; // what mmap returned, to be given back
static uint64_t noMask(void) { return below(2) ? 0 : 0xffff800000000000ull; }

// tame keeps a call from what this program stands on. It returns 0 if the call is
// not to be made.
static int tame(long nr, uint64_t a[6]) {
    static struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    static const int signals[] = {0, SIGUSR1, SIGUSR2, SIGALRM, 65, -1, 40};
    int sig = signals[below(7)];
    switch (nr) {
    case SYS_rt_sigreturn: case SYS_clone: case SYS_fork: case SYS_vfork: case SYS_execve: case SYS_exit: case SYS_exit_group: case SYS_clone3:
    case SYS_execveat: case SYS_reboot: case SYS_alarm: case SYS_ptrace:
        return 0;
    case SYS_munmap: case SYS_mprotect: case SYS_madvise: case SYS_remap_file_pages: case SYS_mremap: case SYS_pkey_mprotect: case 462:
        if (a[0] >> 47) return 1; // cannot be
        a[0] = (uint64_t)arena + (a[0] % pages) * page + (below(16) ? 0 : below(page));
        a[1] %= (uint64_t)arena + pages * page - a[0] + 1;
        if (nr == SYS_mremap) a[2] %= 16 * page, a[3] &= ~MREMAP_FIXED;
        return 1;
    case SYS_mmap:
        if (a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) a[0] = (uint64_t)arena + a[0] % (pages / 2) * page, a[1] %= pages / 2 * page;
        if (!(a[3] & MAP_NORESERVE)) a[1] %= 1 << 20;
        return 1;
    case SYS_brk: a[0] = 0; return 1;
    case SYS_kill: case SYS_tkill: a[1] = sig; return 1;
    case SYS_tgkill: case SYS_rt_tgsigqueueinfo: a[2] = sig; return 1;
    case SYS_rt_sigqueueinfo: case SYS_pidfd_send_signal: a[1] = sig; return 1;
    case SYS_rt_sigaction: a[1] = noMask(); return 1;
    case SYS_rt_sigprocmask: case SYS_rt_sigsuspend: a[nr == SYS_rt_sigprocmask] = noMask(); return nr != SYS_rt_sigsuspend || a[0];
    case SYS_ppoll: a[3] = noMask(); return 1;
    case SYS_pselect6: a[5] = noMask(); return 1;
    case SYS_epoll_pwait: case 441: a[4] = noMask(); return 1;
    case SYS_setitimer: return (int)a[0] != ITIMER_REAL;
    case SYS_timer_create: a[1] = below(2) ? 0 : (uint64_t)&ev; return 1;
    case SYS_mq_notify: return 0;
    case SYS_setrlimit: case SYS_prlimit64: {
        int r = a[nr == SYS_prlimit64];
        return r != RLIMIT_CPU && r != RLIMIT_STACK && r != RLIMIT_RTTIME && r != RLIMIT_NOFILE && r != RLIMIT_AS && r != RLIMIT_DATA;
    }
    case SYS_prctl: return (int)a[0] != 26 && (int)a[0] != 59; // the TSC forbidden, system calls diverted
    case SYS_arch_prctl: return (int)a[0] != 0x1001 && (int)a[0] != 0x1002; // this thread's TLS
    case SYS_dup2: case SYS_dup3: a[1] = 3 + a[1] % 60; break;
    case SYS_sigaltstack: a[0] = noMask(); return 1;
    case SYS_fcntl: if (a[1] == F_SETOWN || a[1] == F_SETSIG) return 0; break;
    }
    if ((uint32_t)a[0] < 3) a[0] += 3; // the standard descriptors
    return 1;
}

static void woken(int sig) {}

static void prepare(void) {
    struct itimerval t = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &t, 0);
    mmap(arena, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mprotect(arena + 40 * page, 8 * page, PROT_READ);
    mprotect(arena + 48 * page, 8 * page, PROT_NONE);
    for (int i = 0; i < 40 * page / 8; i++) ((uint64_t *)arena)[i] = below(4) ? below(64) : pointer();
}

static void removeAll(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        unlinkat(dirfd(d), e->d_name, 0);
        if (unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) != 0) {
            char sub[8192];
            snprintf(sub, sizeof sub, "%s/%s", dir, e->d_name);
            removeAll(sub);
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
        }
    }
    closedir(d);
}

// giveBack frees all it holds and prints what is left.
static void giveBack(void) {
    struct itimerval never = {0};
    for (int i = 0; i < 3; i++) setitimer(i, &never, 0);
    for (int i = 0; i < 20000; i++) syscall(SYS_timer_delete, i);
    for (int i = 0; i < 64; i++)
        if (mapped[i]) munmap((void *)mapped[i], mappedSize[i]), mapped[i] = 0;
    syscall(SYS_close_range, 3, ~0u, 0);
    munmap(arena, pages * page);
    setuid(0), syscall(SYS_setfsuid, 0), syscall(SYS_setfsgid, 0);
    if (chdir("/tmp") == 0) removeAll(".");
    struct sysinfo s;
    sysinfo(&s);
    int open = 0;
    for (int fd = 0; fd < 1024; fd++) open += fcntl(fd, F_GETFD) != -1;
    printf("free %lu open %d\n", s.freeram * s.mem_unit / 1024, open);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    state = strtoull(argv[1], 0, 0) * 0x9e3779b97f4a7c15ull | 1;
    long n = atol(argv[2]);
    arena = (char *)0x300000000000;
    sigset_t none; // musl keeps its own signals out of it
    sigemptyset(&none);
    for (int i = 1; i < 65; i++)
        if (i != SIGSEGV && i != SIGBUS && i != SIGILL && i != SIGFPE) signal(i, SIG_IGN);
    struct sigaction wake = {.sa_handler = woken};
    sigaction(SIGALRM, &wake, 0);
    for (int half = 0; half < 2; half++) {
        for (long i = 0; i < n; i++) {
            if (i % 256 == 0) prepare();
            long nr = below(470);
            const char *k = nr < (long)(sizeof kinds / sizeof *kinds) && kinds[nr] ? kinds[nr] : "";
            uint64_t a[6];
            for (int j = 0; j < 6; j++) a[j] = argument(*k ? *k++ : 0);
            if (!tame(nr, a)) continue;
            long r = raw(nr, a);
            if (nr == SYS_mmap && (uint64_t)r < -4095ull && ((uint64_t)r < (uint64_t)arena || (uint64_t)r >= (uint64_t)arena + pages * page)) {
                int slot = below(64);
                if (mapped[slot]) munmap((void *)mapped[slot], mappedSize[slot]);
                mapped[slot] = r, mappedSize[slot] = a[1];
            }
            sigprocmask(SIG_SETMASK, &none, 0);
        }
        giveBack();
    }
    return 0;
}

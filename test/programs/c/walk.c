// Walks a directory and prints all that there is, in the order of names: walk DIR. With "walk DIR sum" it only prints
// a checksum of that, and with "walk DIR change" it changes a few things first; times are not printed then. Large files stay mapped until the end.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct mapping { unsigned char *at; size_t size; uint64_t sum; struct mapping *next; } *mappings;
static int times = 1;

static void fail(const char *what) { printf("%s: %s\n", what, strerror(errno)), exit(1); }

static uint64_t sum(uint64_t s, const unsigned char *p, size_t n) {
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		s = (s ^ w) * 0x100000001b3, s ^= s >> 32;
	}
	while (n--) s = (s ^ *p++) * 0x100000001b3;
	return s;
}

static void contents(const char *path, size_t size) {
	static unsigned char buf[48 << 10];
	int fd = open(path, O_RDONLY);
	if (fd < 0) fail(path);
	uint64_t s = 0;
	ssize_t n;
	size_t all = 0;
	for (; (n = read(fd, buf, sizeof buf)) > 0; all += n) s = sum(s, buf, n);
	if (n < 0) fail(path);
	printf(" %016lx", s);
	if (all != size) printf(", but it is %zu bytes", all);
	for (size_t off = size; off > 0 && size < 1 << 20;) { // backwards, in pieces that fit nothing
		size_t k = off < 5001 ? off : 5001;
		off -= k;
		if (pread(fd, buf, k, off) != (ssize_t)k) fail("pread");
		s = sum(s, buf, k);
	}
	printf(" %016lx", s);
	if (size) {
		struct mapping *m = malloc(sizeof *m);
		*m = (struct mapping){mmap(0, size, PROT_READ, MAP_SHARED, fd, 0), (size + 4095) & -4096, 0, mappings};
		if (m->at == MAP_FAILED) fail("mmap");
		m->sum = sum(0, m->at, m->size); // with what is behind the end
		printf(" %016lx", m->sum);
		if (size > 4096) mappings = m;
		else munmap(m->at, m->size);
	}
	close(fd);
}

static int visible(const struct dirent *e) { return strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lost+found"); }

static void walk(const char *path, size_t skip) {
	struct stat st;
	if (lstat(path, &st)) fail(path);
	printf("%s %o %u:%u", path + skip, st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode)) printf(" %lu %ld", st.st_nlink, st.st_size);
	if (times) printf(" %ld.%09ld", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) printf(" %u,%u", major(st.st_rdev), minor(st.st_rdev));
	if (S_ISLNK(st.st_mode)) {
		char target[4096];
		ssize_t n = readlink(path, target, sizeof target);
		if (n < 0) fail(path);
		printf(" %.*s", (int)n, target);
	}
	if (S_ISREG(st.st_mode)) contents(path, st.st_size);
	puts("");
	if (!S_ISDIR(st.st_mode)) return;
	struct dirent **list;
	int n = scandir(path, &list, visible, alphasort);
	if (n < 0) fail(path);
	for (int i = 0; i < n; i++) {
		char *name;
		if (asprintf(&name, "%s/%s", path, list[i]->d_name) < 0) fail("memory");
		walk(name, skip);
	}
}

static void change(const char *dir) {
	if (chdir(dir)) fail(dir);
	int fd = open("bin/size10000", O_RDWR);
	if (fd < 0) fail("open");
	if (pwrite(fd, "changed", 7, 5000) != 7) fail("pwrite");
	char *m = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED) fail("mmap");
	m[9000] = '!', m[0] = '?';
	if (m[5000] != 'c') fail("mapped");
	if (truncate("bin/size8192", 5000) || truncate("bin/size4097", 20000)) fail("truncate");
	if ((fd = open("bin/size100", O_WRONLY | O_APPEND)) < 0 || write(fd, "more", 4) != 4) fail("append");
	if (rename("deep/er", "moved") || rename("bin/size1", "many/size1") || unlink("link") || mkdir("new", 0750)) fail("rename");
	if (chmod("bin/size4000", 0600) || chown("bin/size4095", 5, 6) || link("bin/size4096", "new/linked") || symlink("x", "new/link")) fail("chmod");
	if ((fd = open("new/file", O_CREAT | O_WRONLY, 0644)) < 0 || write(fd, "new\n", 4) != 4) fail("create");
}

int main(int argc, char **argv) {
	umask(0);
	char *dir = realpath(argv[1], 0);
	if (!dir) fail(argv[1]);
	const char *mode = argc > 2 ? argv[2] : "";
	if (!strcmp(mode, "change")) change(dir), times = 0;
	char *text;
	size_t size;
	FILE *console = stdout;
	if (!strcmp(mode, "sum")) stdout = open_memstream(&text, &size);
	walk(dir, strlen(dir));
	if (stdout != console) {
		fclose(stdout);
		stdout = console;
		printf("%016lx %zu\n", sum(0, (void *)text, size), size);
	}
	for (struct mapping *m = mappings; m; m = m->next)
		if (sum(0, m->at, m->size) != m->sum) puts("a mapping has changed");
}

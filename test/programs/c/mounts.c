// What mount(2) and umount2(2) say: mounts DISK, with an ext4 file system in which is a directory sub with a file x.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

static void say(const char *what, long r) { printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "ok"); }

#define S(call) say(#call, call)

int main(int argc, char **argv) {
	const char *disk = argv[1];
	mkdir("/mnt", 0755), mkdir("/other", 0755);
	close(open("/file", O_CREAT | O_WRONLY, 0644));
	S(mount(disk, "/nowhere", "ext4", MS_RDONLY, 0));
	S(mount(disk, "/mnt", "ext5", MS_RDONLY, 0));
	S(mount(disk, "/mnt", 0, MS_RDONLY, 0));
	S(mount(disk, (void *)1, "ext4", MS_RDONLY, 0));
	S(mount("/dev/nothing", "/mnt", "ext4", MS_RDONLY, 0));
	S(mount("/file", "/mnt", "ext4", MS_RDONLY, 0));
	S(mount("/dev/null", "/mnt", "ext4", MS_RDONLY, 0));
	S(mount(0, "/mnt", "ext4", MS_RDONLY, 0));
	S(mount(disk, "/mnt", "erofs", MS_RDONLY, 0));
	S(mount(disk, "/file", "ext4", MS_RDONLY, 0));
	S(mount(disk, "/mnt", "ext4", 0, 0));
	S(umount2("/mnt", 0));
	S(mount(disk, "/mnt", "ext4", MS_RDONLY | MS_NOATIME, 0));
	S(access("/mnt/sub/x", R_OK));
	S(access("/mnt/sub/x", W_OK));
	S(open("/mnt/sub/x", O_RDWR));
	S(open("/mnt/sub/y", O_RDWR | O_CREAT, 0644));
	S(mkdir("/mnt/y", 0755));
	S(unlink("/mnt/sub/x"));
	S(chmod("/mnt/sub/x", 0));
	S(truncate("/mnt/sub/x", 0));
	S(rename("/mnt/sub/x", "/mnt/x"));
	S(link("/mnt/sub/x", "/x"));
	S(rmdir("/mnt"));
	S(rename("/mnt", "/elsewhere"));
	struct statfs fs;
	S(statfs("/mnt/sub", &fs));
	printf("type %lx, %s\n", fs.f_type, fs.f_flags & 1 ? "read-only" : "not read-only");
	char cwd[100];
	S(chdir("/mnt/sub"));
	printf("%s\n", getcwd(cwd, sizeof cwd));
	S(umount2("/mnt", 0));
	S(chdir("../.."));
	printf("%s\n", getcwd(cwd, sizeof cwd));
	int fd = open("/mnt/sub/x", O_RDONLY);
	S(umount2("/mnt", 0));
	S(umount2("/mnt/sub", 0));
	S(umount2("/mnt", MNT_DETACH | 16));
	char *m = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	S(umount2("/mnt", 0));
	printf("mapped: %.5s\n", m);
	munmap(m, 4096);
	S(mount(disk, "/mnt/sub", "ext4", MS_RDONLY, 0));
	S(access("/mnt/sub/sub/x", R_OK));
	S(umount2("/mnt", 0));
	S(umount2("/mnt/sub", 0));
	S(umount2("/mnt", 0));
	S(access("/mnt/sub", R_OK));
	S(mount("none", "/other", "tmpfs", 0, 0));
	S(mkdir("/other/dir", 0755));
	S(mount(disk, "/other/dir", "ext4", MS_RDONLY, 0));
	S(chdir("/other/dir"));
	S(umount2("/other", MNT_DETACH));
	S(access("sub/x", R_OK));
	S(access("/other/dir", R_OK));
	S(chdir("/"));
	S(setuid(1000));
	S(mount(disk, "/mnt", "ext4", MS_RDONLY, 0));
}

// The init of a Linux guest that does nothing but measure: gives micro the devices and
// the file system that it works on, and becomes it.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    mkdir("/dev", 0755), mkdir("/tmp", 0777);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    mount("tmp", "/tmp", "tmpfs", 0, 0);
    execl("/micro", "micro", (char *)0);
    return 1;
}

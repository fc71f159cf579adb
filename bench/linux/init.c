// The init of the Linux guest to compare with: prints a line and ends the VM.
#include <stdio.h>
#include <sys/reboot.h>

int main(void) {
    puts("Hello from a microVM");
    fflush(stdout);
    reboot(RB_AUTOBOOT); // with the kernel's reboot=k the end of a Firecracker
    return 1;
}

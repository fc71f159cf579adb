// Prints the auxiliary vector as far as it is the same on every kernel, and whether
// the rest makes sense.
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

extern char **environ;
int initialized = 42;
int zero[4096];

int main(int argc, char **argv) {
    char **p = environ;
    while (*p) p++;
    int fixed = argc > 1; // linked at an address of its own
    for (Elf64_auxv_t *a = (Elf64_auxv_t *)(p + 1); a->a_type != AT_NULL; a++) {
        unsigned long v = a->a_un.a_val;
        switch (a->a_type) {
        case AT_PAGESZ: case AT_CLKTCK: case AT_PHENT: case AT_PHNUM: case AT_BASE: case AT_FLAGS: case AT_UID: case AT_EUID: case AT_GID: case AT_EGID: case AT_SECURE:
            printf("%lu: %lu\n", a->a_type, v);
            break;
        case AT_PHDR: case AT_ENTRY:
            if (fixed) printf("%lu: %#lx\n", a->a_type, v);
            else printf("%lu: page offset %#lx\n", a->a_type, v & 4095);
            break;
        case AT_PLATFORM:
            printf("platform %s\n", (char *)v);
            break;
        }
    }
    const unsigned char *random = (void *)getauxval(AT_RANDOM);
    int any = 0;
    for (int i = 0; i < 16; i++) any |= random[i];
    const char *name = strrchr((char *)getauxval(AT_EXECFN), '/');
    printf("random %d execfn %s stack aligned %d\n", any != 0, name ? name : "?", ((uintptr_t)(argv - 1) & 15) == 0);
    const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
    printf("first header %u, data %d, zero %d\n", ph->p_type, initialized, zero[4095]);
    printf("vdso %d, hwcap %d\n", getauxval(AT_SYSINFO_EHDR) != 0, getauxval(AT_HWCAP) != 0);
    return 0;
}

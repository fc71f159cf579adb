// The least C program that prints a line, as the peers' hello does.
#include <stdio.h>

int main(void) { puts("Hello from a microVM"); return 0; }

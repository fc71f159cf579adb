/*
 * What a started CPU executes first: real mode, at the page that the startup
 * IPI named, straight into long mode. It uses no stack and writes no memory, so
 * all CPUs may run it at the same time. startCPUs copies it to its page and
 * fills in the tail.
 */
	.code16
start:	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	gdtr - start
	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	root - start, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	mov	$0x901, %eax		/* NXE, LME, SCE */
	xor	%edx, %edx
	wrmsr
	mov	$0x80010033, %eax	/* PG, WP, NE, ET, MP, PE; clears CD and NW */
	mov	%eax, %cr0
	ljmpl	*(target - start)
	.code64
long:	mov	entry(%rip), %rax
	jmp	*%rax
	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff
	/* the tail, at fixed distances from the end */
	.balign	8
	.word	0
gdtr:	.word	15			/* -30 */
	.long	gdt - start		/* -28: + page */
target:	.long	long - start		/* -24: + page */
	.word	8, 0			/* -20: selector */
root:	.quad	0			/* -16 */
entry:	.quad	0			/*  -8 */

/*
 * The kernel's two entry points. They lie in the unused part of the ELF header
 * page, at physical 0x100000 + STUB; cmd/mkkernel puts them there and fills in
 * the two words marked as patched. Both build page tables that map the first
 * GiB at 0 and at 0xffffffff80000000, in the three pages behind the image, and
 * go to kernelentry (entry_amd64.s) with the boot data's address in %rdi and
 * the protocol in %rsi (boot.Protocol).
 *
 * The entries that they do not set stay as they are, perhaps not zero: nothing
 * but those two GiB is touched before the kernel has its own tables.
 *
 * Each read and write of a control register or of EFER may be a VM exit: they
 * are written once, as the kernel wants them, whatever was there. CR4 follows
 * in kernelentry, when the CPU's features are known.
 *
 * There is no stack: Firecracker enters by PVH with %esp 0.
 */
	.set	STUB, 0x100a20
	.set	CR0, 0x80010033		/* PG, WP, NE, ET, MP, PE; clears CD and NW */
	.set	CR4, 0x20		/* PAE */
	.set	MSR_EFER, 0xc0000080
	.set	EFER, 0x901		/* NXE, LME, SCE */
	.set	LMA, 0x400
	.set	PVH, 1
	.set	LINUX64, 0

/* PVH (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, paging off, %ebx = hvm_start_info. */
	.code32
	.globl	_start
_start:
	cli
	mov	%ebx, %ebp
	mov	$0x11111111, %ebx	/* patched: physical address of three pages */
	lea	0x1003(%ebx), %eax
	mov	%eax, (%ebx)		/* PML4[0] and [511] -> PDPT */
	mov	%eax, 511*8(%ebx)
	lea	0x2003(%ebx), %eax
	mov	%eax, 0x1000(%ebx)	/* PDPT[0] and [510] -> PD */
	mov	%eax, 0x1000+510*8(%ebx)
	mov	$0x83, %eax
	lea	0x2000(%ebx), %edx
1:	mov	%eax, (%edx)
	add	$8, %edx
	add	$0x200000, %eax
	cmp	$0x40000083, %eax
	jne	1b
	mov	$CR4, %eax
	mov	%eax, %cr4
	mov	%ebx, %cr3
	mov	$MSR_EFER, %ecx
	mov	$EFER, %eax
	xor	%edx, %edx
	wrmsr
	mov	$CR0, %eax
	mov	%eax, %cr0
	lgdtl	STUB + gdtr - _start
	ljmp	$0x10, $(STUB + long - _start)
	.code64
long:	mov	%ebp, %edi
	mov	$PVH, %esi
	mov	$0x22222222, %rax	/* patched: kernelentry, sign-extended */
	jmp	*%rax
	.balign	8
gdt:	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdtr:	.word	31
	.long	STUB + gdt - _start

/* Linux 64-bit boot protocol: long mode, identity mapped, %rsi = zero page. */
	.org	0x120
	cli
	mov	%rsi, %rbp
	mov	$0x11111111, %ebx	/* patched */
	lea	0x1003(%rbx), %rax
	mov	%rax, (%rbx)
	mov	%rax, 511*8(%rbx)
	lea	0x2003(%rbx), %rax
	mov	%rax, 0x1000(%rbx)
	mov	%rax, 0x1000+510*8(%rbx)
	mov	$0x83, %eax
	lea	0x2000(%rbx), %rdx
1:	mov	%rax, (%rdx)
	add	$8, %rdx
	add	$0x200000, %rax
	cmp	$0x40000083, %rax
	jne	1b
	mov	%rbx, %cr3
	mov	$MSR_EFER, %ecx
	mov	$EFER | LMA, %eax
	xor	%edx, %edx
	wrmsr
	mov	$CR0, %eax
	mov	%rax, %cr0
	mov	%rbp, %rdi
	mov	$LINUX64, %esi
	mov	$0x22222222, %rax	/* patched */
	jmp	*%rax

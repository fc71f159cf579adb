/*
 * A boot loader for tests: entered by PVH, it enters the kernel by the Linux
 * 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst), as VMMs do that
 * know no PVH. cmd/mkkernel -entry loader puts it into the ELF header page
 * behind the entry stubs, and the PVH note points here.
 *
 * It makes a zero page out of hvm_start_info (%ebx), and page tables for the
 * first GiB, in low memory that QEMU's machines leave free.
 */
	.set	HERE, 0x100c20
	.set	ZEROPAGE, 0x10000
	.set	TABLES, 0x11000

	.code32
	.globl	_start
_start:
	cli
	cld
	mov	$ZEROPAGE, %edi
	xor	%eax, %eax
	mov	$0x400, %ecx
	rep stosl
	mov	$ZEROPAGE, %ebp
	movw	$0xaa55, 0x1fe(%ebp)	/* boot_flag */
	movl	$0x53726448, 0x202(%ebp) /* "HdrS" */
	movb	$0xff, 0x210(%ebp)	/* type_of_loader */
	mov	24(%ebx), %eax		/* cmdline_paddr */
	mov	%eax, 0x228(%ebp)	/* cmd_line_ptr */
	mov	32(%ebx), %eax		/* rsdp_paddr */
	mov	%eax, 0x70(%ebp)
	cmpl	$0, 12(%ebx)		/* nr_modules */
	je	1f
	mov	16(%ebx), %esi		/* modlist_paddr */
	mov	(%esi), %eax
	mov	%eax, 0x218(%ebp)	/* ramdisk_image */
	mov	8(%esi), %eax
	mov	%eax, 0x21c(%ebp)	/* ramdisk_size */
1:	mov	40(%ebx), %esi		/* memmap_paddr */
	mov	48(%ebx), %edx		/* memmap_entries */
	mov	%dl, 0x1e8(%ebp)	/* e820_entries */
	lea	0x2d0(%ebp), %edi	/* e820_table: 20 bytes an entry, of 24 */
2:	test	%edx, %edx
	je	3f
	mov	$5, %ecx
	rep movsl
	add	$4, %esi
	dec	%edx
	jmp	2b
3:	mov	$TABLES, %edi
	xor	%eax, %eax
	mov	$0x800, %ecx
	rep stosl
	mov	$TABLES, %edi
	movl	$TABLES + 0x1003, (%edi)
	movl	$TABLES + 0x2003, 0x1000(%edi)
	mov	$0x83, %eax
	lea	0x2000(%edi), %edx
4:	mov	%eax, (%edx)
	movl	$0, 4(%edx)
	add	$8, %edx
	add	$0x200000, %eax
	cmp	$0x40000083, %eax
	jne	4b
	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	%edi, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax		/* EFER.LME */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax	/* PG, PE */
	mov	%eax, %cr0
	lgdtl	HERE + gdtr - _start
	ljmp	$0x10, $(HERE + long - _start)
	.code64
long:	mov	$ZEROPAGE, %esi
	mov	$0x33333333, %eax	/* patched: e_entry */
	jmp	*%rax
	.balign	8
gdt:	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdtr:	.word	31
	.long	HERE + gdt - _start

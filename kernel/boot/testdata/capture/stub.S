/*
 * Sends ranges of memory to the serial port and ends the machine: what
 * capture.go boots to read the tables of a real VMM. The ranges, pairs of
 * address and size, follow behind, then two zeros.
 *
 * The code means the same in 32- and 64-bit mode. There is no stack.
 */
	.ifndef	LINUX64
	.section .note.xen, "a", @note
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh
	.endif

	.text
	.code32
	.globl	_start
pvh:	mov	%ebx, %eax
	jmp	1f
_start:	mov	%esi, %eax		/* the Linux 64-bit entry */
1:	mov	$pointer, %esi
	mov	%eax, (%esi)
	add	$4, %esi
range:	mov	(%esi), %edi
	mov	4(%esi), %ecx
	add	$8, %esi
	test	%ecx, %ecx
	jz	end
2:	mov	$0x3fd, %dx
3:	in	(%dx), %al
	test	$0x20, %al		/* transmitter empty */
	jz	3b
	mov	$0x3f8, %dx
	mov	(%edi), %al
	out	%al, (%dx)
	add	$1, %edi
	sub	$1, %ecx
	jnz	2b
	jmp	range

end:	mov	$0xfe, %al		/* Firecracker, pc, q35 */
	out	%al, $0x64
	mov	$0x10000000, %ecx	/* they need a moment */
4:	sub	$1, %ecx
	jnz	4b
	ud2				/* microvm: a triple fault */

	.balign	4
pointer: .long	0
	.long	pointer, 4

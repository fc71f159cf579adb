// Package diag is the form of what the kernel tells gosv run about the
// application: records in the console's stream "d". The kernel sends numbers
// and bytes of memory; what they mean the host knows, which tells the kernel
// what to send by a plan in the image's config. docs/contracts.md has both in
// full.
package diag

// Kinds of records. Numbers in them are unsigned varints, least significant
// seven bits first, if nothing else is said; times are ns since boot.
const (
	Thread  = 't' // a thread that began or got a name: tid, time, the name
	Call    = 'c' // a system call: what Entered and Left have, without the second tid
	Entered = 'e' // one that waits, or does not return: tid, number, time, arguments, captures
	Left    = 'l' // its end: tid, duration, errno, result, captures
	Signal  = 's' // a signal that a thread handles: tid, time, the first SigInfo bytes of its siginfo_t
	Gone    = 'g' // a thread that ended: tid, time
	End     = 'x' // the end of the process: tid, time, exit status, signal, 1 if there is a core dump
	Mark    = 'm' // a stage of the boot was reached: time, its name
	Ran     = 'r' // a thread ran: tid, CPU, time, duration
	Sample  = 'p' // a CPU was busy for 10 ms: tid and addresses in the program, or 0 and lower halves of ones in the kernel: where it is, where it will return to
	Lost    = '!' // never from the kernel: gosv had nobody to take so many records
	Fault   = 'f' // a page fault: tid, time, duration, address, 1 for a write or 2 for a fetch, 1 if it became a signal
)

// Kinds of records of a core dump, in this order.
const (
	CoreBegin   = 'B' // pid, tid that a signal ended or 0, time, uid, gid, XCR0 or 0, first stack pointer, arguments' begin and end, SigInfo bytes
	CoreThread  = 'T' // a thread, the one that a signal ended first: tid, blocked signals, 27 registers of 64 bits (user_regs_struct), FP state
	CoreMapping = 'V' // lowest address, size, protection and CoreFile, offset in the file, its name
	CoreMemory  = 'Z' // where there is memory: address, size
	CoreData    = 'D' // what is in it, if it is not zero: address, bytes
	CoreEnd     = 'Y'

	CoreFile = 8 // flag of a mapping: of a file
	NumRegs  = 27
)

// SigInfo is how much of siginfo_t a record has.
const SigInfo = 32

// Flags, the first byte of a plan.
const (
	Schedule = 1 << iota // send Mark, Ran and Fault
	Core                 // send a core dump when a signal ends the process, or when the host asks for it
	Profile              // send Sample
	Heap                 // sample the allocations of the kernel's heap: see /proc/gosv/heap
)

// After its flags a plan has the calls to report: number (16 bits, little endian),
// number of arguments, NoReturn or 0, number of captures, and these.
const (
	PlanHeader = 5
	NoReturn   = 1 // report it as entered before it is made
)

// A capture is memory that is to be sent with a call: argument (0 to 5, or
// StackPointer), How with OnExit or 0, Count, and two numbers of 16 bits, the size of an
// element and the most bytes to send. What is sent is, for
//
//	Bytes, String   size+1 and the bytes; 0 if nothing could be read
//	Vector          for struct iovec: how many+1, and for each address, length, and bytes as above; 0 as above
//	Strings         for pointers up to a null pointer: the same
const (
	CaptureSize = 7

	Bytes   = 0 // Count elements
	String  = 1 // to the first zero byte, which is not sent
	Vector  = 2 // Count elements of struct iovec, and what they are about, of each at most as many bytes as said
	Strings = 3 // pointers to strings
	OnExit  = 0x80

	StackPointer = 6

	Result = 6 // Count: the call's result
	One    = 7
	At     = 8 // and above: the 32 bits that argument Count-At points to

	MaxVector = 16 // elements of a vector that are sent
)

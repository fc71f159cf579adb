// Package metal makes a stock Go program run at ring 0 of a bare x86-64
// machine, and runs programs for it in ring 3.
//
// # Two worlds in one package
//
// The upper half of the package (metal.go and the functions it documents) is
// called by ordinary Go. The rest runs beneath the Go runtime: it is what the
// runtime takes for Linux. Its rules, which no compiler checks:
//
//   - It runs on the CPU's own stack with interrupts off, on a g whose
//     stackguard is zero, so that stack checks pass. The stack has a fixed
//     size and no guard: no recursion, no large frames.
//   - It never allocates, panics, blocks or writes a pointer into the Go heap
//     (the package is compiled without write barriers and bounds checks).
//   - It may touch the kernel's heap, on which a page may be missing: that
//     page fault comes in on a stack of its own (see nested in trap.go).
//   - Shared state is guarded by one lock (lock.go), and the virtual machine is
//     never left while it is held: a descheduled holder would stop them all.
//   - A CPU that waits with interrupts off calls catchUp meanwhile, or two of
//     them wait for each other (tlb.go).
//   - Assembly enters Go through function variables, and Go calls assembly
//     leaves through function variables: the ABI wrappers of direct calls would
//     reload g from a TLS that is not set here.
//
// # Address space
//
//	0xffffffff80000000  KernelBase: the image, linked at KernelBase + its load address
//	0xffffc00000000000  what the Go runtime maps, filled on page faults
//	0xffff800000000000  DirectMap: physical memory
//	lower half          the application
//
// Code in 16- and 32-bit modes is in stubs/.
//
// A Linux thread of the runtime (an M) is a thread here; a goroutine that
// calls EnterUser takes its M and its P with it into ring 3.
//
//go:generate stubs/generate.sh
package metal

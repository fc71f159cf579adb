// Package kvmbox goes with the script kvmbox, a Linux whose KVM works anywhere.
package kvmbox

// FirecrackerCPU is a CPU template for Firecracker in the box, whose emulated SVM
// cannot keep a guest's XCR0: it hides XSAVE, OSXSAVE and AVX (CPUID 1,
// ECX bits 26 to 28).
const FirecrackerCPU = `{"cpuid_modifiers":[{"leaf":"0x1","subleaf":"0x0","flags":0,` +
	`"modifiers":[{"register":"ecx","bitmap":"0bxxx000xxxxxxxxxxxxxxxxxxxxxxxxxx"}]}]}`

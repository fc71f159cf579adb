package metal

// Stages of the boot, with the TSC when each was reached.
var (
	marks  [16]mark
	nmarks int
)

type mark struct {
	stage string
	tsc   uint64
}

// Mark notes that a stage of the boot is over. What it is called must be a
// constant.
func Mark(stage string) {
	if nmarks < len(marks) {
		marks[nmarks] = mark{stage, rdtsc()}
		nmarks++
	}
}

// Marks calls f for each stage with the time since the kernel's first
// instruction, in ns, and in ticks of the TSC.
func Marks(f func(stage string, ns, ticks uint64)) {
	for _, m := range marks[:nmarks] {
		f(m.stage, nsOf(m.tsc-tsc0), m.tsc-tsc0)
	}
}

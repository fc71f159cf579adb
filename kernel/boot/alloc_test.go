package boot

import (
	"testing"

	"gosv/kernel/boot/boottest"
)

// What results escape to, so that nothing is optimised away.
var (
	sinkInfo   Info
	sinkIDs    [MaxCPUs]uint32
	sinkPower  Power
	sinkString string
	sinkInt    int
)

// The package runs where there is no heap.
func TestNothingAllocates(t *testing.T) {
	for _, name := range boottest.Names() {
		m := captured(t, name)
		mem := m.mem.memory()
		m.parse(mem, &sinkInfo)
		rsdp := sinkInfo.RSDP
		cmdline := string(mem[sinkInfo.CmdLine.Start:sinkInfo.CmdLine.End])
		for what, f := range map[string]func(){
			"Parse":       func() { sinkString = m.parse(mem, &sinkInfo).String() },
			"Parse other": func() { sinkString = ParseZeroPage(mem, 0x123, &sinkInfo).String() },
			"Reserve":     func() { sinkInfo.Reserve(Range{0x200000, 0x300000}) },
			"CPUs":        func() { sinkInt = CPUs(mem, rsdp, &sinkIDs) },
			"CPUs, 0":     func() { sinkInt = CPUs(mem, 0, &sinkIDs) },
			"FindRSDP":    func() { sinkInt = int(FindRSDP(mem)) },
			"FindPower":   func() { sinkPower = FindPower(mem, rsdp) },
			"Option":      func() { sinkString, _ = Option(cmdline, "two") },
		} {
			if n := testing.AllocsPerRun(10, f); n != 0 {
				t.Errorf("%s: %s: %v allocations", name, what, n)
			}
		}
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// machine is the VM whose instructions and exits are counted. The time is one
// of as many digits as any.
func (b *bench) machine(img string, cpus int) *vmm.Machine {
	return &vmm.Machine{
		Kernel: b.kernel, Image: img, Memory: 128, CPUs: cpus,
		CmdLine: "gosv.report=MARK gosv.time=1700000000000000000",
	}
}

// bootInstructions counts the guest's instructions from the start of the VM to
// the end of p's first line, firmware included, with tools/icount.
func (b *bench) bootInstructions(p program, cpus int) (float64, string, error) {
	return b.bootWith(p, vmm.Devices{}, cpus)
}

// bootWith is bootInstructions, of all CPUs, of a VM with devices.
func (b *bench) bootWith(p program, d vmm.Devices, cpus int) (float64, string, error) {
	q, err := qemu.New("tcg", "microvm", nil)
	if err != nil {
		return 0, "", skip(err.Error())
	}
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	m := b.machine(img, cpus)
	m.Devices = d
	cmd, err := q.Command(m, b.dir)
	if err != nil {
		return 0, "", err
	}
	// Go's runtime takes random addresses for its heap, a tenth of which cost it 60,000 instructions more: the median.
	runs := make([]float64, 1)
	if p.compiler == "" {
		runs = make([]float64, 5)
	}
	for i := range runs {
		out := filepath.Join(b.dir, p.name+".insn")
		if _, err := command("tools/icount/icount", append([]string{out}, cmd.Argv[1:]...)...); err != nil {
			return 0, "", err
		}
		counts, err := os.ReadFile(out)
		if err != nil {
			return 0, "", err
		}
		if runs[i], err = parseCounts(counts, helloLine); err != nil {
			return 0, "", err
		}
	}
	slices.Sort(runs)
	return runs[len(runs)/2], "", nil
}

// someDevices are a disk, a network and entropy.
func (b *bench) someDevices(tap string) (vmm.Devices, error) {
	disk := filepath.Join(b.dir, "some.raw")
	return vmm.Devices{Disks: []vmm.Disk{{Path: disk}}, Nets: []vmm.Net{{TAP: tap}}, RNG: true}, os.WriteFile(disk, make([]byte, 1<<20), 0o644)
}

// deviceInstructions counts what devices that nobody uses add to p's boot, deviceExits
// what they add to its whole life on Firecracker.
func (b *bench) deviceInstructions(p program) (float64, string, error) {
	d, err := b.someDevices("")
	if err != nil {
		return 0, "", err
	}
	return more(func() (float64, string, error) { return b.bootWith(p, d, 1) }, func() (float64, string, error) { return b.bootInstructions(p, 1) })
}

func (b *bench) deviceExits(p program) (float64, string, error) {
	d, err := b.someDevices("tap0")
	if err != nil {
		return 0, "", err
	}
	return more(func() (float64, string, error) { return b.exitsWith(p, 1, d) }, func() (float64, string, error) { return b.firecrackerExits(p, 1) })
}

// more is how much more than without there is with.
func more(with, without func() (float64, string, error)) (float64, string, error) {
	v, _, err := with()
	if err != nil {
		return 0, "", err
	}
	less, _, err := without()
	return v - less, "", err
}

// parseCounts returns the count at the end of a console line from icount's
// output, which has lines "line first_byte=N newline=N ... | TEXT".
func parseCounts(counts []byte, line string) (float64, error) {
	re := regexp.MustCompile(`(?m)^line .*\bnewline=(\d+) .*\| ` + regexp.QuoteMeta(line) + `$`)
	m := re.FindSubmatch(counts)
	if m == nil {
		return 0, fmt.Errorf("no line %q in the counts:\n%s", line, counts)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

package main

import (
	"fmt"
	"strings"

	"gosv/internal/vmm"
)

// webMemory finds the least memory in MiB with which a web server answers 10,000 requests, by 64
// connections, on QEMU.
func (b *bench) webMemory(linux bool) (float64, string, error) {
	return b.leastWeb(linux, func(m *vmm.Machine) (string, error) {
		return b.serve(m, bounded, webFirst, "1", webRequests, "10000", "end", "1")
	})
}

// boxMemory is webMemory on Firecracker in tools/kvmbox, where 2,000 requests take as long.
func (b *bench) boxMemory(linux bool) (float64, string, error) {
	return b.leastWeb(linux, func(m *vmm.Machine) (string, error) {
		script, path, err := b.boxServe(m, "web-memory", "first 1 requests 2000 end 1")
		if err != nil {
			return "", err
		}
		return b.kvmbox(nil, path, []string{"sh", "-c", boxWire + "timeout 100 " + script + "exit 0"})
	})
}

// leastWeb finds the least memory in MiB with which a VM that serves gets as far as to
// answer all of ask's requests.
func (b *bench) leastWeb(linux bool, run func(m *vmm.Machine) (string, error)) (float64, string, error) {
	most, impossible := 48, 8
	if linux {
		most, impossible = 160, 48
	}
	works := func(mib int) error {
		m, err := b.webMachine(linux, "0")
		if err != nil {
			return err
		}
		m.Memory = mib
		out, err := run(m)
		if err == nil && !strings.Contains(out, "web "+webRequests) {
			err = fmt.Errorf("no answers in\n%s", out)
		}
		return err
	}
	if err := works(most); err != nil {
		return 0, "", fmt.Errorf("with %d MiB: %w", most, err)
	}
	return float64(least(impossible, most, func(mib int) bool { return works(mib) == nil })), "", nil
}

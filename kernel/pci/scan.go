package pci

import (
	"gosv/kernel/boot"
	"gosv/kernel/platform"
)

// Bus is all of a machine's PCI: the functions that were found, and what it
// takes to set them up.
type Bus struct {
	Functions []*Function

	space   Space
	buses   int
	machine *platform.Machine
	visited [256]bool
	windows []window     // to assign BARs from,
	taken   []boot.Range // but for these
	message func(string)
	silent  bool // who has no driver may not interrupt
}

// maxFunctions bounds how many functions are looked at.
const maxFunctions = 1024

// Scan finds all functions. message is called with what is wrong.
func Scan(space Space, buses int, m *platform.Machine, message func(string)) *Bus {
	b := &Bus{space: space, buses: buses, machine: m, message: message}
	b.scan(0, nil, 32)
	return b
}

// scan looks at the first devices of a bus, which is behind bridge.
func (b *Bus) scan(bus int, bridge *Function, devices int) {
	b.visited[bus] = true
	for device := range devices {
		functions := 1
		for function := 0; function < functions && len(b.Functions) < maxFunctions; function++ {
			a := at(bus, device, function)
			id := b.space.Read(a, regID)
			if absent(id) {
				if function == 0 {
					break
				}
				continue
			}
			header := uint8(b.space.Read(a, regHeader) >> 16)
			if function == 0 && header&multipleFunctions != 0 {
				functions = 8
			}
			f := &Function{Address: a, Vendor: uint16(id), Device: uint16(id >> 16), bus: b, bridge: bridge, kind: header & typeMask}
			b.Functions = append(b.Functions, f)
			if f.kind == typeBridge {
				b.cross(f)
			}
		}
	}
}

// cross looks at what is behind a bridge, if the firmware has set it up.
func (b *Bus) cross(f *Function) {
	secondary := int(f.Config(regBuses) >> 8 & 0xff)
	switch {
	case secondary <= f.Bus() || secondary >= b.buses || b.visited[secondary]:
		b.message(f.String() + ": a bridge that leads nowhere: what is behind it is not looked at")
		return
	case f.isPort():
		b.scan(secondary, f, 1)
	default:
		b.scan(secondary, f, 32)
	}
}

// isPort says whether f is a port of PCI Express, behind which there is but
// one device (PCIe 7.5.3.2).
func (f *Function) isPort() bool {
	const rootPort, downstream = 4, 6
	c := f.capability(capabilityPCIe)
	if c.Off == 0 {
		return false
	}
	kind := c.Word >> 20 & 0xf
	return kind == rootPort || kind == downstream
}

// Package pci finds PCI functions and sets them up: PCI Local Bus Specification
// 3.0 and PCI Express Base Specification 4.0, to whose sections the comments
// refer ("PCI" and "PCIe").
//
// What a function says is not trusted: its capabilities may loop, its registers
// may claim to lie in RAM, its bridge to lead back to where one came from.
package pci

import (
	"sync"
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/platform"
)

var mapDevice = metal.MapDevice // tests have another

// Address is where a function is: bus, device and function number, as in a
// requester id.
type Address uint16

func at(bus, device, function int) Address { return Address(bus<<8 | device<<3 | function) }

func (a Address) Bus() int      { return int(a >> 8) }
func (a Address) Device() int   { return int(a >> 3 & 31) }
func (a Address) Function() int { return int(a & 7) }

// String formats the address as lspci does: "00:03.0".
func (a Address) String() string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[a>>12], digits[a>>8&15], ':', digits[a>>7&1], digits[a>>3&15], '.', digits[a&7]})
}

// Space is a way to the configuration space, which is read and written in
// aligned words of 32 bits. Each access is a VM exit, or two.
type Space interface {
	Read(a Address, off int) uint32
	Write(a Address, off int, v uint32)
}

// absent says whether the first word of a function's configuration space tells
// that there is none: all ones, or, where nobody answers on Firecracker, zero.
func absent(id uint32) bool { return id&0xffff == 0xffff || id&0xffff == 0 }

// Open returns the way to the machine's configuration space, and the buses it
// has at most; nil if there is no PCI. That a table names a range of memory
// does not mean that there is anything behind it; but where there is PCI,
// there is a host bridge.
func Open(m *platform.Machine) (s Space, buses int) {
	if m.NoPCI {
		return nil, 0
	}
	for _, e := range m.ECAM {
		if e.Segment != 0 || e.First != 0 {
			continue // of other buses, which nothing here leads to
		}
		s := newECAM(e)
		if !absent(s.Read(0, 0)) {
			return s, int(e.Last) + 1
		}
	}
	if p := new(ports); len(m.ECAM) == 0 && portsAnswer() && !absent(p.Read(0, 0)) {
		return p, 256
	}
	return nil, 0
}

// ecam is the configuration space in memory: 4 KiB for each function (PCIe
// 7.2.2). Each bus is mapped when it is first asked for.
type ecam struct {
	base  uintptr
	buses [256]unsafe.Pointer
}

func newECAM(e platform.ECAM) *ecam { return &ecam{base: uintptr(e.Addr)} }

func (e *ecam) word(a Address, off int) *uint32 {
	const perBus, perFunction = 1 << 20, 1 << 12
	bus := a.Bus()
	if e.buses[bus] == nil {
		e.buses[bus] = mapDevice(e.base+uintptr(bus)*perBus, perBus)
	}
	if e.buses[bus] == nil {
		return nil
	}
	return (*uint32)(unsafe.Add(e.buses[bus], int(a&0xff)*perFunction+off&^3))
}

func (e *ecam) Read(a Address, off int) uint32 {
	if p := e.word(a, off); p != nil {
		return load(p)
	}
	return 0xffffffff
}

func (e *ecam) Write(a Address, off int, v uint32) {
	if p := e.word(a, off); p != nil {
		store(p, v)
	}
}

// load and store access a register once, as one word, and without locking the
// bus, as package atomic's store does.
//
//go:noinline
func load(p *uint32) uint32 { return *p }

//go:noinline
func store(p *uint32, v uint32) { *p = v }

// ports is the configuration space behind two I/O ports (PCI 3.2.2.3.2). The devices' drivers start
// beside each other: nobody may come between one's address and its data.
type ports struct{ mu sync.Mutex }

const (
	configAddress = 0xcf8
	configData    = 0xcfc
	configEnable  = 1 << 31
)

// portsAnswer says whether there is somebody behind the ports.
func portsAnswer() bool {
	metal.Out32(configAddress, configEnable)
	return metal.In32(configAddress) == configEnable
}

func (p *ports) Read(a Address, off int) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	metal.Out32(configAddress, configEnable|uint32(a)<<8|uint32(off&0xfc))
	return metal.In32(configData)
}

func (p *ports) Write(a Address, off int, v uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	metal.Out32(configAddress, configEnable|uint32(a)<<8|uint32(off&0xfc))
	metal.Out32(configData, v)
}

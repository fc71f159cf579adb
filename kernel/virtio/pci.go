package virtio

import (
	"errors"
	"unsafe"

	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/pci"
)

// Ids of virtio functions (section 4.1.2). Those of transitional and legacy
// devices do not tell the type: the subsystem's does.
const (
	pciVendor      = 0x1af4
	pciFirst       = 0x1000
	pciFirstModern = 0x1040
	pciLast        = 0x107f
)

// pciFunction is a *pci.Function, as far as it is needed here.
type pciFunction interface {
	String() string
	Config(off int) uint32
	Capabilities(id uint8) []pci.Capability
	Enable(intx bool)
	IsIO(bar int) bool
	Ports(bar, n int) (uint16, error)
	Map(bar int, off, n uint64) (unsafe.Pointer, error)
	Connect(h interrupt.Handler) error
	MSIX(most int) (*pci.MSIX, error)
}

// NewPCI returns the transport to the device that f is; nil if it is none of
// virtio. It asks f nothing that is not needed to know that.
func NewPCI(f *pci.Function) Transport {
	if f.Vendor != pciVendor || f.Device < pciFirst || f.Device > pciLast {
		return nil
	}
	kind := uint32(f.Device) - pciFirstModern
	if f.Device < pciFirstModern {
		_, id := f.Subsystem()
		kind = uint32(id)
	}
	return &pciTransport{f: f, kind: kind}
}

// pciTransport is what the transports over PCI share, and which one it is once
// that is known.
type pciTransport struct {
	pciRegisters
	f       pciFunction
	kind    uint32
	msix    *pci.MSIX
	line    bool // interrupts come by the function's pin
	handler Handler
	vectors [2]uint16 // for changes of the configuration and for queues
}

// pciRegisters is one of the two layouts of registers: modern or legacy.
type pciRegisters interface {
	Legacy() bool
	Status() uint8
	SetStatus(uint8)
	Features() uint64
	SetFeatures(uint64)
	Generation() uint32
	ReadConfig(off, width int) uint32
	WriteConfig(off, width int, v uint32)
	QueueSize(i, want int) int
	EnableQueue(i int, r Rings) error
	Notify(i int)

	// isr reads and clears the causes of an interrupt by the pin.
	isr() uint8

	// setVectors says which messages are sent for changes of the configuration
	// and for queues to come.
	setVectors(config, queue uint16) error
}

const (
	noVector = 0xffff

	errVector Error = "it refuses to send messages for interrupts"
)

func (p *pciTransport) Type() uint32 { return p.kind }

func (p *pciTransport) String() string {
	s := p.f.String()
	switch {
	case p.pciRegisters == nil:
		return s
	case p.Legacy():
		s = "legacy " + s
	}
	switch {
	case p.msix != nil:
		s += ", MSI-X"
	case p.line:
		s += ", INTx"
	}
	return s
}

// Open finds the registers: modern ones where there are any.
func (p *pciTransport) Open() (err error) {
	if p.pciRegisters != nil {
		return nil
	}
	p.f.Enable(false)
	p.pciRegisters, err = openModern(p.f)
	if err == errNotModern {
		p.pciRegisters, err = openLegacy(p.f)
	}
	return err
}

// Connect uses two messages, or one, or else the function's pin.
func (p *pciTransport) Connect(h Handler) error {
	if p.handler != nil {
		return p.setVectors(p.vectors[0], p.vectors[1])
	}
	p.handler = h
	p.vectors = [2]uint16{noVector, noVector}
	err := p.connectMessages()
	if err == nil {
		return nil
	}
	p.msix = nil
	p.f.Enable(true)
	if pinErr := p.f.Connect(p.pinInterrupt); pinErr != nil {
		return errors.Join(err, pinErr)
	}
	p.line = true
	return p.setVectors(noVector, noVector)
}

func (p *pciTransport) connectMessages() (err error) {
	if p.msix, err = p.f.MSIX(2); err != nil {
		return err
	}
	queue := 1
	if p.msix.Len() == 1 {
		queue = 0
		err = p.msix.Connect(0, p.anyMessage)
	} else if err = p.msix.Connect(0, p.configMessage); err == nil {
		err = p.msix.Connect(1, p.usedMessage)
	}
	if err == nil {
		err = p.setVectors(0, uint16(queue))
	}
	if err != nil {
		p.msix.Off()
		return err
	}
	p.msix.Unmask()
	p.vectors = [2]uint16{0, uint16(queue)}
	return nil
}

func (p *pciTransport) usedMessage() bool {
	news, _ := p.handler.Used()
	return news
}

func (p *pciTransport) configMessage() bool {
	p.handler.Changed()
	return true
}

// anyMessage: nothing tells what it is for.
func (p *pciTransport) anyMessage() bool {
	news, heeds := p.handler.Used()
	if !news || heeds {
		p.handler.Changed()
	}
	return true
}

// pinInterrupt: reading the causes takes the function from the line, until the next
// cause.
func (p *pciTransport) pinInterrupt() bool {
	causes := p.isr()
	news, _ := p.handler.Used()
	if causes&causeConfig != 0 {
		p.handler.Changed()
	}
	return news || causes != 0
}

// registers returns n bytes of registers at off of a BAR, of either kind.
func registers(f pciFunction, bar int, off, n uint64) (Registers, error) {
	if f.IsIO(bar) {
		const all = 0x10000
		if off >= all || n > all {
			return nil, errNoRegisters
		}
		port, err := f.Ports(bar, int(off+n))
		return inPorts(port + uint16(off)), err
	}
	p, err := f.Map(bar, off, n)
	return InMemory{p}, err
}

const errNoRegisters Error = "its registers are nowhere"

// inPorts are registers behind I/O ports, from this one on.
type inPorts uint16

// Read implements Registers.
func (p inPorts) Read(off, width int) uint32 {
	port := uint16(p) + uint16(off)
	switch width {
	case 1:
		return uint32(metal.In8(port))
	case 2:
		return uint32(metal.In16(port))
	}
	return metal.In32(port)
}

// Write implements Registers.
func (p inPorts) Write(off, width int, v uint32) {
	port := uint16(p) + uint16(off)
	switch width {
	case 1:
		metal.Out8(port, uint8(v))
	case 2:
		metal.Out16(port, uint16(v))
	default:
		metal.Out32(port, v)
	}
}

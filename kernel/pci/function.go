package pci

import "strconv"

// Offsets in the configuration space (PCI 6.1).
const (
	regID         = 0x00 // vendor, device
	regCommand    = 0x04 // command, status
	regClass      = 0x08 // revision, class
	regHeader     = 0x0c // its third byte is the header's type
	regBAR        = 0x10
	regBuses      = 0x18 // of a bridge: primary, secondary, subordinate
	regSubsystem  = 0x2c
	regCapability = 0x34
	regInterrupt  = 0x3c // line, pin

	typeBridge        = 1
	typeMask          = 0x7f
	multipleFunctions = 0x80

	commandIO       = 1 << 0
	commandMemory   = 1 << 1
	commandMaster   = 1 << 2
	commandNoINTx   = 1 << 10
	statusHasCaps   = 1 << (16 + 4)
	commandWritable = 0xffff // the status bits above are cleared by writing ones
)

// Ids of capabilities.
const (
	CapabilityVendor = 0x09
	capabilityPCIe   = 0x10
	capabilityMSIX   = 0x11
)

// Function is a function of a device on the bus.
type Function struct {
	Address
	Vendor, Device uint16

	bus    *Bus
	bridge *Function // that it is behind; nil on bus 0
	kind   uint8     // of header

	bars         [6]uint32
	barsRead     uint8 // which of them were
	enabled      bool
	hasList      bool // of capabilities, as far as is known
	listed       bool
	capabilities []Capability
}

// String says what and where the function is.
func (f *Function) String() string {
	return "PCI " + f.Address.String() + " (" + hex4(f.Vendor) + ":" + hex4(f.Device) + ")"
}

func hex4(v uint16) string {
	return strconv.FormatUint(0x10000|uint64(v), 16)[1:]
}

// Config reads the aligned 32-bit word at off of the configuration space.
func (f *Function) Config(off int) uint32 { return f.bus.space.Read(f.Address, off) }

// SetConfig writes it.
func (f *Function) SetConfig(off int, v uint32) { f.bus.space.Write(f.Address, off, v) }

// Subsystem is the subsystem's vendor and id.
func (f *Function) Subsystem() (vendor, id uint16) {
	v := f.Config(regSubsystem)
	return uint16(v), uint16(v >> 16)
}

// Revision is the revision id.
func (f *Function) Revision() uint8 { return uint8(f.Config(regClass)) }

// Enable lets the function answer accesses to its registers and access memory
// itself; intx says whether it may interrupt by its pin.
func (f *Function) Enable(intx bool) {
	f.enabled = true
	v := f.Config(regCommand)
	f.hasList = v&statusHasCaps != 0
	v &= commandWritable
	on := v | commandIO | commandMemory | commandMaster | commandNoINTx
	if intx {
		on &^= commandNoINTx
	}
	if on != v {
		f.SetConfig(regCommand, on)
	}
}

// Capability is an entry of the list of capabilities: its offset, and the word that was there
// when the list was read, id and next among it.
type Capability struct {
	Off  int
	Word uint32
}

// Capabilities returns all capabilities of that id, in their order.
func (f *Function) Capabilities(id uint8) (all []Capability) {
	if !f.listed {
		f.listed = true
		f.list()
	}
	for _, c := range f.capabilities {
		if uint8(c.Word) == id {
			all = append(all, c)
		}
	}
	return all
}

// capability returns the first capability of that id, or one of offset 0.
func (f *Function) capability(id uint8) Capability {
	if all := f.Capabilities(id); len(all) > 0 {
		return all[0]
	}
	return Capability{}
}

// list reads the list of capabilities (PCI 6.7), whose links may lead anywhere,
// and in circles.
func (f *Function) list() {
	const first = 0x40 // behind the header
	if !f.hasList && f.Config(regCommand)&statusHasCaps == 0 {
		return
	}
	var seen [0x100 / 4]bool
	for off := int(f.Config(regCapability) & 0xfc); off >= first && !seen[off/4]; {
		seen[off/4] = true
		v := f.Config(off)
		if v == 0xffffffff {
			return // the function is gone
		}
		f.capabilities = append(f.capabilities, Capability{off, v})
		off = int(v >> 8 & 0xfc)
	}
}

package virtio

// Registers of MMIO version 2 (section 4.2.2).
const (
	mmioMagic             = 0x00
	mmioVersion           = 0x04
	mmioDeviceID          = 0x08
	mmioDeviceFeatures    = 0x10
	mmioDeviceFeaturesSel = 0x14
	mmioDriverFeatures    = 0x20
	mmioDriverFeaturesSel = 0x24
	mmioQueueSel          = 0x30
	mmioQueueNumMax       = 0x34
	mmioQueueNum          = 0x38
	mmioQueueReady        = 0x44
	mmioQueueNotify       = 0x50
	mmioInterruptStatus   = 0x60
	mmioInterruptACK      = 0x64
	mmioStatus            = 0x70
	mmioQueueDesc         = 0x80 // low half, then high half
	mmioQueueDriver       = 0x90
	mmioQueueDevice       = 0xa0
	mmioConfigGeneration  = 0xfc
	mmioConfig            = 0x100

	mmioMagicValue = 0x74726976 // "virt"

	// Causes of an interrupt, also those of a PCI device's ISR.
	causeUsed   = 1
	causeConfig = 2
)

// Line is an interrupt line as a Transport uses it.
type Line struct {
	// Connect has handler called for each edge of the line, on a goroutine that
	// serves all devices: also where the line is said to trigger by level, as
	// the handler saw it inactive once before it returns. It says whether the
	// device had news.
	Connect func(handler func() (news bool)) error

	Level bool   // the line stays active until all causes are acknowledged
	Name  string // "GSI 5"
}

// mmio is the transport by registers in memory.
type mmio struct {
	regs   Registers
	line   Line
	where  string
	kind   uint32
	legacy bool

	handler Handler
}

const (
	errNoMagic Error = "there is no virtio-mmio device"
	errVersion Error = "it has a version of virtio-mmio that nobody knows"
)

// NewMMIO returns the transport to the device with these registers, which are
// at the place that where names; nil if there is a place for a device only.
func NewMMIO(regs Registers, line Line, where string) (Transport, error) {
	if regs.Read(mmioMagic, 4) != mmioMagicValue {
		return nil, errNoMagic
	}
	kind := regs.Read(mmioDeviceID, 4)
	if kind == 0 {
		return nil, nil
	}
	version := regs.Read(mmioVersion, 4)
	if version != 1 && version != 2 {
		return nil, errVersion
	}
	return &mmio{regs: regs, line: line, where: where, kind: kind, legacy: version == 1}, nil
}

func (m *mmio) Type() uint32 { return m.kind }
func (m *mmio) Open() error  { return nil }
func (m *mmio) Legacy() bool { return m.legacy }

func (m *mmio) String() string {
	if m.legacy {
		return "legacy virtio-mmio at " + m.where + ", " + m.line.Name
	}
	return "virtio-mmio at " + m.where + ", " + m.line.Name
}

func (m *mmio) Status() uint8     { return uint8(m.regs.Read(mmioStatus, 4)) }
func (m *mmio) SetStatus(s uint8) { m.regs.Write(mmioStatus, 4, uint32(s)) }

func (m *mmio) Features() uint64 {
	f := uint64(0)
	for half := range m.featureWords() {
		m.regs.Write(mmioDeviceFeaturesSel, 4, uint32(half))
		f |= uint64(m.regs.Read(mmioDeviceFeatures, 4)) << (32 * half)
	}
	return f
}

func (m *mmio) SetFeatures(f uint64) {
	for half := range m.featureWords() {
		m.regs.Write(mmioDriverFeaturesSel, 4, uint32(half))
		m.regs.Write(mmioDriverFeatures, 4, uint32(f>>(32*half)))
	}
}

func (m *mmio) featureWords() int {
	if m.legacy {
		return 1
	}
	return 2
}

func (m *mmio) Generation() uint32 {
	if m.legacy {
		return 0
	}
	return m.regs.Read(mmioConfigGeneration, 4)
}

func (m *mmio) ReadConfig(off, width int) uint32     { return m.regs.Read(mmioConfig+off, width) }
func (m *mmio) WriteConfig(off, width int, v uint32) { m.regs.Write(mmioConfig+off, width, v) }

func (m *mmio) QueueSize(i, want int) int {
	m.regs.Write(mmioQueueSel, 4, uint32(i))
	most := m.regs.Read(mmioQueueNumMax, 4)
	return int(min(uint32(want), most))
}

func (m *mmio) EnableQueue(_ int, r Rings) error {
	if m.legacy {
		return m.enableLegacy(r)
	}
	m.regs.Write(mmioQueueNum, 4, uint32(r.Size))
	write64(m.regs, mmioQueueDesc, r.Desc)
	write64(m.regs, mmioQueueDriver, r.Avail)
	write64(m.regs, mmioQueueDevice, r.Used)
	m.regs.Write(mmioQueueReady, 4, 1)
	return nil
}

func (m *mmio) Notify(i int) { m.regs.Write(mmioQueueNotify, 4, uint32(i)) }

func (m *mmio) Connect(h Handler) error {
	if m.handler != nil {
		return nil
	}
	m.handler = h
	if m.line.Level {
		return m.line.Connect(m.levelInterrupt)
	}
	return m.line.Connect(m.edgeInterrupt)
}

// edgeInterrupt: the device makes an edge for each event, acknowledged or not.
// Memory tells what the registers, which cost VM exits, do only where somebody
// heeds changes of the configuration.
func (m *mmio) edgeInterrupt() bool {
	news, heeds := m.handler.Used()
	if news && !heeds {
		return true
	}
	if m.regs.Read(mmioInterruptStatus, 4)&causeConfig != 0 {
		m.regs.Write(mmioInterruptACK, 4, causeConfig)
		m.handler.Changed()
		news = true
	}
	return news
}

// levelInterrupt: the next edge comes once all causes are acknowledged, and seen
// to be.
func (m *mmio) levelInterrupt() (news bool) {
	for range passes {
		causes := uint32(causeUsed)
		if used, _ := m.handler.Used(); !used {
			causes = m.regs.Read(mmioInterruptStatus, 4)
		}
		if causes == 0 {
			return news
		}
		news = true
		m.regs.Write(mmioInterruptACK, 4, causes)
		m.handler.Used() // what came before the acknowledgement
		if causes&causeConfig != 0 {
			m.handler.Changed()
		}
	}
	m.handler.Fail(errStorm)
	return news
}

const (
	passes = 1000 // at most, until all is acknowledged

	errStorm Error = "its interrupt does not end"
)

package virtio

import "gosv/kernel/pci"

// modernPCI is the registers of virtio 1.0 and later on PCI (section 4.1.4):
// four structures, wherever the function's capabilities say.
type modernPCI struct {
	common Registers
	notify Registers
	status Registers // of interrupts by the pin
	device Registers // the configuration; nil if there is none

	deviceLen  int
	notifyLen  uint32
	multiplier uint32
	notifyOff  [maxQueues]uint32 // where in notify

	queueVector uint16
}

// Types of capabilities (section 4.1.4).
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
)

// The common structure (section 4.1.4.3).
const (
	commonDeviceFeatureSelect = 0x00
	commonDeviceFeature       = 0x04
	commonDriverFeatureSelect = 0x08
	commonDriverFeature       = 0x0c
	commonConfigVector        = 0x10 // u16
	commonStatus              = 0x14 // u8
	commonGeneration          = 0x15 // u8
	commonQueueSelect         = 0x16 // u16, as those that follow
	commonQueueSize           = 0x18
	commonQueueVector         = 0x1a
	commonQueueEnable         = 0x1c
	commonQueueNotifyOff      = 0x1e
	commonQueueDesc           = 0x20 // u64
	commonQueueDriver         = 0x28
	commonQueueDevice         = 0x30
	commonSize                = 0x38
)

const (
	maxQueues = 64   // that a driver uses
	maxDevice = 4096 // bytes of configuration

	errNotModern Error = "it has no registers of virtio 1.0"
	errNotify    Error = "the place to notify it for a queue is outside of its registers"
)

// openModern returns the modern registers of f. Of several structures of a type
// the first one counts.
func openModern(f pciFunction) (pciRegisters, error) {
	m := &modernPCI{}
	for _, c := range f.Capabilities(pci.CapabilityVendor) {
		off, kind := c.Off, c.Word>>24
		open := func(regs *Registers, least, most uint32) (n uint32, err error) {
			if n = min(f.Config(off+12), most); *regs != nil || n < least {
				return 0, nil
			}
			bar := int(f.Config(off+4) & 0xff)
			*regs, err = registers(f, bar, uint64(f.Config(off+8)), uint64(n))
			return n, err
		}
		var n uint32
		var err error
		switch kind {
		case capCommon:
			_, err = open(&m.common, commonSize, commonSize)
		case capNotify:
			if n, err = open(&m.notify, 2, 1<<20); n > 0 {
				m.notifyLen = n
				m.multiplier = f.Config(off + 16)
			}
		case capISR:
			_, err = open(&m.status, 1, 1)
		case capDevice:
			if n, err = open(&m.device, 1, maxDevice); n > 0 {
				m.deviceLen = int(n)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if m.common == nil || m.notify == nil || m.status == nil {
		return nil, errNotModern
	}
	return m, nil
}

func (m *modernPCI) Legacy() bool { return false }

func (m *modernPCI) Status() uint8     { return uint8(m.common.Read(commonStatus, 1)) }
func (m *modernPCI) SetStatus(s uint8) { m.common.Write(commonStatus, 1, uint32(s)) }

func (m *modernPCI) Features() (f uint64) {
	for half := range 2 {
		m.common.Write(commonDeviceFeatureSelect, 4, uint32(half))
		f |= uint64(m.common.Read(commonDeviceFeature, 4)) << (32 * half)
	}
	return f
}

func (m *modernPCI) SetFeatures(f uint64) {
	for half := range 2 {
		m.common.Write(commonDriverFeatureSelect, 4, uint32(half))
		m.common.Write(commonDriverFeature, 4, uint32(f>>(32*half)))
	}
}

func (m *modernPCI) Generation() uint32 { return m.common.Read(commonGeneration, 1) }

func (m *modernPCI) ReadConfig(off, width int) uint32 {
	if off+width > m.deviceLen {
		return 0
	}
	return m.device.Read(off, width)
}

func (m *modernPCI) WriteConfig(off, width int, v uint32) {
	if off+width <= m.deviceLen {
		m.device.Write(off, width, v)
	}
}

func (m *modernPCI) QueueSize(i, want int) int {
	if i >= maxQueues {
		return 0
	}
	m.common.Write(commonQueueSelect, 2, uint32(i))
	return min(want, int(m.common.Read(commonQueueSize, 2)))
}

func (m *modernPCI) EnableQueue(i int, r Rings) error {
	at := uint64(m.common.Read(commonQueueNotifyOff, 2)) * uint64(m.multiplier)
	if at+2 > uint64(m.notifyLen) {
		return errNotify
	}
	m.notifyOff[i] = uint32(at)
	m.common.Write(commonQueueSize, 2, uint32(r.Size))
	if err := setVector(m.common, commonQueueVector, m.queueVector); err != nil {
		return err
	}
	write64(m.common, commonQueueDesc, r.Desc)
	write64(m.common, commonQueueDriver, r.Avail)
	write64(m.common, commonQueueDevice, r.Used)
	m.common.Write(commonQueueEnable, 2, 1)
	return nil
}

func (m *modernPCI) Notify(i int) { m.notify.Write(int(m.notifyOff[i]), 2, uint32(i)) }

func (m *modernPCI) isr() uint8 { return uint8(m.status.Read(0, 1)) }

func (m *modernPCI) setVectors(config, queue uint16) error {
	m.queueVector = queue
	return setVector(m.common, commonConfigVector, config)
}

// setVector writes which message to send. A device that lacks what it takes says
// so by not keeping it (section 4.1.5.1.2).
func setVector(regs Registers, off int, v uint16) error {
	if v == noVector {
		return nil // as after a reset
	}
	regs.Write(off, 2, uint32(v))
	if uint16(regs.Read(off, 2)) != v {
		return errVector
	}
	return nil
}

package virtio

// legacyPCI is the registers of legacy devices on PCI (section 4.1.4.8): in
// the first BAR, which names I/O ports.
type legacyPCI struct {
	regs        Registers
	config      int // where the configuration begins
	queueVector uint16
}

const (
	legacyDeviceFeatures = 0x00
	legacyDriverFeatures = 0x04
	legacyQueueAddress   = 0x08 // number of its page
	legacyQueueSize      = 0x0c // u16
	legacyQueueSelect    = 0x0e // u16
	legacyQueueNotify    = 0x10 // u16
	legacyStatus         = 0x12 // u8
	legacyISR            = 0x13 // u8
	legacyConfig         = 0x14 // the configuration, or while MSI-X is on:
	legacyConfigVector   = 0x14 // u16
	legacyQueueVector    = 0x16 // u16
	legacyConfigMSIX     = 0x18

	legacyPorts = 0x40 // more than any configuration that is used has
)

func openLegacy(f pciFunction) (pciRegisters, error) {
	regs, err := registers(f, 0, 0, legacyPorts)
	if err != nil {
		return nil, err
	}
	return &legacyPCI{regs: regs, config: legacyConfig, queueVector: noVector}, nil
}

func (l *legacyPCI) Legacy() bool { return true }

func (l *legacyPCI) Status() uint8     { return uint8(l.regs.Read(legacyStatus, 1)) }
func (l *legacyPCI) SetStatus(s uint8) { l.regs.Write(legacyStatus, 1, uint32(s)) }

func (l *legacyPCI) Features() uint64     { return uint64(l.regs.Read(legacyDeviceFeatures, 4)) }
func (l *legacyPCI) SetFeatures(f uint64) { l.regs.Write(legacyDriverFeatures, 4, uint32(f)) }

func (l *legacyPCI) Generation() uint32 { return 0 }

func (l *legacyPCI) ReadConfig(off, width int) uint32     { return l.regs.Read(l.config+off, width) }
func (l *legacyPCI) WriteConfig(off, width int, v uint32) { l.regs.Write(l.config+off, width, v) }

// QueueSize: it is as the device has it.
func (l *legacyPCI) QueueSize(i, _ int) int {
	l.regs.Write(legacyQueueSelect, 2, uint32(i))
	return int(l.regs.Read(legacyQueueSize, 2))
}

func (l *legacyPCI) EnableQueue(_ int, r Rings) error {
	page, err := pageNumber(r)
	if err != nil {
		return err
	}
	if err := setVector(l.regs, legacyQueueVector, l.queueVector); err != nil {
		return err
	}
	l.regs.Write(legacyQueueAddress, 4, page)
	return nil
}

func (l *legacyPCI) Notify(i int) { l.regs.Write(legacyQueueNotify, 2, uint32(i)) }

func (l *legacyPCI) isr() uint8 { return uint8(l.regs.Read(legacyISR, 1)) }

func (l *legacyPCI) setVectors(config, queue uint16) error {
	l.queueVector = queue
	l.config = legacyConfig
	if config == noVector {
		return nil
	}
	l.config = legacyConfigMSIX
	return setVector(l.regs, legacyConfigVector, config)
}

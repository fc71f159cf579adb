package pci

import (
	"errors"
	"unsafe"

	"gosv/kernel/interrupt"
)

// MSI-X (PCI 6.8.2): a table in the function's own memory says what it writes,
// and where, for each of its interrupts.
const (
	msixTable    = 4 // offset in the capability: BAR in three bits, offset in the others
	msixSizeMask = 0x7ff
	msixEnable   = 1 << 31
	msixMaskAll  = 1 << 30

	entrySize    = 16
	entryAddr    = 0 // u64
	entryData    = 8
	entryControl = 12
	entryMasked  = 1
)

// MSIX is the message signalled interrupts of a function.
type MSIX struct {
	f     *Function
	cap   int
	word  uint32 // first of the capability
	table unsafe.Pointer
	n     int
}

var errNoMSIX = errors.New("it has no MSI-X")

// MSIX switches f's message signalled interrupts on: as many as it has, at
// most most. It sends none before all are connected and Unmask is called.
func (f *Function) MSIX(most int) (*MSIX, error) {
	c := f.capability(capabilityMSIX)
	if c.Off == 0 {
		return nil, errNoMSIX
	}
	n := min(int(c.Word>>16&msixSizeMask)+1, most)
	at := f.Config(c.Off + msixTable)
	table, err := f.Map(int(at&7), uint64(at&^7), uint64(n)*entrySize)
	if err != nil {
		return nil, err
	}
	x := &MSIX{f: f, cap: c.Off, word: c.Word &^ (msixEnable | msixMaskAll), table: table, n: n}
	f.SetConfig(x.cap, x.word|msixEnable|msixMaskAll)
	return x, nil
}

// Unmask lets the function send interrupts.
func (x *MSIX) Unmask() { x.f.SetConfig(x.cap, x.word|msixEnable) }

// Len is how many interrupts there are.
func (x *MSIX) Len() int { return x.n }

// Connect has h called for interrupt i.
func (x *MSIX) Connect(i int, h interrupt.Handler) error {
	addr, data, err := interrupt.Message(h, func() { x.Mask(i) })
	if err != nil {
		return err
	}
	x.write(i, entryAddr, uint32(addr))
	x.write(i, entryAddr+4, uint32(addr>>32))
	x.write(i, entryData, data)
	x.write(i, entryControl, 0)
	return nil
}

// Mask keeps the function from sending interrupt i.
func (x *MSIX) Mask(i int) { x.write(i, entryControl, entryMasked) }

// Off switches message signalled interrupts off again.
func (x *MSIX) Off() { x.f.SetConfig(x.cap, x.word) }

func (x *MSIX) write(i, off int, v uint32) {
	store((*uint32)(unsafe.Add(x.table, i*entrySize+off)), v)
}

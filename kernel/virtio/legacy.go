package virtio

// What the interface from before virtio 1.0 (draft 0.9.5; the "Legacy
// Interface" sections of 1.2) has different, all of it:
//
//   - Features have 32 bits, and no FEATURES_OK in the status says whether the
//     device takes them (Negotiate and Start in device.go).
//   - A queue is one piece, its used ring at the next multiple of 4096, and the
//     device is told the number of its page (here). On PCI the device alone says
//     how long a queue is (pcilegacy.go).
//   - The configuration has no generation: a driver reads until it has read the
//     same twice. And it is as wide as the machine has bytes in order: little-endian
//     on x86, as virtio 1.0 always.
//   - The length of a used buffer is not to be relied on (Next in queue.go).
//   - A network packet's header is 10 bytes, and 12 only with mergeable receive
//     buffers; that is its driver's business (Device.Legacy).
const legacyAlign = 4096

const errTooHigh Error = "memory above 16 TiB is out of its reach"

// pageNumber is what a legacy device is told of a queue.
func pageNumber(r Rings) (uint32, error) {
	pfn := r.Desc / legacyAlign
	if pfn>>32 != 0 {
		return 0, errTooHigh
	}
	return uint32(pfn), nil
}

// Registers of MMIO version 1 (section 4.2.4) that version 2 has not; and it has
// none of version 2's addresses of rings, generation and queueReady.
const (
	mmioGuestPageSize = 0x28
	mmioQueueAlign    = 0x3c
	mmioQueuePFN      = 0x40
)

// enableLegacy is EnableQueue of MMIO version 1, queue i being selected.
func (m *mmio) enableLegacy(r Rings) error {
	pfn, err := pageNumber(r)
	if err != nil {
		return err
	}
	m.regs.Write(mmioGuestPageSize, 4, legacyAlign)
	m.regs.Write(mmioQueueNum, 4, uint32(r.Size))
	m.regs.Write(mmioQueueAlign, 4, legacyAlign)
	m.regs.Write(mmioQueuePFN, 4, pfn)
	return nil
}

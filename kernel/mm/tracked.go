package mm

import (
	"unsafe"

	"gosv/kernel/errno"
	"gosv/kernel/metal"
)

// fillTracked maps the page at va from where the file has it in memory, and those
// around it that are there, or asks for it to be fetched.
func (s *Space) fillTracked(v *VMA, va uintptr, e *uint64, a Access) Fault {
	write := a == ToWrite && v.WritesFile()
	rights := v.fileRights()
	if !write {
		rights &^= pteWrite
	}
	first, err := v.File.Pages(v.Offset(va), 1, write)
	switch {
	case err == errno.EAGAIN:
		return s.waitFor(v.File, v.Offset(va))
	case len(first) == 0:
		return FaultBeyond
	}
	*e = uint64(metal.PhysOf(unsafe.Pointer(&first[0]))) | rights
	if write {
		return FaultOK
	}
	const block = FileAround * PageSize
	for at, hi := max(va&^(block-1), v.Lo), min(va&^(block-1)+block, v.Hi); at < hi; at += PageSize {
		p := (*uint64)(unsafe.Add(unsafe.Pointer(e), (int(at)-int(va))>>9))
		if *p != 0 {
			continue
		}
		if b, _ := v.File.Pages(v.Offset(at), 1, false); len(b) != 0 {
			*p = uint64(metal.PhysOf(unsafe.Pointer(&b[0]))) | rights
		}
	}
	return FaultOK
}

// shareTracked makes the page at va, which is mapped for reading, one that can be
// written.
func (s *Space) shareTracked(v *VMA, va uintptr, e *uint64) Fault {
	b, err := v.File.Pages(v.Offset(va), 1, true)
	if err != 0 || len(b) == 0 {
		return FaultBeyond
	}
	*e = uint64(metal.PhysOf(unsafe.Pointer(&b[0]))) | v.fileRights()
	return FaultOK
}

// waitFor has the fault fetch a page of d's before it tries again.
func (s *Space) waitFor(d Backing, off int64) Fault {
	d.Retain()
	s.wanted, s.wantedOff = d, off
	return faultWait
}

// fetchWanted fetches what waitFor named; s.mu is held before and after.
func (s *Space) fetchWanted() errno.Errno {
	d, off := s.wanted, s.wantedOff
	s.wanted = nil
	s.mu.Unlock()
	err := d.Fetch(off)
	d.Release()
	s.mu.Lock()
	return err
}

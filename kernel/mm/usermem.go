package mm

import (
	"unsafe"

	"gosv/kernel/errno"
	"gosv/kernel/metal"
)

// User memory is read and written through the application's own mappings,
// only by the functions here. A kernel's or non-canonical address fails before it is
// touched. A page that is not there is brought in, which takes the space's lock.
//
// Kernel memory stands for itself as unsafe.Pointer until the very call of
// metal.Copy: as a uintptr it would go stale when the goroutine's stack moves.

// ReadSome copies up to n bytes from user memory to dst and returns how many
// it could.
func (s *Space) ReadSome(dst unsafe.Pointer, addr, n uintptr) (done uintptr) {
	if !UserRange(addr, n) {
		return 0
	}
	left := metal.Copy(uintptr(dst), addr, n)
	for left != 0 && s.BringIn(addr+n-left, ToRead) {
		left = metal.Copy(uintptr(dst)+n-left, addr+n-left, left)
	}
	return n - left
}

// WriteSome copies up to n bytes from src to user memory and returns how many
// it could.
func (s *Space) WriteSome(addr uintptr, src unsafe.Pointer, n uintptr) (done uintptr) {
	if !UserRange(addr, n) {
		return 0
	}
	left := metal.Copy(addr, uintptr(src), n)
	for left != 0 && s.BringIn(addr+n-left, ToWrite) {
		left = metal.Copy(addr+n-left, uintptr(src)+n-left, left)
	}
	return n - left
}

// Load32 reads a word of user memory, which must be aligned, at once.
func (s *Space) Load32(addr uintptr) (uint32, errno.Errno) {
	for {
		if v, ok := metal.Load32(addr); ok {
			return v, 0
		}
		if !s.BringIn(addr, ToRead) {
			return 0, errno.EFAULT
		}
	}
}

// SharedAt returns the physical address of what lies at addr if others may have it
// at another address, else 0; EFAULT if there is nothing that a futex could be in.
func (s *Space) SharedAt(addr uintptr) (uintptr, errno.Errno) {
	for {
		s.mu.Lock()
		v := s.maps.at(addr)
		isShared := v != nil && v.Flags&Shared != 0
		// Linux takes hold of the page: one of anonymous memory must be writable for that.
		usable := v != nil && (v.Prot&Write != 0 || v.Prot&Read != 0 && (isShared || v.File != nil))
		frame := uintptr(0)
		if isShared {
			s.walk(addr&^pageMask, addr&^pageMask+PageSize, func(va uintptr, e *uint64) { frame = uintptr(*e & pteAddr) })
		}
		s.mu.Unlock()
		switch {
		case !usable:
			return 0, errno.EFAULT
		case !isShared:
			return 0, 0
		case frame != 0:
			return frame | addr&pageMask, 0
		case !s.BringIn(addr, ToRead):
			return 0, errno.EFAULT
		}
	}
}

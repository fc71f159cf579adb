package bpf

import (
	"sync/atomic"

	"gosv/internal/le"
	"gosv/kernel/errno"
)

// Options of SOL_SOCKET (socket(7)).
const (
	SoAttach = 26 // SO_ATTACH_FILTER
	SoDetach = 27
	SoLock   = 44

	SoAttachGroup = 51 // SO_ATTACH_REUSEPORT_CBPF
	SoDetachGroup = 68 // SO_DETACH_REUSEPORT_BPF
)

// IsOption says whether an option of SOL_SOCKET is about filters.
func IsOption(name uintptr) bool { return name == SoAttach || name == SoDetach || name == SoLock }

// Slot is where a socket has its filter.
type Slot struct {
	program atomic.Pointer[Program]
	locked  atomic.Bool
}

// Program returns the filter, nil if there is none.
func (s *Slot) Program() *Program { return s.program.Load() }

// Locked says whether the filter is for good.
func (s *Slot) Locked() bool { return s.locked.Load() }

// Set sets an option; the value of SoAttach is the program itself.
func (s *Slot) Set(option uintptr, value []byte) errno.Errno {
	switch on := len(value) >= 4 && le.U32(value, 0) != 0; {
	case option == SoLock && len(value) < 4, option == SoDetach && len(value) < 4:
		return errno.EINVAL
	case s.locked.Load() && !(option == SoLock && on):
		return errno.EPERM
	case option == SoLock:
		s.locked.Store(on)
	case option == SoDetach:
		if s.program.Swap(nil) == nil {
			return errno.ENOENT
		}
	default:
		p := Parse(value)
		if p == nil {
			return errno.EINVAL
		}
		s.program.Store(&p)
	}
	return 0
}

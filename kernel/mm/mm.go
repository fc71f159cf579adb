// Package mm is the memory of applications: address spaces with their mappings, the
// page tables that are filled from them on page faults, and the ways in which the
// kernel reads and writes what lies there.
//
// A Space has one lock. Files are asked for their pages with it held; what else
// may be asked for then says so.
package mm

import "gosv/kernel/errno"

const (
	PageSize = 4096
	pageMask = PageSize - 1

	UserTop = 1<<47 - PageSize // TASK_SIZE_MAX (arch/x86/include/asm/page_64_types.h)

	Unlimited = ^uintptr(0) // a limit that is none
)

// PageUp rounds n up to whole pages; 0 if that overflows.
func PageUp(n uintptr) uintptr { return (n + pageMask) &^ pageMask }

// UserRange says whether [addr, addr+n) lies in the lower half.
func UserRange(addr, n uintptr) bool { return addr <= UserTop && n <= UserTop-addr }

// Backing is an open file as memory sees it: something whose pages can be
// mapped where they are.
//
// The memory that Pages returned stays what it is, even if the file is
// truncated or removed meanwhile, as long as somebody holds a reference.
type Backing interface {
	// Pages returns the file's contents from off on, a multiple of 4096, as
	// memory in the direct map that begins on a page: a multiple of 4096 bytes,
	// at least one page and at most max pages, as many as lie in one piece.
	// Beyond the file's end the last page is zero. It returns nothing if off
	// is at or beyond the end. With write, the pages are about to be written
	// through a shared mapping: holes must be filled first.
	//
	// It is called with the space's lock held, so it must not touch user memory,
	// nor take a lock under which user memory is touched. EAGAIN: the first page
	// is on a disk.
	Pages(off int64, max int, write bool) ([]byte, errno.Errno)

	// Fetch waits until the page at off, for which Pages returned EAGAIN, is in
	// memory. No lock is held.
	Fetch(off int64) errno.Errno

	// Tracked says that a page has to be known that is written to, so that one is
	// mapped for writing only when it is written.
	Tracked() bool

	// Retain and Release count the references to it by mappings.
	Retain()
	Release()

	// MapsName describes it for /proc/PID/maps.
	MapsName() (dev, ino uint64, path string)
}

// Puncher is a Backing that can have holes.
type Puncher interface {
	Backing

	// Punch makes a hole of n bytes at off (MADV_REMOVE). No lock is held.
	Punch(off, n int64) errno.Errno
}

// Locker is who asks for pages to be locked.
type Locker interface {
	// LockLimit is how many bytes it may have locked in all. It is called with the
	// space's lock held.
	LockLimit() uintptr
}

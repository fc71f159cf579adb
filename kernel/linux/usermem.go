package linux

import (
	"math"
	"unsafe"

	"gosv/kernel/mm"
)

// User memory is read and written only by the functions here, and mm's below them:
// what cannot be is EFAULT. A page that is not there is brought in, which takes the
// space's lock.

const (
	pageSize = mm.PageSize
	pageMask = pageSize - 1

	userTop = mm.UserTop

	maxPath = 4096                      // PATH_MAX, with the final zero byte
	maxIOV  = 1024                      // UIO_MAXIOV
	maxRW   = math.MaxInt32 &^ pageMask // MAX_RW_COUNT
)

// userRange is mm.UserRange.
func userRange(addr, n uintptr) bool { return mm.UserRange(addr, n) }

// CopyIn fills dst from user memory at addr, CopyOut writes src there.
func (t *Thread) CopyIn(dst []byte, addr uintptr) Errno {
	if n := uintptr(len(dst)); t.space.ReadSome(unsafe.Pointer(unsafe.SliceData(dst)), addr, n) != n {
		return EFAULT
	}
	return 0
}

func (t *Thread) CopyOut(addr uintptr, src []byte) Errno {
	if n := uintptr(len(src)); t.space.WriteSome(addr, unsafe.Pointer(unsafe.SliceData(src)), n) != n {
		return EFAULT
	}
	return 0
}

// CopyInSome and CopyOutSome do as much as there is memory for and return
// how many bytes that is: for calls that report a short count.
func (t *Thread) CopyInSome(dst []byte, addr uintptr) int {
	return int(t.space.ReadSome(unsafe.Pointer(unsafe.SliceData(dst)), addr, uintptr(len(dst))))
}

func (t *Thread) CopyOutSome(addr uintptr, src []byte) int {
	return int(t.space.WriteSome(addr, unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(src))))
}

// copyIn reads a T, which must hold no pointers, from user memory; copyOut
// writes one.
func copyIn[T any](t *Thread, v *T, addr uintptr) Errno {
	if n := unsafe.Sizeof(*v); t.space.ReadSome(unsafe.Pointer(v), addr, n) != n {
		return EFAULT
	}
	return 0
}

func copyOut[T any](t *Thread, addr uintptr, v *T) Errno {
	if n := unsafe.Sizeof(*v); t.space.WriteSome(addr, unsafe.Pointer(v), n) != n {
		return EFAULT
	}
	return 0
}

// copyInSlice and copyOutSlice do so with the elements of v.
func copyInSlice[T any](t *Thread, v []T, addr uintptr) Errno {
	var e T
	if n := unsafe.Sizeof(e) * uintptr(len(v)); t.space.ReadSome(unsafe.Pointer(unsafe.SliceData(v)), addr, n) != n {
		return EFAULT
	}
	return 0
}

func copyOutSlice[T any](t *Thread, addr uintptr, v []T) Errno {
	var e T
	if n := unsafe.Sizeof(e) * uintptr(len(v)); t.space.WriteSome(addr, unsafe.Pointer(unsafe.SliceData(v)), n) != n {
		return EFAULT
	}
	return 0
}

var zeros [pageSize]byte

// copyInString reads a string that ends with a zero byte, which must be
// among its first max bytes: tooLong if it is not.
func (t *Thread) copyInString(addr uintptr, max int, tooLong Errno) (string, Errno) {
	var first [256]byte // most are short
	buf := first[:0]
	for {
		// Up to a page's end: what follows the string may not be there.
		n := min(256, int(pageSize-addr&pageMask), max-len(buf))
		if n <= 0 {
			return "", tooLong
		}
		var chunk [256]byte
		k := t.CopyInSome(chunk[:n], addr)
		for i, c := range chunk[:k] {
			if c == 0 {
				return string(append(buf, chunk[:i]...)), 0
			}
		}
		if k < n {
			return "", EFAULT
		}
		buf = append(buf, chunk[:n]...)
		addr += uintptr(n)
	}
}

// copyInPath reads a path name; the empty string is for the caller to judge.
func (t *Thread) copyInPath(addr uintptr) (string, Errno) {
	return t.copyInString(addr, maxPath, ENAMETOOLONG)
}

// iovec is a part of a scattered buffer (readv(2)).
type iovec struct{ base, len uintptr }

// copyInIOVecs reads n of them and checks them as Linux does: all
// in user memory, lengths not negative, the total cut at 2 GiB less a page.
// Up to len(few) of them need no allocation.
func (t *Thread) copyInIOVecs(addr, n uintptr, few *[8]iovec) ([]iovec, uintptr, Errno) {
	if n = uintptr(uint32(n)); n > maxIOV { // as Linux has it
		return nil, 0, EINVAL
	}
	v := few[:]
	if n > uintptr(len(few)) {
		v = make([]iovec, n)
	}
	v = v[:n]
	if err := copyInSlice(t, v, addr); err != 0 {
		return nil, 0, err
	}
	total := uintptr(0)
	for i := range v {
		if int(v[i].len) < 0 {
			return nil, 0, EINVAL
		}
		if !mm.UserRange(v[i].base, v[i].len) {
			return nil, 0, EFAULT
		}
		v[i].len = min(v[i].len, maxRW-total)
		total += v[i].len
	}
	return v, total, 0
}

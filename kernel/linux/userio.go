package linux

import "unsafe"

// userIO is the buffers of a read or write call: parts of user memory, one after the
// other. It is what files hand their bytes to (fs.Sink) and take them from
// (fs.Source).
type userIO struct {
	t       *Thread
	parts   []iovec
	left    int  // bytes in parts
	fault   bool // a part could not be accessed
	durable bool // what is written shall be on the disk (RWF_DSYNC)
	few     [8]iovec

	kernel []byte // the one part, where it is the kernel's own memory; nil if not
}

// kernelIO is a buffer of the kernel's, for calls that move bytes between files.
func (t *Thread) kernelIO(b []byte) *userIO { return &userIO{t: t, left: len(b), kernel: b} }

// Put implements fs.Sink.
func (u *userIO) Put(p []byte) int {
	if u.kernel != nil {
		return u.advanceKernel(copy(u.kernel, p))
	}
	done := 0
	for done < len(p) && u.left > 0 && !u.fault {
		v := u.part()
		n := min(uintptr(len(p)-done), v.len)
		done += u.advance(v, n, u.t.space.WriteSome(v.base, unsafe.Pointer(&p[done]), n))
	}
	return done
}

// Get implements fs.Source.
func (u *userIO) Get(p []byte) int {
	if u.kernel != nil {
		return u.advanceKernel(copy(p, u.kernel[:u.left]))
	}
	done := 0
	for done < len(p) && u.left > 0 && !u.fault {
		v := u.part()
		n := min(uintptr(len(p)-done), v.len)
		done += u.advance(v, n, u.t.space.ReadSome(unsafe.Pointer(&p[done]), v.base, n))
	}
	return done
}

// Len is how many bytes are left.
func (u *userIO) Len() int { return u.left }

// Fault says whether some could not be accessed.
func (u *userIO) Fault() bool { return u.fault }

// Read and Write are Get and Put for io.Reader and io.Writer: less than all is an error.
func (u *userIO) Read(p []byte) (int, error) {
	n := u.Get(p)
	if n < len(p) {
		return n, EFAULT
	}
	return n, nil
}

func (u *userIO) Write(p []byte) (int, error) {
	n := u.Put(p)
	if n < len(p) {
		return n, EFAULT
	}
	return n, nil
}

// part is the first part that is not used up.
func (u *userIO) part() *iovec {
	for u.parts[0].len == 0 {
		u.parts = u.parts[1:]
	}
	return &u.parts[0]
}

// first is how many bytes the part has that comes next.
func (u *userIO) first() int {
	if u.kernel != nil {
		return u.left
	}
	return int(u.parts[0].len)
}

func (u *userIO) advanceKernel(n int) int {
	u.kernel = u.kernel[n:]
	u.left -= n
	return n
}

func (u *userIO) advance(v *iovec, wanted, got uintptr) int {
	v.base += got
	v.len -= got
	u.left -= int(got)
	u.fault = got < wanted
	return int(got)
}

// result makes a fault before the first byte EFAULT.
func (u *userIO) result(n int, err Errno) (int, Errno) {
	if err == 0 && n == 0 && u.fault {
		err = EFAULT
	}
	return n, err
}

// buffer makes t.io the one buffer of a call.
func (t *Thread) buffer(addr, n uintptr) (*userIO, Errno) {
	if !userRange(addr, n) {
		return nil, EFAULT
	}
	u := &t.io
	u.t, u.fault, u.durable, u.kernel = t, false, false, nil
	u.few[0] = iovec{addr, min(n, maxRW)}
	u.parts, u.left = u.few[:1], int(u.few[0].len)
	return u, 0
}

// vector makes t.io the n buffers at addr.
func (t *Thread) vector(addr, n uintptr) (*userIO, Errno) {
	u := &t.io
	parts, total, err := t.copyInIOVecs(addr, n, &u.few)
	if err != 0 {
		return nil, err
	}
	u.durable = false
	u.t, u.fault, u.kernel, u.parts, u.left = t, false, nil, parts, int(total)
	return u, 0
}

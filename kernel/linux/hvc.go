package linux

import (
	"sync"

	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// hvc is the machine's console device as a file, /dev/hvc0, where it is not the
// console: bytes go in and out as they are.
type hvc struct {
	port  console.Port
	once  sync.Once
	err   error // of its start
	queue wait.Queue
}

// AttachConsole gives the kernel the machine's console device.
func (k *Kernel) AttachConsole(p console.Port) error {
	k.addNode("hvc0", fs.New{Mode: fs.Char | 0o600, Rdev: devHVC})
	if console.Preferred() {
		return console.Use(p)
	}
	k.hardware.Load().hvc.port = p
	return nil
}

// Readable, Writable and Resized implement console.PortHandler.
func (h *hvc) Readable()        { h.queue.Wake() }
func (h *hvc) Writable()        { h.queue.Wake() }
func (h *hvc) Resized(int, int) {}

// openHVC opens /dev/hvc0.
func (t *Thread) openHVC(d device) (object, Errno) {
	h := &t.proc.kernel.devices().hvc
	if h.port == nil {
		return nil, ENXIO
	}
	h.once.Do(func() { h.err = h.port.Start(h) })
	if h.err != nil {
		return nil, EIO
	}
	return &hvcFile{d, h}, 0
}

type hvcFile struct {
	device
	*hvc
}

func (h *hvcFile) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	if u.left == 0 {
		return 0, 0
	}
	buf := make([]byte, min(u.left, pageSize))
	err = t.block(f, &h.queue, func() bool {
		n = h.port.Read(buf)
		return n > 0
	})
	if err != 0 {
		return 0, err
	}
	return u.Put(buf[:n]), 0
}

func (h *hvcFile) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	buf := make([]byte, min(u.left, pageSize))
	for u.left > 0 && !u.fault && err == 0 {
		for p := buf[:u.Get(buf)]; len(p) > 0 && err == 0; {
			err = t.block(f, &h.queue, func() bool {
				n := h.port.Write(p)
				p = p[n:]
				done += n
				return n > 0
			})
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

func (h *hvcFile) poll(*File) (ready uint32, q *wait.Queue) {
	if h.port.Waiting() > 0 {
		ready |= pollIn | pollRdNorm
	}
	if h.port.Room() {
		ready |= pollOut | pollWrNorm
	}
	return ready, &h.queue
}

func (h *hvcFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const tiocGWinSz = 0x5413
	switch req {
	case tiocGWinSz:
		rows, columns := h.port.Size()
		return 0, copyOut(t, arg, &[4]uint16{uint16(rows), uint16(columns)})
	case fioNRead:
		n := int32(h.port.Waiting())
		return 0, copyOut(t, arg, &n)
	}
	return 0, ENOTTY
}

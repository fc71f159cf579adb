package linux

import (
	"strconv"
	"sync"
	"sync/atomic"

	"gosv/kernel/fs"
	"gosv/kernel/mm"
	"gosv/kernel/wait"
)

const (
	pipeDefault = 64 << 10
	pipeMost    = 1 << 20 // /proc/sys/fs/pipe-max-size
)

// pipe is a pipe(7), or what a FIFO holds while it is open.
type pipe struct {
	mu               sync.Mutex
	buf              []byte // a ring; it grows to size as it is needed
	start, n         int
	size             int
	slots            []slot // what the bytes are in
	readers, writers int
	opened           [2]uint64  // how often it was opened for reading, writing: for open of a FIFO
	full, empty      wait.Queue // those who wait to write, and to read
	others           wait.Queue // those who may do both, and those who open a FIFO
	ino              uint64

	fifos *fifoTable // it is in, under key; nil for a pipe(2)
	key   inodeKey
}

var lastPipe atomic.Uint64

func newPipe() *pipe { return &pipe{size: pipeDefault, ino: 1000 + lastPipe.Add(1)} }

// pipeEnd is an open end of a pipe, or both of a FIFO.
type pipeEnd struct {
	p             *pipe
	reads, writes bool
	fifo          fs.Inode // nil for a pipe(2)
}

func (p *pipe) open(flags uint32, fifo fs.Inode) *File {
	e := &pipeEnd{p: p, reads: flags&oAccMode != oWronly, writes: flags&oAccMode != oRdonly, fifo: fifo}
	p.mu.Lock()
	if e.reads {
		p.readers++
		p.opened[0]++
	}
	if e.writes {
		p.writers++
		p.opened[1]++
	}
	p.mu.Unlock()
	p.others.Wake()
	return newFile(e, flags)
}

func sysPipe(t *Thread, a *Args) (uintptr, Errno) { return t.pipe(a.Arg1(), 0) }
func sysPipe2(t *Thread, a *Args) (uintptr, Errno) {
	return t.pipe(a.Arg1(), uint32(a.Arg2()))
}

func (t *Thread) pipe(addr uintptr, flags uint32) (uintptr, Errno) {
	if flags&^(oCloexec|oNonblock|oDirect) != 0 {
		return 0, EINVAL
	}
	p := newPipe()
	status := flags & (oNonblock | oDirect)
	r, err := t.install(p.open(oRdonly|status&oNonblock, nil), 0, flags&oCloexec != 0)
	w := p.open(oWronly|status, nil)
	if err != 0 {
		w.Release()
		return 0, err
	}
	wfd, err := t.install(w, 0, flags&oCloexec != 0)
	if err == 0 {
		if err = copyOut(t, addr, &[2]int32{int32(r), int32(wfd)}); err == 0 {
			return 0, 0
		}
		t.proc.files.take(wfd).Release()
	}
	t.proc.files.take(r).Release()
	return 0, err
}

// fifoTable has the pipes of FIFOs that are open, by their inodes.
type fifoTable struct {
	mu   sync.Mutex
	open map[inodeKey]*pipe
}

// openFIFO opens one end, and waits for somebody at the other (fifo(7)).
func (t *Thread) openFIFO(place fs.Place, flags uint32) (*File, Errno) {
	if flags&oAccMode == oAccMode {
		return nil, EINVAL
	}
	k := inodeKey{place.Inode.FS(), place.Inode.Ino()}
	all := &t.proc.kernel.fifos
	all.mu.Lock()
	p := all.open[k]
	if p == nil {
		p = newPipe()
		p.fifos, p.key = all, k
	}
	p.mu.Lock()
	alone := flags&oAccMode == oWronly && p.readers == 0
	seen := p.opened
	p.mu.Unlock()
	if alone && flags&oNonblock != 0 {
		all.mu.Unlock()
		return nil, ENXIO
	}
	if all.open == nil {
		all.open = map[inodeKey]*pipe{}
	}
	all.open[k] = p
	f := p.open(flags, place.Inode)
	all.mu.Unlock()
	f.place = place
	if flags&(oNonblock|oRdwr) != 0 {
		return f, 0
	}
	err := t.Wait(&p.others, never, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if flags&oAccMode == oWronly {
			return p.readers > 0 || p.opened[0] != seen[0]
		}
		return p.writers > 0 || p.opened[1] != seen[1]
	})
	if err != 0 {
		f.Release()
		return nil, err
	}
	return f, 0
}

// slot is a page of a pipe as Linux has them: there are so many in a pipe, however few
// bytes each holds.
type slot struct {
	len    int
	free   int  // how many bytes a write may add, if they are its last
	packet bool // written with O_DIRECT: a read gets no more, and loses what it has no room for
}

// room is how many slots are free; p.mu is held.
func (p *pipe) room() int { return p.size/pageSize - len(p.slots) }

// add takes n bytes of src into the ring, or none; show gives dst the first n, which
// stay. Both say whether that went well, and p.mu is held.
func (p *pipe) add(src fs.Source, n int) bool {
	if p.grow(p.n + n); p.n+n > len(p.buf) {
		return false
	}
	for done := 0; done < n; {
		at := (p.start + p.n + done) % len(p.buf)
		k := min(n-done, len(p.buf)-at)
		if src.Get(p.buf[at:at+k]) < k {
			return false
		}
		done += k
	}
	p.n += n
	return true
}

func (p *pipe) show(dst fs.Sink, n int) bool {
	for at := p.start; n > 0; at = 0 {
		k := min(n, len(p.buf)-at)
		if dst.Put(p.buf[at:at+k]) < k {
			return false
		}
		n -= k
	}
	return true
}

// take moves up to n bytes out, slot by slot, and no more than one packet if those are
// to be told apart; p.mu is held.
func (p *pipe) take(dst fs.Sink, n int, packets bool) (done int) {
	for done < n && len(p.slots) > 0 {
		s := p.slots[0]
		k := min(s.len, n-done)
		if !p.show(dst, k) {
			break
		}
		done += k
		if s.packet && packets {
			n, k = done, s.len
		}
		p.skip(k)
	}
	return done
}

// skip takes n bytes of the first slot away, which goes with its last.
func (p *pipe) skip(n int) {
	if p.slots[0].len -= n; p.slots[0].len == 0 {
		copy(p.slots, p.slots[1:])
		p.slots = p.slots[:len(p.slots)-1]
	}
	if p.n -= n; p.n == 0 {
		p.start = 0
	} else {
		p.start = (p.start + n) % len(p.buf)
	}
}

// pieces returns up to n bytes in at most room slots, as another pipe gets them; move
// says that they are gone then.
func (p *pipe) pieces(n, room int, move bool) (b []byte, slots []slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for _, s := range p.slots {
		if total == n || len(slots) == room {
			break
		}
		if k := min(s.len, n-total); k < s.len || !move {
			s.len, s.free = k, 0
		}
		total += s.len
		slots = append(slots, s)
	}
	b = make([]byte, 0, total)
	p.show(&fs.Buffer{Bytes: b}, total)
	if move {
		for _, s := range slots {
			p.skip(s.len)
		}
	}
	return b[:total], slots
}

// push puts bytes into the pipe that lie in slots so.
func (p *pipe) push(b []byte, slots []slot) {
	p.mu.Lock()
	if all := p.n + len(b); all > len(p.buf) {
		p.resize(all)
	}
	p.add(&fs.Buffer{Bytes: b}, len(b))
	p.slots = append(p.slots, slots...)
	p.mu.Unlock()
	if len(b) > 0 {
		p.gave()
	}
}

// pageSlots are the slots of n bytes of a file from off on.
func pageSlots(off int64, n int) (slots []slot) {
	for at := int(off & pageMask); n > 0; at = 0 {
		k := min(n, pageSize-at)
		slots = append(slots, slot{len: k})
		n -= k
	}
	return slots
}

// unread puts bytes back to where they were read from.
func (p *pipe) unread(b []byte) {
	if len(b) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	buf := make([]byte, max(len(p.buf), p.n+len(b)))
	k := copy(buf, b)
	k += copy(buf[k:], p.buf[p.start:min(p.start+p.n, len(p.buf))])
	copy(buf[k:], p.buf[:p.n+len(b)-k])
	p.buf, p.start, p.n = buf, 0, p.n+len(b)
	p.slots = append(pageSlots(0, len(b)), p.slots...)
}

// grow makes room for n bytes; if the kernel's memory is short it makes the pipe smaller
// instead.
func (p *pipe) grow(n int) {
	if n <= len(p.buf) {
		return
	}
	size := max(len(p.buf), 512)
	for size < n {
		size *= 2
	}
	if size > pageSize && !mm.KernelRoom(size) {
		p.size = max(len(p.buf), pageSize)
		return
	}
	p.resize(size)
}

func (p *pipe) resize(size int) {
	buf := make([]byte, size)
	k := copy(buf, p.buf[p.start:min(p.start+p.n, len(p.buf))])
	copy(buf[k:], p.buf[:p.n-k])
	p.buf, p.start = buf, 0
}

func (e *pipeEnd) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	p := e.p
	if u.left == 0 {
		return 0, 0
	}
	err = t.block(f, &p.empty, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.n == 0 {
			return p.writers == 0
		}
		n = p.take(u, u.left, true)
		return true
	})
	if n > 0 {
		p.took()
	}
	return n, err
}

// write fills slots. What does not fill one goes into the last one of those that are
// there, if it fits: so up to PIPE_BUF bytes go in at once (pipe(7)).
func (e *pipeEnd) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	p, n := e.p, u.left
	odd := n & pageMask
	broken := false
	for done < n && err == 0 && !broken && !u.fault {
		before := done
		err = t.block(f, &p.full, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			if broken = p.readers == 0; broken {
				return true
			}
			if last := len(p.slots) - 1; odd > 0 && last >= 0 && p.slots[last].free >= odd && p.add(u, odd) {
				p.slots[last].len += odd
				p.slots[last].free -= odd
				done += odd
			}
			odd = 0
			for done < n && p.room() > 0 && !u.fault {
				if k := min(n-done, pageSize); p.add(u, k) {
					s := slot{len: k, free: pageSize - k}
					if f.flags.Load()&oDirect != 0 {
						s = slot{len: k, packet: true}
					}
					p.slots = append(p.slots, s)
					done += k
				}
			}
			return done > before || u.fault
		})
		if done > before {
			p.gave()
		}
	}
	switch {
	case done > 0:
		return done, 0
	case broken:
		return 0, t.brokenPipe()
	}
	return 0, err
}

// brokenPipe tells t that nobody will read what it writes.
func (t *Thread) brokenPipe() Errno {
	t.proc.signal(t, ptr(killInfo(SIGPIPE, siUser, t.proc.pid)))
	return EPIPE
}

func (e *pipeEnd) poll(*File) (ready uint32, q *wait.Queue) {
	p := e.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.reads {
		if p.n > 0 {
			ready |= pollIn | pollRdNorm
		}
		if p.writers == 0 && p.opened[1] > 0 {
			ready |= pollHup
		}
	}
	if e.writes {
		if p.room() > 0 {
			ready |= pollOut | pollWrNorm
		}
		if p.readers == 0 {
			ready |= pollErr
		}
	}
	switch {
	case e.reads && e.writes:
		return ready, &p.others
	case e.reads:
		return ready, &p.empty
	}
	return ready, &p.full
}

// took and gave wake those who wait for what was read, or written.
func (p *pipe) took() {
	p.full.Wake()
	p.others.Wake()
}

func (p *pipe) gave() {
	p.empty.Wake()
	p.others.Wake()
}

func (e *pipeEnd) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	if req != fioNRead {
		return 0, ENOTTY
	}
	e.p.mu.Lock()
	n := int32(e.p.n)
	e.p.mu.Unlock()
	return 0, copyOut(t, arg, &n)
}

func (e *pipeEnd) attr() fs.Attr {
	if e.fifo != nil {
		return e.fifo.Attr()
	}
	return fs.Attr{Ino: e.p.ino, Mode: fs.FIFO | 0o600, Nlink: 1, BlockSize: pageSize}
}

func (e *pipeEnd) name() string { return "pipe:[" + strconv.FormatUint(e.p.ino, 10) + "]" }

func (e *pipeEnd) close(f *File) {
	p := e.p
	if p.fifos != nil {
		p.fifos.mu.Lock()
		defer p.fifos.mu.Unlock()
	}
	p.mu.Lock()
	if e.reads {
		p.readers--
	}
	if e.writes {
		p.writers--
	}
	unused := p.readers == 0 && p.writers == 0
	p.mu.Unlock()
	if unused && p.fifos != nil {
		delete(p.fifos.open, p.key)
	}
	p.took()
	p.empty.Wake()
}

// setPipeSize is F_SETPIPE_SZ.
func (t *Thread) setPipeSize(p *pipe, n int) (int, Errno) {
	size := pageSize
	for size < n && size < 1<<31 {
		size *= 2
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case n < 0:
		return 0, EINVAL
	case size > pipeMost && !t.can(capSysResource):
		return 0, EPERM
	case size/pageSize < len(p.slots):
		return 0, EBUSY
	}
	p.size = size
	return size, 0
}

package linux

import (
	"strconv"
	"sync"
	"sync/atomic"

	"gosv/kernel/fs"
)

const (
	pipeBuf     = 4096 // writes up to this are atomic (pipe(7))
	pipeDefault = 64 << 10
	pipeMost    = 1 << 20 // /proc/sys/fs/pipe-max-size
)

// pipe is a pipe(7), or what a FIFO holds while it is open.
type pipe struct {
	mu               sync.Mutex
	buf              []byte // a ring; it grows to size as it is needed
	start, n         int
	size             int
	written          uint64   // how many bytes ever went in
	packets          []packet // of those that are there
	readers, writers int
	opened           [2]uint64 // how often it was opened for reading, writing: for open of a FIFO
	full, empty      Queue     // those who wait to write, and to read
	others           Queue     // those who may do both, and those who open a FIFO
	ino              uint64
}

var lastPipe atomic.Uint64

func newPipe() *pipe { return &pipe{size: pipeDefault, ino: 1000 + lastPipe.Add(1)} }

// pipeEnd is an open end of a pipe, or both of a FIFO.
type pipeEnd struct {
	noObject
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

// theFIFOs are the pipes of FIFOs that are open, by their inodes.
var theFIFOs struct {
	mu   sync.Mutex
	open map[inodeKey]*pipe
}

// openFIFO opens one end, and waits for somebody at the other (fifo(7)).
func (t *Thread) openFIFO(place fs.Place, flags uint32) (*File, Errno) {
	k := inodeKey{place.Inode.FS(), place.Inode.Ino()}
	all := &theFIFOs
	all.mu.Lock()
	p := all.open[k]
	if p == nil {
		p = newPipe()
		if all.open == nil {
			all.open = map[inodeKey]*pipe{}
		}
		all.open[k] = p
	}
	all.mu.Unlock()
	p.mu.Lock()
	alone := flags&oAccMode == oWronly && p.readers == 0
	seen := p.opened
	p.mu.Unlock()
	if alone && flags&oNonblock != 0 {
		return nil, ENXIO
	}
	f := p.open(flags, place.Inode)
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

// packet is what was written at once with O_DIRECT, from one byte to another that
// ever went into the pipe: a read gets no more than one, and loses what it has no
// room for.
type packet struct{ start, end uint64 }

// room is how many bytes may be put into the pipe. Each packet takes a page, as on Linux.
func (p *pipe) room() int {
	if len(p.packets) >= p.size/pageSize {
		return 0
	}
	return p.size - p.n
}

// plain says whether there were bytes of no packet at the end before the last n:
// what follows them belongs to them, O_DIRECT or not.
func (p *pipe) plain(n int) bool {
	last := len(p.packets) - 1
	return p.n > n && (last < 0 || p.packets[last].end != p.written-uint64(n))
}

// take moves bytes out of the ring, put into it; both with p.mu held.
func (p *pipe) take(dst fs.Sink, n int) (done int) {
	n = min(n, p.n)
	read := p.written - uint64(p.n)
	if len(p.packets) > 0 {
		n = int(min(uint64(n), p.packets[0].end-read))
	}
	for done < n {
		end := min(p.start+n-done, len(p.buf))
		k := dst.Put(p.buf[p.start:end])
		p.skip(k)
		if done += k; k == 0 {
			break
		}
	}
	if len(p.packets) > 0 && read+uint64(done) > p.packets[0].start {
		p.skip(int(p.packets[0].end - read - uint64(done)))
		p.packets = p.packets[1:]
	}
	return done
}

// skip takes n bytes away.
func (p *pipe) skip(n int) {
	if p.n -= n; p.n == 0 {
		p.start = 0
	} else {
		p.start = (p.start + n) % len(p.buf)
	}
}

func (p *pipe) put(src fs.Source, n int) (done int) {
	p.grow(p.n + n)
	for done < n && p.n < len(p.buf) {
		at := (p.start + p.n) % len(p.buf)
		end := min(len(p.buf), at+min(n-done, len(p.buf)-p.n))
		k := src.Get(p.buf[at:end])
		p.n += k
		p.written += uint64(k)
		done += k
		if at+k < end {
			break
		}
	}
	return done
}

// takeBytes, peek and putBytes are for the bytes that the kernel moves between
// pipes and files.
func (p *pipe) takeBytes(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(&fs.Buffer{Bytes: b[:0]}, len(b))
}

func (p *pipe) peek(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), p.n)
	k := copy(b[:n], p.buf[p.start:min(p.start+n, len(p.buf))])
	copy(b[k:n], p.buf)
	return n
}

func (p *pipe) putBytes(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put(&fs.Buffer{Bytes: b}, len(b))
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
}

// grow makes room for n bytes, as far as the pipe's size allows.
func (p *pipe) grow(n int) {
	n = min(n, p.size)
	if n <= len(p.buf) {
		return
	}
	size := max(len(p.buf), 512)
	for size < n {
		size *= 2
	}
	if size = min(size, p.size); size > pageSize && !kernelRoom(size) {
		p.size = max(len(p.buf), pageSize)
		if size = p.size; size == len(p.buf) {
			return
		}
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
		n = p.take(u, u.left)
		return true
	})
	if n > 0 {
		p.took()
	}
	return n, err
}

// write writes up to pipeBuf bytes all at once, more as there is room. With
// O_DIRECT each write is a packet, or some.
func (e *pipeEnd) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	p, n := e.p, u.left
	broken := false
	for done < n && err == 0 && !broken && !u.fault {
		moved := 0
		packets := f.flags.Load()&oDirect != 0
		err = t.block(f, &p.full, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			if broken = p.readers == 0; broken {
				return true
			}
			room := p.room()
			if room == 0 || n <= pipeBuf && room < n {
				return false
			}
			most := min(room, n-done)
			if packets {
				most = min(most, pipeBuf)
			}
			moved = p.put(u, most)
			if u.fault { // as on Linux, of pages only whole ones are kept
				keep := max((done+moved)&^pageMask-done, 0)
				p.n -= moved - keep
				p.written -= uint64(moved - keep)
				moved = keep
			}
			if packets && moved > 0 && !p.plain(moved) {
				p.packets = append(p.packets, packet{p.written - uint64(moved), p.written})
			}
			return true
		})
		done += moved
		if moved > 0 {
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

func (e *pipeEnd) poll(*File) (ready uint32, q *Queue) {
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
		if p.size-p.n >= pipeBuf || p.readers == 0 {
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
	p.mu.Lock()
	if e.reads {
		p.readers--
	}
	if e.writes {
		p.writers--
	}
	unused := p.readers == 0 && p.writers == 0
	p.mu.Unlock()
	if unused && e.fifo != nil {
		all := &theFIFOs
		all.mu.Lock()
		delete(all.open, inodeKey{e.fifo.FS(), e.fifo.Ino()})
		all.mu.Unlock()
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
	case size < p.n:
		return 0, EBUSY
	}
	p.size = size
	if len(p.buf) > size {
		p.resize(size)
	}
	return size, 0
}

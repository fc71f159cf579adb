package linux

import (
	"sync"

	"gosv/kernel/fs"
)

// Calls that move bytes from one file to another without showing them to the
// program: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).

const copyChunk = 64 << 10 // at a time

// scratch is memory for what is on its way from one file to another: often it is much more
// than there turns out to be.
type scratch struct {
	mu sync.Mutex
	b  []byte
}

// get returns n bytes, until put. Who comes while another has them gets others.
func (s *scratch) get(n int) (b []byte, put func()) {
	if n > copyChunk || !s.mu.TryLock() {
		return make([]byte, n), func() {}
	}
	if s.b == nil {
		s.b = make([]byte, copyChunk)
	}
	return s.b[:n], s.mu.Unlock
}

// An end is one side of such a move: a file, and the offset there that the
// program named instead of the file's own position.
type end struct {
	f    *File
	off  *int64
	held bool // off is the file's position, put aside
}

// hold puts the file's position aside: what moves does not change it before the end,
// should both ends be one file. settle puts it back.
func (e *end) hold() {
	if _, ok := e.f.io.(*inodeFile); ok && e.off == nil {
		e.off, e.held = ptr(e.at()), true
	}
}

func (e *end) settle() {
	if e.held {
		e.f.mu.Lock()
		e.f.pos = *e.off
		e.f.mu.Unlock()
	}
}

// userEnd reads the offset at addr, if there is one; done writes it back.
func (t *Thread) userEnd(f *File, addr uintptr) (end, Errno) {
	e := end{f: f}
	if addr == 0 {
		return e, 0
	}
	e.off = new(int64)
	return e, copyIn(t, e.off, addr)
}

func (t *Thread) done(e end, addr uintptr, err Errno) Errno {
	if addr != 0 && err == 0 {
		return copyOut(t, addr, e.off)
	}
	return err
}

// check verifies that n bytes from the end's offset on can be.
func (e *end) check(n uintptr) Errno {
	off := int64(0)
	if e.off != nil {
		_, ok := e.f.io.(*inodeFile)
		if _, seekable := e.f.io.(seeker); !ok && !seekable {
			return ESPIPE
		}
		off = *e.off
	} else if _, ok := e.f.io.(*inodeFile); ok {
		e.f.mu.Lock()
		off = e.f.pos
		e.f.mu.Unlock()
	}
	if int64(n) < 0 || off < 0 || off+int64(n) < 0 {
		return EINVAL
	}
	return 0
}

// move reads or writes b at the offset, or at the file's position.
func (e *end) move(t *Thread, b []byte, write bool) (n int, err Errno) {
	u := t.kernelIO(b)
	switch {
	case e.off != nil:
		n, err = t.positioned(e.f, u, *e.off, write, false)
		*e.off += int64(n)
		return n, err
	case write:
		return t.writeFile(e.f, u)
	}
	return t.readFile(e.f, u)
}

// back makes what was read last and had no place be read again.
func (e *end) back(t *Thread, rest []byte) {
	if e.off != nil {
		*e.off -= int64(len(rest))
		return
	}
	if io, ok := e.f.io.(*pipeEnd); ok {
		io.p.unread(rest)
	}
}

// pump moves up to n bytes, until there are no more or no room is left.
func (t *Thread) pump(out, in end, n int) (done int, err Errno) {
	in.hold()
	out.hold()
	buf, put := t.proc.kernel.scratch.get(min(n, copyChunk))
	defer put()
	for done < n {
		var k, w int
		if k, err = in.move(t, buf[:min(n-done, len(buf))], false); k == 0 || err != 0 {
			break
		}
		w, err = out.move(t, buf[:k], true)
		done += w
		if w < k {
			in.back(t, buf[w:k])
			break
		}
		if t.interrupted() {
			break
		}
	}
	out.settle()
	in.settle()
	if done > 0 {
		err = 0
	}
	return done, err
}

// twoFiles calls f with two open files, of which the first can be read and the
// second written.
func (t *Thread) twoFiles(infd, outfd uintptr, f func(in, out *File) (int, Errno)) (uintptr, Errno) {
	return t.withFile(infd, func(in *File) (int, Errno) {
		n, err := t.withFile(outfd, func(out *File) (int, Errno) {
			if !in.canRead() || !out.canWrite() {
				return 0, EBADF
			}
			return f(in, out)
		})
		return int(n), err
	})
}

func sysSendfile(t *Thread, a *Args) (uintptr, Errno) {
	var pos int64
	if p := a.Arg3(); p != 0 {
		if err := copyIn(t, &pos, p); err != 0 {
			return 0, err
		}
	}
	n, err := t.sendfile(a, &pos)
	if p := a.Arg3(); p != 0 { // come what may
		if err := copyOut(t, p, &pos); err != 0 {
			return 0, err
		}
	}
	return n, err
}

func (t *Thread) sendfile(a *Args, pos *int64) (uintptr, Errno) {
	return t.withFile(a.Arg2(), func(in *File) (int, Errno) {
		if !in.canRead() {
			return 0, EBADF
		}
		src := end{f: in}
		if a.Arg3() != 0 {
			src.off = pos
		}
		if err := src.check(a.Arg4()); err != 0 {
			return 0, err
		}
		n, err := t.withFile(a.Arg1(), func(out *File) (int, Errno) {
			if !out.canWrite() {
				return 0, EBADF
			}
			n := int(min(a.Arg4(), maxRW))
			var err Errno
			if to, ok := out.io.(*pipeEnd); ok {
				n, err = t.fileToPipe(to.p, &src, n, !out.nonblock())
			} else if _, ok := in.regular(); !ok && in.disk() == nil || out.flags.Load()&oAppend != 0 {
				return 0, EINVAL
			} else {
				n, err = t.pump(end{f: out}, src, n)
			}
			return n, err
		})
		return int(n), err
	})
}

func sysCopyFileRange(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(in *File) (int, Errno) {
		n, err := t.withFile(a.Arg3(), func(out *File) (int, Errno) {
			src, err := t.userEnd(in, a.Arg2())
			if err != 0 {
				return 0, err
			}
			dst, err := t.userEnd(out, a.Arg4())
			if err != 0 {
				return 0, err
			}
			n, err := t.copyRange(dst, src, a.Arg5(), a.Int6())
			if err != 0 || n == 0 {
				return n, err
			}
			if err = t.done(src, a.Arg2(), 0); err == 0 {
				err = t.done(dst, a.Arg4(), 0)
			}
			return n, err
		})
		return int(n), err
	})
}

func (t *Thread) copyRange(out, in end, n, flags uintptr) (int, Errno) {
	src, ok := in.f.regular()
	dst, ok2 := out.f.regular()
	switch {
	case flags != 0:
		return 0, EINVAL
	case fs.IsDir(in.f.io.attr().Mode), fs.IsDir(out.f.io.attr().Mode):
		return 0, EISDIR
	case !ok || !ok2:
		return 0, EINVAL
	case !in.f.canRead() || !out.f.canWrite() || out.f.flags.Load()&oAppend != 0:
		return 0, EBADF
	case src.inode.FS() != dst.inode.FS():
		return 0, EXDEV
	}
	from, to := in.at(), out.at()
	switch { // unsigned, as Linux adds them
	case uint64(from)+uint64(n) < uint64(from), uint64(to)+uint64(n) < uint64(to):
		return 0, EOVERFLOW
	case from < 0 || to < 0:
		return 0, EINVAL
	}
	count := max(min(int64(min(n, maxRW)), src.inode.Attr().Size-from), 0)
	if src.inode.Ino() == dst.inode.Ino() && to+count > from && to < from+count {
		return 0, EINVAL
	}
	return t.pump(out, in, int(count))
}

// at is where the end stands.
func (e *end) at() int64 {
	if e.off != nil {
		return *e.off
	}
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	return e.f.pos
}

// Flags of splice, tee and vmsplice.
const (
	spliceNonblock = 2
	spliceKnown    = 15 // MOVE, MORE and GIFT too, which are hints
)

func sysSplice(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg5() == 0 {
		return 0, 0
	}
	if a.Int6()&^spliceKnown != 0 {
		return 0, EINVAL
	}
	return t.twoFiles(a.Arg1(), a.Arg3(), func(in, out *File) (int, Errno) {
		from, fromPipe := in.io.(*pipeEnd)
		to, toPipe := out.io.(*pipeEnd)
		if fromPipe && a.Arg2() != 0 || toPipe && a.Arg4() != 0 {
			return 0, ESPIPE
		}
		src, err := t.userEnd(in, a.Arg2())
		if err != 0 {
			return 0, err
		}
		dst, err := t.userEnd(out, a.Arg4())
		if err != 0 {
			return 0, err
		}
		wait := a.Int6()&spliceNonblock == 0
		n := int(min(a.Arg5(), maxRW))
		switch {
		case fromPipe && toPipe:
			n, err = t.pipeToPipe(to.p, from.p, n, wait && !in.nonblock() && !out.nonblock(), true)
		case fromPipe:
			n, err = t.pipeToFile(&dst, from.p, a.Arg5(), wait && !in.nonblock())
		case toPipe:
			n, err = t.fileToPipe(to.p, &src, n, wait && !out.nonblock())
		default:
			return 0, EINVAL
		}
		if err == 0 {
			err = t.done(src, a.Arg2(), 0)
		}
		return n, t.done(dst, a.Arg4(), err)
	})
}

func sysTee(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int4()&^spliceKnown != 0 {
		return 0, EINVAL
	}
	if a.Arg3() == 0 {
		return 0, 0
	}
	return t.twoFiles(a.Arg1(), a.Arg2(), func(in, out *File) (int, Errno) {
		from, ok := in.io.(*pipeEnd)
		to, ok2 := out.io.(*pipeEnd)
		if !ok || !ok2 {
			return 0, EINVAL
		}
		wait := a.Int4()&spliceNonblock == 0 && !in.nonblock() && !out.nonblock()
		return t.pipeToPipe(to.p, from.p, int(min(a.Arg3(), maxRW)), wait, false)
	})
}

// waitData waits until something is in p, or nobody is left who would write it.
func (t *Thread) waitData(p *pipe, wait bool) Errno {
	look := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.n > 0 || p.writers == 0
	}
	if look() {
		return 0
	}
	if !wait {
		return EAGAIN
	}
	return t.Wait(&p.empty, never, look)
}

// waitRoom waits until there are slots free in p, and returns how many.
func (t *Thread) waitRoom(p *pipe, wait bool) (room int, err Errno) {
	broken := false
	look := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		room, broken = p.room(), p.readers == 0
		return broken || room > 0
	}
	if !look() {
		if !wait {
			return 0, EAGAIN
		}
		err = t.Wait(&p.full, never, look)
	}
	if broken {
		return 0, t.brokenPipe()
	}
	return room, err
}

// pipeToPipe moves up to n bytes from one pipe to another, or copies them.
func (t *Thread) pipeToPipe(to, from *pipe, n int, wait, move bool) (int, Errno) {
	if to == from {
		return 0, EINVAL
	}
	if err := t.waitData(from, wait); err != 0 {
		return 0, err
	}
	room, err := t.waitRoom(to, wait)
	if err != 0 {
		return 0, err
	}
	b, slots := from.pieces(n, room, move)
	to.push(b, slots)
	if move && len(b) > 0 {
		from.took()
	}
	return len(b), 0
}

// pipeToFile moves up to as many bytes as are asked for that are in a pipe.
func (t *Thread) pipeToFile(dst *end, from *pipe, asked uintptr, wait bool) (n int, err Errno) {
	if dst.f.flags.Load()&oAppend != 0 {
		return 0, EINVAL
	}
	if err := dst.check(asked); err != 0 {
		return 0, err
	}
	if !dst.f.splices() {
		return 0, EINVAL
	}
	if err := t.waitData(from, wait); err != 0 {
		return 0, err
	}
	b, _ := from.pieces(int(asked), pipeMost/pageSize, true)
	if len(b) == 0 {
		return 0, 0
	}
	n, err = dst.move(t, b, true)
	from.unread(b[n:])
	from.took()
	return n, err
}

// fileToPipe reads up to n bytes into a pipe, as far as there is room.
func (t *Thread) fileToPipe(to *pipe, src *end, n int, wait bool) (int, Errno) {
	room, err := t.waitRoom(to, wait)
	if err != 0 {
		return 0, err
	}
	if err := src.check(uintptr(n)); err != 0 {
		return 0, err
	}
	if !src.f.splices() || fs.IsDir(src.f.io.attr().Mode) {
		return 0, EINVAL
	}
	at := src.at()
	n = min(n, room*pageSize-int(at&pageMask))
	if _, ok := src.f.io.(*inodeFile); !ok { // a socket seldom has as much as Go's pipes have room for: 1 MiB
		n = min(n, copyChunk)
	}
	b, put := t.proc.kernel.scratch.get(n)
	defer put()
	n, err = src.move(t, b, false)
	to.push(b[:n], pageSlots(at, n))
	return n, err
}

// splices says whether f is of a kind whose bytes go to and from pipes.
func (f *File) splices() bool { return f.io.attr().Mode&fs.TypeMask != 0 }

// sysVmsplice is vmsplice(2). The pages stay the program's: they are copied, which
// only shows if it changes them before they are read.
func sysVmsplice(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int4()&^spliceKnown != 0 {
		return 0, EINVAL
	}
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		e, ok := f.io.(*pipeEnd)
		switch {
		case u.left == 0:
			return 0, 0
		case !ok:
			return 0, EBADF
		}
		wait := a.Int4()&spliceNonblock == 0
		if e.writes {
			return t.memoryToPipe(e.p, u, wait)
		}
		if err := t.waitData(e.p, wait); err != 0 {
			return 0, err
		}
		e.p.mu.Lock()
		n := e.p.take(u, u.left, false)
		e.p.mu.Unlock()
		if n > 0 {
			e.p.took()
		}
		return u.result(n, 0)
	})
}

// memoryToPipe puts what u describes into p, each page into a slot of its own.
func (t *Thread) memoryToPipe(p *pipe, u *userIO, wait bool) (done int, err Errno) {
	if _, err = t.waitRoom(p, wait); err != 0 {
		return 0, err
	}
	p.mu.Lock()
	for u.left > 0 && p.room() > 0 {
		v := u.part()
		k := int(min(v.len, pageSize-v.base&pageMask))
		if !p.add(u, k) {
			break
		}
		p.slots = append(p.slots, slot{len: k})
		done += k
	}
	p.mu.Unlock()
	if done > 0 {
		p.gave()
	}
	return u.result(done, 0)
}

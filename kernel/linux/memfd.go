package linux

import (
	"sync/atomic"

	"gosv/kernel/fs"
	"gosv/kernel/mm"
)

// memfd is what a file of memfd_create(2) has besides its contents: all that are
// open for it share one. Its methods may be called on nil, for other files.
type memfd struct {
	label string
	seals atomic.Uint32
}

// Seals (fcntl(2), "File Sealing").
const (
	sealSeal        = 0x01
	sealShrink      = 0x02
	sealGrow        = 0x04
	sealWrite       = 0x08
	sealFutureWrite = 0x10
	sealExec        = 0x20
	allSeals        = 0x3f
)

func sysMemfdCreate(t *Thread, a *Args) (uintptr, Errno) {
	const cloexec, allowSealing, noExecSeal, exec = 1, 2, 8, 16
	flags := a.Int2()
	if flags&^(cloexec|allowSealing|noExecSeal|exec) != 0 || flags&(noExecSeal|exec) == noExecSeal|exec {
		return 0, EINVAL
	}
	const maxName = 249 // NAME_MAX less the prefix "memfd:"
	name, err := t.copyInString(a.Arg1(), maxName+1, EINVAL)
	if err != 0 {
		return 0, err
	}
	mode, seals := uint32(0o777), uint32(sealSeal)
	if flags&allowSealing != 0 {
		seals = 0
	}
	if flags&noExecSeal != 0 {
		mode, seals = 0o666, sealExec
	}
	c := t.caller()
	n, err := t.proc.kernel.anonymous(fs.New{Mode: fs.Regular | mode, UID: c.UID, GID: c.GID})
	if err != 0 {
		return 0, err
	}
	if n, err = n.Open(); err != 0 {
		return 0, err
	}
	m := &memfd{label: name}
	m.seals.Store(seals)
	return t.install(newFile(&inodeFile{inode: n, memfd: m}, oRdwr|oLarge), 0, flags&cloexec != 0)
}

// path is how /proc/PID/fd names it.
func (m *memfd) path() string {
	if m == nil {
		return ""
	}
	return "/memfd:" + m.label + " (deleted)"
}

func (m *memfd) sealed(seals uint32) bool { return m != nil && m.seals.Load()&seals != 0 }

// mayWrite says whether the file may be written, up to its end.
func (m *memfd) mayWrite() Errno {
	if m.sealed(sealWrite | sealFutureWrite) {
		return EPERM
	}
	return 0
}

// mayResize says whether the file may change its size.
func (m *memfd) mayResize(from, to int64) Errno {
	if to < from && m.sealed(sealShrink) || to > from && m.sealed(sealGrow) {
		return EPERM
	}
	return 0
}

// addSeals is fcntl(F_ADD_SEALS); a file with a name is sealed against that.
func (t *Thread) addSeals(f *File, seals uint32) Errno {
	o, ok := f.regular()
	switch {
	case !f.canWrite():
		return EPERM
	case seals&^allSeals != 0, !ok || o.inode.FS().Usage().Magic != fs.MagicTmpfs:
		return EINVAL
	case o.memfd == nil || o.memfd.sealed(sealSeal):
		return EPERM
	case seals&sealWrite != 0 && !o.memfd.sealed(sealWrite) && writesTo(t.space, o.inode):
		return EBUSY
	}
	o.memfd.seals.Or(seals)
	return 0
}

// sealsOf is fcntl(F_GET_SEALS).
func sealsOf(f *File) (uintptr, Errno) {
	o, ok := f.regular()
	switch {
	case !ok || o.inode.FS().Usage().Magic != fs.MagicTmpfs:
		return 0, EINVAL
	case o.memfd == nil:
		return sealSeal, 0
	}
	return uintptr(o.memfd.seals.Load()), 0
}

// writesTo says whether there is a mapping through which n may be written.
func writesTo(s *mm.Space, n fs.Inode) (is bool) {
	s.View(func(all []*mm.VMA) {
		for _, v := range all {
			if p, ok := v.File.(*inodePages); ok && v.Flags&mm.MayWrite != 0 && p.inode.FS() == n.FS() && p.inode.Ino() == n.Ino() {
				is = true
			}
		}
	})
	return is
}

package ext4

import (
	"unsafe"

	"gosv/internal/le"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Directory entries (struct ext4_dir_entry_2). A block ends with the end of its last entry, and where there are
// checksums with one that is unused and has it (struct ext4_dir_entry_tail).
const (
	direntSize = 8
	deLength   = 4
	deNameLen  = 6 // two bytes, without the feature filetype
	deType     = 7

	tailSize     = 12
	tailType     = 0xde
	tailChecksum = 8
)

// entry is one of a directory.
type entry struct {
	ino  uint32
	name []byte
	typ  uint8
	next int64 // where the one after it is
}

// Lookup implements fs.Inode.
func (n *inode) Lookup(name string) (fs.Inode, errno.Errno) {
	if !fs.IsDir(n.mode) {
		return nil, errno.ENOTDIR
	}
	ino := uint32(0)
	err := n.entries(0, func(e entry) bool {
		if string(e.name) == name {
			ino = e.ino
		}
		return ino == 0
	})
	if err != 0 {
		return nil, err
	}
	if ino == 0 {
		return nil, errno.ENOENT
	}
	c, err := n.fs.inode(ino)
	if err != 0 {
		return nil, err
	}
	return c, 0
}

// ReadDir implements fs.Inode. A position is a byte in the directory.
func (n *inode) ReadDir(pos int64, emit func(fs.Dirent) bool) errno.Errno {
	if !fs.IsDir(n.mode) {
		return errno.ENOTDIR
	}
	if pos < 0 {
		return errno.EINVAL
	}
	return n.entries(pos, func(e entry) bool {
		name := unsafe.String(unsafe.SliceData(e.name), len(e.name)) // in a copy that nobody changes
		return emit(fs.Dirent{Name: name, Ino: uint64(e.ino), Type: direntType(e.typ), Next: e.next})
	})
}

// direntType returns the type as in a mode for one of a directory entry (EXT4_FT_*).
func direntType(t uint8) uint32 {
	const modes = "\x00\x08\x04\x02\x06\x01\x0c\x0a"
	if int(t) < len(modes) {
		return uint32(modes[t]) << 12
	}
	return 0
}

// entries calls use for the entries from pos on, until it returns false.
func (n *inode) entries(pos int64, use func(e entry) bool) errno.Errno {
	if n.flags&flagInline != 0 {
		return n.inlineEntries(pos, use)
	}
	bits := n.fs.blockBits
	for i := uint64(pos) >> bits; i < n.size>>bits; {
		r, err := n.run(i, false)
		if err != 0 {
			return err
		}
		if r.at == 0 { // there should be none
			i = r.first + r.count
			continue
		}
		at := r.at + i - r.first
		b, err := n.fs.block(at, false)
		if err == 0 {
			err = n.fs.verify(at, func() bool { return n.rightBlock(b, i) })
		}
		if err != 0 {
			return err
		}
		if more, err := n.fs.parse(b, int64(i<<bits), pos, use); !more || err != 0 {
			return err
		}
		i++
	}
	return 0
}

// rightBlock says whether the checksum of the directory's block i is. Those of blocks with parts of the
// hash tree, which are empty to us, are not checked.
func (n *inode) rightBlock(b []byte, i uint64) bool {
	t := b[len(b)-tailSize:]
	if le.U32(t, 0) == 0 && le.U16(t, deLength) == tailSize && t[deNameLen] == 0 && t[deType] == tailType {
		return n.fs.sum(n.seed, b[:len(b)-tailSize]) == le.U32(t, tailChecksum)
	}
	return n.flags&flagIndex != 0 && (i == 0 || le.U32(b, 0) == 0 && int(le.U16(b, deLength)) == len(b))
}

// inlineEntries is entries of a directory that is in its inode: "." and ".." stand for themselves.
func (n *inode) inlineEntries(pos int64, use func(e entry) bool) errno.Errno {
	const parent = 4 // bytes with the number of the one above
	first, rest := n.inline[0], n.inline[1]
	if pos < 1 && !use(entry{n.ino, []byte("."), 2, 1}) || pos < parent && !use(entry{le.U32(first, 0), []byte(".."), 2, parent}) {
		return 0
	}
	more, err := n.fs.parse(first[parent:], parent, pos, use)
	if more && err == 0 {
		_, err = n.fs.parse(rest, int64(len(first)), pos, use)
	}
	return err
}

// parse calls use for the entries in b, which is at base in its directory, that are not before pos. It
// returns false if use did.
func (f *FS) parse(b []byte, base, pos int64, use func(e entry) bool) (more bool, err errno.Errno) {
	for off := 0; off < len(b); {
		e := b[off:]
		if len(e) < direntSize {
			return false, errno.EUCLEAN
		}
		length, name, typ := int(le.U16(e, deLength)), int(e[deNameLen]), e[deType]
		if f.incompat&fileType == 0 {
			name, typ = int(le.U16(e, deNameLen)), 0
		}
		if length < direntSize || length%4 != 0 || length > len(e) || direntSize+name > length {
			return false, errno.EUCLEAN
		}
		here := base + int64(off)
		off += length
		ino := le.U32(e, 0)
		if ino == 0 || here < pos {
			continue
		}
		d := entry{ino, e[direntSize : direntSize+name], typ, here + int64(length)}
		if !isName(d.name) {
			return false, errno.EUCLEAN
		}
		if !use(d) {
			return false, 0
		}
	}
	return true, 0
}

// isName says whether a directory can have an entry of that name.
func isName(name []byte) bool {
	for _, c := range name {
		if c == 0 || c == '/' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= fs.MaxName
}

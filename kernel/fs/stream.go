package fs

import "gosv/kernel/errno"

// Sink takes a file's bytes, Source has bytes for a file: a program's buffers,
// mostly. What they are given may be the file's own memory. They return how
// many bytes they took or gave: less than len(p) if there is no more room, or no
// more bytes.
type Sink interface{ Put(p []byte) int }

// Source is Sink's counterpart.
type Source interface{ Get(p []byte) int }

// Buffer is a Sink that appends to its bytes as far as they have capacity, and
// a Source that takes bytes from their front.
type Buffer struct{ Bytes []byte }

// Put implements Sink.
func (b *Buffer) Put(p []byte) int {
	n := copy(b.Bytes[len(b.Bytes):cap(b.Bytes)], p)
	b.Bytes = b.Bytes[:len(b.Bytes)+n]
	return n
}

// Get implements Source.
func (b *Buffer) Get(p []byte) int {
	n := copy(p, b.Bytes)
	b.Bytes = b.Bytes[n:]
	return n
}

// Zeros are what a hole in a file reads as. Nobody writes to them.
var Zeros [PageSize]byte

// ReadFull fills p with n's bytes from off on and returns how many there were.
func ReadFull(n Inode, p []byte, off int64) (int, errno.Errno) {
	b := &Buffer{p[:0:len(p)]}
	for len(b.Bytes) < len(p) {
		k, err := n.ReadAt(b, off+int64(len(b.Bytes)), len(p)-len(b.Bytes))
		if k == 0 || err != 0 {
			return len(b.Bytes), err
		}
	}
	return len(b.Bytes), 0
}

// PageAlloc gives memory for files' contents. Alloc returns PageSize zero bytes
// that begin on a page, nil if there is no memory for it.
//
// Unmap makes all mappings of a file forget what Pages returned for [lo, hi),
// numbers of pages, and ask again; private copies of them too if copies is set.
// It takes the locks of address spaces.
type PageAlloc interface {
	Alloc() []byte
	Free(page []byte)
	Unmap(of FileSystem, ino uint64, lo, hi int64, copies bool)
}

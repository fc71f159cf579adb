// Package erofs reads EROFS images where they are in memory: nothing is copied
// but the inodes that are looked at. Those on disks are read as they are needed,
// and their pages mapped where the disk's cache has them. The format is documented in Linux,
// Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
//
// Images are hostile: every offset in them is checked where it is used, so that
// mounting costs nothing.
package erofs

import (
	"errors"
	"strconv"

	"gosv/internal/le"
	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Superblock (struct erofs_super_block).
const (
	superOffset = 1024
	superSize   = 128

	sbBlockBits   = 12
	sbRootNid     = 14
	sbInodes      = 16
	sbTime        = 24
	sbTimeNsec    = 32
	sbBlocks      = 36
	sbMetaBlock   = 40
	sbIncompat    = 80
	sbExtraDevice = 86
	sbDirBlock    = 90
)

// Features without which an image can not be read right: those that this
// package has, or that are of no matter to it.
const (
	incompatZeroPadding = 1 << 0 // of compressed data
	incompatChunks      = 1 << 2
	incompatXattrPrefix = 1 << 6
	incompatKnown       = incompatZeroPadding | incompatChunks | incompatXattrPrefix
)

const (
	blockBits = 12
	blockSize = 1 << blockBits
)

// FS is a mounted image.
type FS struct {
	image  []byte        // nil if it is
	disk   *block.Reader // on a disk
	size   uint64
	device uint64
	copies fs.Copies
	meta   uint64  // where inodes are counted from
	time   fs.Time // when the image was made
	root   *inode
	inodes uint64
}

// Mount makes a file system of an image, which must begin on a page and stay
// as it is. The few pages of files that can't be mapped where they are come
// from pages; device is what stat(2) shows as st_dev.
func Mount(image []byte, device uint64, pages fs.PageAlloc) (*FS, error) {
	f := &FS{image: image, size: uint64(len(image)), device: device}
	return f.mount(pages)
}

// MountDisk makes a file system of an image on a disk, which must stay as it is.
func MountDisk(disk *block.Reader, device uint64, pages fs.PageAlloc) (*FS, error) {
	f := &FS{disk: disk, size: uint64(disk.Volume.Size()), device: device}
	return f.mount(pages)
}

func (f *FS) mount(pages fs.PageAlloc) (*FS, error) {
	if f.size < superOffset+superSize {
		return nil, errors.New(strconv.FormatUint(f.size, 10) + " bytes are too few for an EROFS image")
	}
	sb, e := f.span(superOffset, superSize)
	if e != 0 {
		return nil, errors.New("the superblock cannot be read: " + e.Error())
	}
	if le.U32(sb, 0) != fs.MagicErofs {
		return nil, errors.New("not an EROFS image")
	}
	if bits := sb[sbBlockBits]; bits != blockBits {
		return nil, errors.New("EROFS blocks of 2^" + strconv.Itoa(int(bits)) +
			" bytes are not supported; make the image with 4096-byte blocks")
	}
	if sb[sbDirBlock] != 0 {
		return nil, errors.New("EROFS directory blocks larger than 4096 bytes are not supported")
	}
	if n := le.U16(sb, sbExtraDevice); n != 0 {
		return nil, errors.New("EROFS over several devices is not supported")
	}
	if f := le.U32(sb, sbIncompat) &^ incompatKnown; f != 0 {
		return nil, errors.New("EROFS feature 0x" + strconv.FormatUint(uint64(f), 16) +
			" is not supported; make the image without compression")
	}
	if want := uint64(le.U32(sb, sbBlocks)) << blockBits; f.disk != nil && f.size < want {
		return nil, errors.New("the disk has " + strconv.FormatUint(f.size, 10) + " bytes of the " + strconv.FormatUint(want, 10) +
			" that its EROFS file system has: it was cut short")
	}
	f.copies.Alloc = pages
	f.meta = uint64(le.U32(sb, sbMetaBlock)) << blockBits
	f.time = fs.Time{Sec: int64(le.U64(sb, sbTime)), Nsec: le.U32(sb, sbTimeNsec) % 1e9}
	f.inodes = le.U64(sb, sbInodes)
	if f.root, e = f.inode(uint64(le.U16(sb, sbRootNid))); e == 0 && !fs.IsDir(f.root.mode) {
		e = errno.ENOTDIR
	}
	if e != 0 {
		return nil, errors.New("the root directory of the EROFS image is damaged: " + e.Error())
	}
	return f, nil
}

// Root returns the root directory.
func (f *FS) Root() fs.Inode { return f.root }

// Device implements fs.FileSystem.
func (f *FS) Device() uint64 { return f.device }

// Usage implements fs.FileSystem.
func (f *FS) Usage() fs.Usage {
	return fs.Usage{Magic: fs.MagicErofs, Blocks: f.size >> blockBits, Files: f.inodes, ReadOnly: true}
}

// inside checks that n bytes at off, which were read from the image, are in it.
func (f *FS) inside(off, n uint64) errno.Errno {
	if off > f.size || n > f.size-off {
		return errno.EUCLEAN
	}
	return 0
}

// span returns the n bytes of the image at off, which was read from the image: where
// they are in memory, or a copy of what is on the disk.
func (f *FS) span(off, n uint64) ([]byte, errno.Errno) {
	if err := f.inside(off, n); err != 0 {
		return nil, err
	}
	if f.disk != nil {
		b := make([]byte, n)
		return b, f.disk.Read(b, int64(off))
	}
	return f.image[off : off+n : off+n], 0
}

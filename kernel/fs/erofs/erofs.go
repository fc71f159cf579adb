// Package erofs reads EROFS images where they are in memory: nothing is copied
// but the inodes that are looked at. The format is documented in Linux,
// Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
//
// Images are hostile: every offset in them is checked where it is used, so that
// mounting costs nothing.
package erofs

import (
	"errors"
	"strconv"
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Superblock (struct erofs_super_block).
const (
	superOffset = 1024
	superSize   = 128
	superMagic  = 0xe0f5e1e2

	sbBlockBits   = 12
	sbRootNid     = 14
	sbInodes      = 16
	sbTime        = 24
	sbTimeNsec    = 32
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
	image  []byte
	device uint64
	pages  fs.PageAlloc
	meta   uint64  // where inodes are counted from
	time   fs.Time // when the image was made
	root   uint64
	inodes uint64

	mu    sync.Mutex
	tails map[uint64]*tail // of mapped files, by nid
	hole  []byte           // nil until somebody maps one
}

// Mount makes a file system of an image, which must begin on a page and stay
// as it is. The few pages of files that can't be mapped where they are come
// from pages; device is what stat(2) shows as st_dev.
func Mount(image []byte, device uint64, pages fs.PageAlloc) (*FS, error) {
	if len(image) < superOffset+superSize {
		return nil, errors.New("root file system: " + strconv.Itoa(len(image)) + " bytes are too few for an EROFS image")
	}
	sb := image[superOffset : superOffset+superSize]
	if le32(sb, 0) != superMagic {
		return nil, errors.New("root file system: not an EROFS image")
	}
	if bits := sb[sbBlockBits]; bits != blockBits {
		return nil, errors.New("root file system: EROFS blocks of 2^" + strconv.Itoa(int(bits)) +
			" bytes are not supported; make the image with 4096-byte blocks")
	}
	if sb[sbDirBlock] != 0 {
		return nil, errors.New("root file system: EROFS directory blocks larger than 4096 bytes are not supported")
	}
	if n := le16(sb, sbExtraDevice); n != 0 {
		return nil, errors.New("root file system: EROFS over several devices is not supported")
	}
	if f := le32(sb, sbIncompat) &^ incompatKnown; f != 0 {
		return nil, errors.New("root file system: EROFS feature 0x" + strconv.FormatUint(uint64(f), 16) +
			" is not supported; make the image without compression")
	}
	f := &FS{
		image:  image,
		device: device,
		pages:  pages,
		meta:   uint64(le32(sb, sbMetaBlock)) << blockBits,
		time:   fs.Time{Sec: int64(le64(sb, sbTime)), Nsec: le32(sb, sbTimeNsec) % 1e9},
		root:   uint64(le16(sb, sbRootNid)),
		inodes: le64(sb, sbInodes),
	}
	n, err := f.inode(f.root)
	if err == 0 && !fs.IsDir(n.Mode()) {
		err = errno.ENOTDIR
	}
	if err != 0 {
		return nil, errors.New("root file system: the root directory of the EROFS image is damaged: " + err.Error())
	}
	return f, nil
}

// Root returns the root directory.
func (f *FS) Root() fs.Inode {
	n, _ := f.inode(f.root) // Mount looked at it, and the image stays as it is
	return n
}

// Device implements fs.FileSystem.
func (f *FS) Device() uint64 { return f.device }

// Usage implements fs.FileSystem.
func (f *FS) Usage() fs.Usage {
	return fs.Usage{Magic: fs.MagicErofs, Blocks: uint64(len(f.image)) >> blockBits, Files: f.inodes, ReadOnly: true}
}

// span returns the n bytes of the image at off, which was read from the image.
func (f *FS) span(off, n uint64) ([]byte, errno.Errno) {
	if off > uint64(len(f.image)) || n > uint64(len(f.image))-off {
		return nil, errno.EUCLEAN
	}
	return f.image[off : off+n : off+n], 0
}

func le16(b []byte, at int) uint16 { _ = b[at+1]; return uint16(b[at]) | uint16(b[at+1])<<8 }
func le32(b []byte, at int) uint32 { return uint32(le16(b, at)) | uint32(le16(b, at+2))<<16 }
func le64(b []byte, at int) uint64 { return uint64(le32(b, at)) | uint64(le32(b, at+4))<<32 }

// Package ext4 reads ext2, ext3 and ext4 file systems on disks: nothing is written. The
// format is documented in Linux, Documentation/filesystems/ext4/.
//
// Disks are hostile: whatever was read from one is checked before it is used, and no
// loop on the disk is followed for ever. Checksums (metadata_csum) are verified, but for
// those of the directories' hash trees, which are not looked at: directories are
// searched from their start.
package ext4

import (
	"errors"
	"strconv"
	"sync/atomic"

	"gosv/internal/le"
	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Superblock (struct ext4_super_block).
const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53

	sbInodes         = 0x0
	sbBlocks         = 0x4
	sbFreeBlocks     = 0xc
	sbFreeInodes     = 0x10
	sbFirstBlock     = 0x14
	sbBlockBits      = 0x18
	sbBlocksPerGroup = 0x20
	sbInodesPerGroup = 0x28
	sbMagic          = 0x38
	sbRevision       = 0x4c
	sbFirstInode     = 0x54
	sbInodeSize      = 0x58
	sbCompat         = 0x5c
	sbIncompat       = 0x60
	sbROCompat       = 0x64
	sbUUID           = 0x68
	sbDescSize       = 0xfe
	sbFirstMeta      = 0x104
	sbBlocksHigh     = 0x150
	sbFreeHigh       = 0x158
	sbChecksumType   = 0x175
	sbOverhead       = 0x248
	sbBackups        = 0x24c
	sbChecksumSeed   = 0x270
	sbChecksum       = 0x3fc
)

// Features (s_feature_incompat) without which a file system cannot be read right. The others (ro_compat,
// compat) do not matter to somebody who does not write.
const (
	fileType   = 1 << 1
	recover_   = 1 << 2
	metaGroups = 1 << 4
	bits64     = 1 << 7
	csumSeed   = 1 << 13
	largeDir   = 1 << 14
	inlineData = 1 << 15

	// Extents, mmp, flex_bg and ea_inode, too.
	known = fileType | metaGroups | 1<<6 | bits64 | 1<<8 | 1<<9 | 1<<10 | csumSeed | largeDir | inlineData
)

// featureNames are those of features that are not known, by bit, as e2fsprogs has them.
var featureNames = [...]string{0: "compression", 3: "journal_dev", 12: "dirdata", 16: "encrypt", 17: "casefold"}

// Features that say where things are, and which are checksummed.
const (
	compatSparse2  = 1 << 9
	roSparse       = 1 << 0
	roHugeFile     = 1 << 3
	roMetadataCsum = 1 << 10
)

const rootInode = 2

// FS is a mounted file system.
type FS struct {
	disk   *block.Reader
	device uint64
	copies fs.Copies

	blockBits  uint
	blockSize  uint64
	blocks     uint64
	firstBlock uint64
	perGroup   uint64 // blocks
	inodes     uint32
	inodesPer  uint32 // group
	firstInode uint32 // that is not reserved
	inodeSize  uint64
	descSize   uint64
	firstMeta  uint64 // of the descriptors' blocks, the first that is in its own groups
	backups    [2]uint32
	compat     uint32
	incompat   uint32
	roCompat   uint32
	free       uint64 // blocks
	freeInodes uint32
	overhead   uint32 // blocks
	root       *inode

	seed    uint32 // of checksums
	crc     [256]uint32
	checked [64]atomic.Uint64 // keys of what was found right
}

// Is says whether the disk begins like an ext2, ext3 or ext4 file system.
func Is(disk *block.Reader) bool {
	var b [2]byte
	return disk.Read(b[:], superOffset+sbMagic) == 0 && le.U16(b[:], 0) == superMagic
}

// Mount makes a file system of a disk, which must stay as it is. Pages of files that can't be
// mapped where they are come from pages; device is what stat(2) shows as st_dev.
func Mount(disk *block.Reader, device uint64, pages fs.PageAlloc) (*FS, error) {
	sb := make([]byte, superSize)
	if err := disk.Read(sb, superOffset); err != 0 {
		return nil, failed("the superblock cannot be read: " + err.Error())
	}
	f := &FS{disk: disk, device: device}
	f.copies.Alloc = pages
	if err := f.super(sb); err != nil {
		return nil, err
	}
	root, err := f.inode(rootInode)
	if err == 0 && !fs.IsDir(root.mode) {
		err = errno.ENOTDIR
	}
	if err != 0 {
		return nil, failed("the root directory of the ext4 file system is damaged: " + err.Error())
	}
	f.root = root
	return f, nil
}

// super reads the superblock.
func (f *FS) super(sb []byte) error {
	if le.U16(sb, sbMagic) != superMagic {
		return failed("not an ext2, ext3 or ext4 file system")
	}
	f.compat, f.incompat, f.roCompat = le.U32(sb, sbCompat), le.U32(sb, sbIncompat), le.U32(sb, sbROCompat)
	f.makeTable()
	if f.roCompat&roMetadataCsum != 0 && (sb[sbChecksumType] != 1 || f.sum(^uint32(0), sb[:sbChecksum]) != le.U32(sb, sbChecksum)) {
		return failed("the superblock of the ext4 file system is damaged: its checksum is wrong")
	}
	if unknown := f.incompat &^ (known | recover_); unknown != 0 {
		return failed("ext4 with" + features(unknown) + " is not supported")
	}
	if f.incompat&recover_ != 0 {
		return failed("ext4 that was not unmounted: its journal has changes that it has not; e2fsck -fp writes them")
	}
	f.seed = f.sum(^uint32(0), sb[sbUUID:sbUUID+16])
	if f.incompat&csumSeed != 0 {
		f.seed = le.U32(sb, sbChecksumSeed)
	}
	f.inodeSize, f.firstInode = 128, 11
	if le.U32(sb, sbRevision) != 0 {
		f.inodeSize, f.firstInode = uint64(le.U16(sb, sbInodeSize)), le.U32(sb, sbFirstInode)
	}
	f.blocks, f.free = uint64(le.U32(sb, sbBlocks)), uint64(le.U32(sb, sbFreeBlocks))
	f.descSize = 32
	if f.incompat&bits64 != 0 {
		f.blocks |= uint64(le.U32(sb, sbBlocksHigh)) << 32
		f.free |= uint64(le.U32(sb, sbFreeHigh)) << 32
		f.descSize = uint64(le.U16(sb, sbDescSize))
	}
	f.firstBlock, f.perGroup = uint64(le.U32(sb, sbFirstBlock)), uint64(le.U32(sb, sbBlocksPerGroup))
	f.inodes, f.inodesPer = le.U32(sb, sbInodes), le.U32(sb, sbInodesPerGroup)
	f.freeInodes, f.overhead = le.U32(sb, sbFreeInodes), le.U32(sb, sbOverhead)
	f.firstMeta = uint64(le.U32(sb, sbFirstMeta))
	f.backups = [2]uint32{le.U32(sb, sbBackups), le.U32(sb, sbBackups+4)}

	shift := le.U32(sb, sbBlockBits)
	f.blockBits = uint(10 + min(shift, 6))
	f.blockSize = 1 << f.blockBits
	switch {
	case shift > 2 && shift <= 6:
		return failed("ext4 with blocks of " + strconv.FormatUint(f.blockSize, 10) + " bytes is not supported, only up to 4096")
	case shift > 6, f.perGroup == 0, f.inodesPer == 0, uint64(f.inodesPer) > 8*f.blockSize,
		f.inodeSize < 128, f.inodeSize > f.blockSize, f.inodeSize&(f.inodeSize-1) != 0,
		f.descSize < 32, f.descSize > 1024, f.descSize&(f.descSize-1) != 0,
		f.incompat&bits64 != 0 && f.descSize < 64,
		f.blocks <= f.firstBlock, f.blocks > fs.MaxSize>>f.blockBits,
		uint64(f.inodes) > f.groups()*uint64(f.inodesPer):
		return failed("the superblock of the ext4 file system is damaged")
	}
	if have, want := uint64(f.disk.Volume.Size()), f.blocks<<f.blockBits; have < want {
		return failed("the disk has " + strconv.FormatUint(have, 10) + " bytes of the " + strconv.FormatUint(want, 10) +
			" that its ext4 file system has: it was cut short")
	}
	return nil
}

func (f *FS) groups() uint64 { return (f.blocks-f.firstBlock-1)/f.perGroup + 1 }

// features names the bits of a mask.
func features(mask uint32) (s string) {
	for bit := range 32 {
		switch {
		case mask>>bit&1 == 0:
		case bit < len(featureNames) && featureNames[bit] != "":
			s += " " + featureNames[bit]
		default:
			s += " FEATURE_I" + strconv.Itoa(bit)
		}
	}
	return s
}

// Root returns the root directory.
func (f *FS) Root() fs.Inode { return f.root }

// Device implements fs.FileSystem.
func (f *FS) Device() uint64 { return f.device }

// Usage implements fs.FileSystem.
func (f *FS) Usage() fs.Usage {
	shift := 12 - f.blockBits
	return fs.Usage{
		Magic: superMagic, Blocks: (f.blocks - min(f.blocks, uint64(f.overhead))) >> shift, Free: f.free >> shift,
		Files: uint64(f.inodes), FilesFree: uint64(f.freeInodes), ReadOnly: true,
	}
}

// read fills p from byte off of the disk on. With now it does not wait: EAGAIN.
func (f *FS) read(p []byte, off uint64, now bool) errno.Errno {
	switch {
	case !now:
		return f.disk.Read(p, int64(off))
	case f.disk.Peek(p, int64(off)):
		return 0
	}
	return errno.EAGAIN
}

// block returns a copy of a block whose number was read from the disk.
func (f *FS) block(n uint64, now bool) ([]byte, errno.Errno) {
	if !f.has(n, 1) {
		return nil, errno.EUCLEAN
	}
	b := make([]byte, f.blockSize)
	return b, f.read(b, n<<f.blockBits, now)
}

// has says whether blocks may be those of a file.
func (f *FS) has(n, count uint64) bool {
	return n > f.firstBlock && n < f.blocks && count <= f.blocks-n
}

// descriptor returns where on the disk the descriptor of a group of blocks is.
func (f *FS) descriptor(group uint64) uint64 {
	per := f.blockSize / f.descSize
	n, skip := group/per, group%per*f.descSize
	at := superOffset>>f.blockBits + 1 + n
	if f.incompat&metaGroups != 0 && n >= f.firstMeta {
		first := n * per
		at = f.firstBlock + first*f.perGroup
		if f.hasBackup(first) {
			at++
		}
		if n == 0 && f.blockSize == superOffset && f.firstBlock == 0 { // bigalloc
			at++
		}
	}
	return at<<f.blockBits + skip
}

// hasBackup says whether a group begins with a copy of the superblock.
func (f *FS) hasBackup(group uint64) bool {
	switch {
	case group == 0:
		return true
	case f.compat&compatSparse2 != 0:
		return group == uint64(f.backups[0]) || group == uint64(f.backups[1])
	case group == 1 || f.roCompat&roSparse == 0:
		return true
	}
	for _, base := range [...]uint64{3, 5, 7} {
		p := base
		for p < group {
			p *= base
		}
		if p == group {
			return true
		}
	}
	return false
}

// Checksums are CRC-32C without the final inversion (ext4_chksum).

func (f *FS) makeTable() {
	const castagnoli = 0x82f63b78
	for i := range f.crc {
		c := uint32(i)
		for range 8 {
			c = c>>1 ^ castagnoli&-(c&1)
		}
		f.crc[i] = c
	}
}

func (f *FS) sum(crc uint32, b []byte) uint32 {
	for _, c := range b {
		crc = crc>>8 ^ f.crc[byte(crc)^c]
	}
	return crc
}

func (f *FS) sum32(crc, v uint32) uint32 {
	return f.sum(crc, []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
}

// verify has what is known by key checked, unless it was right before.
func (f *FS) verify(key uint64, right func() bool) errno.Errno {
	if f.roCompat&roMetadataCsum == 0 {
		return 0
	}
	const golden = 0x9e3779b97f4a7c15 // spreads keys
	slot := &f.checked[key*golden>>58]
	if slot.Load() == key {
		return 0
	}
	if !right() {
		return errno.EUCLEAN
	}
	slot.Store(key)
	return 0
}

// failed makes small code of what need not be fast.
//
//go:noinline
func failed(what string) error { return errors.New(what) }

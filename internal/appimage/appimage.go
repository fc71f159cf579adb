// Package appimage is the format of an application image: an EROFS file system
// followed by what to run in it and how (docs/contracts.md). The host writes
// images, the kernel reads them.
package appimage

import (
	"errors"

	"gosv/internal/le"
)

const (
	pageSize   = 4096
	sectorSize = 512 // an image is a multiple, so that it can be a disk
	version    = 1

	// FooterSize is how long the footer is.
	FooterSize = 32
	magic      = "GOSVIMG1"

	// The first bytes of an EROFS superblock, at 1024.
	erofsMagicAt = 1024
	erofsMagic   = 0xe0f5e1e2
)

// Tags of config records.
const (
	tagArg  = 1
	tagEnv  = 2
	tagCwd  = 3
	tagExe  = 4
	tagHost = 5
	tagPlan = 6
	tagUser = 7
	tagDisk = 8
	tagRoot = 9
)

const diskOverlay = 1 // flag of tagDisk

// Config says what to run.
type Config struct {
	Args     []string // the first is argv[0]
	Env      []string // "K=V"
	Cwd      string   // absolute
	Exe      string   // absolute path of the executable in the image
	HostName string
	Plan     []byte   // what the kernel shall report (package diag), nil for nothing
	UID, GID uint32   // who runs it
	Groups   []uint32 // further ones
	Disks    []Disk   // to be mounted
	Root     string   // the disk that has the file system, if it is not in the image: "vda"
}

// Disk is a disk with a file system.
type Disk struct {
	Name    string // "vdb"
	Path    string // where it is mounted
	Overlay bool   // it can be written to, in memory
}

// What Split and Parse say of a bad image.
var (
	ErrNoFooter = errors.New("no application image: it does not end in a footer (made by gosv build?), or was cut short")
	ErrVersion  = errors.New("an application image of another version: build it again")
	ErrLayout   = errors.New("a corrupt application image: its footer points outside of it")
	ErrConfig   = errors.New("a corrupt application image: the checksum of its configuration is wrong")
	ErrRecord   = errors.New("a corrupt application image: its configuration is malformed")
	ErrNoEROFS  = errors.New("a corrupt application image: it does not begin with an EROFS file system")
)

// castagnoli is CRC-32C, four bits at a time. (hash/crc32 is faster on megabytes,
// but builds tables first: more work than a whole boot has to spare.)
func castagnoli(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		crc = crc>>4 ^ nibbles[crc&15]
		crc = crc>>4 ^ nibbles[crc&15]
	}
	return ^crc
}

var nibbles = [16]uint32{
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
}

// Split returns the parts of an image: the EROFS file system, and the encoded
// config, whose checksum is right. Both are parts of img. There may be no file
// system: it is on a disk then.
func Split(img []byte) (erofs, config []byte, err error) {
	if len(img) < FooterSize {
		return nil, nil, ErrNoFooter
	}
	f := img[len(img)-FooterSize:]
	off, n, err := Place(f, uint64(len(img)))
	if err != nil {
		return nil, nil, err
	}
	erofs, config = img[:off:off], img[off:off+n:off+n]
	if !Intact(f, config) {
		return nil, nil, ErrConfig
	}
	if off != 0 && le.U32(erofs, erofsMagicAt) != erofsMagic {
		return nil, nil, ErrNoEROFS
	}
	return erofs, config, nil
}

// Place returns where the config is in an image of size bytes, by its footer.
func Place(footer []byte, size uint64) (off, n uint64, err error) {
	if string(footer[:8]) != magic {
		return 0, 0, ErrNoFooter
	}
	if le.U32(footer, 28) != version {
		return 0, 0, ErrVersion
	}
	off, n = le.U64(footer, 8), uint64(le.U32(footer, 16))
	if body := size - FooterSize; off%pageSize != 0 || off > body || n > body-off {
		return 0, 0, ErrLayout
	}
	return off, n, nil
}

// Intact says whether the checksum of a config is what the footer says.
func Intact(footer, config []byte) bool { return castagnoli(config) == le.U32(footer, 20) }

// FileSystemSum is what the footer says the file system's CRC-32C is. It takes
// a pass over all of it to check: the host's part.
func FileSystemSum(img []byte) (sum uint32, err error) {
	if _, _, err := Split(img); err != nil {
		return 0, err
	}
	return le.U32(img, len(img)-FooterSize+24), nil
}

// Parse decodes a config. Its strings are copies.
func Parse(b []byte) (c Config, err error) {
	args, envs := 0, 0
	for pass := 0; pass < 2; pass++ { // count, then fill: one allocation each
		for r := b; len(r) > 0; {
			if len(r) < 5 || uint64(le.U32(r, 1)) > uint64(len(r)-5) {
				return Config{}, ErrRecord
			}
			tag, v := r[0], r[5:5+le.U32(r, 1)]
			r = r[5+len(v):]
			switch {
			case tag < tagArg || tag > tagRoot, tag == tagUser && (len(v) < 8 || len(v)%4 != 0):
				return Config{}, ErrRecord
			case pass == 0 && tag == tagArg:
				args++
			case pass == 0 && tag == tagEnv:
				envs++
			case pass == 0:
			case tag == tagArg:
				c.Args = append(c.Args, string(v))
			case tag == tagEnv:
				c.Env = append(c.Env, string(v))
			case tag == tagCwd:
				c.Cwd = string(v)
			case tag == tagExe:
				c.Exe = string(v)
			case tag == tagHost:
				c.HostName = string(v)
			case tag == tagPlan:
				c.Plan = append([]byte(nil), v...)
			case tag == tagUser:
				c.UID, c.GID = le.U32(v, 0), le.U32(v, 4)
				for v = v[8:]; len(v) > 0; v = v[4:] {
					c.Groups = append(c.Groups, le.U32(v, 0))
				}
			case tag == tagRoot:
				c.Root = string(v)
			case tag == tagDisk:
				d, ok := parseDisk(v)
				if !ok {
					return Config{}, ErrRecord
				}
				c.Disks = append(c.Disks, d)
			}
		}
		if pass == 0 {
			c.Args, c.Env = make([]string, 0, args), make([]string, 0, envs)
		}
	}
	return c, nil
}

// parseDisk reads flags, a name that ends with a slash, and what follows it of a path.
func parseDisk(v []byte) (d Disk, ok bool) {
	for i, c := range v {
		if c == '/' && i > 0 && v[0]&^diskOverlay == 0 {
			return Disk{Name: string(v[1:i]), Path: string(v[i:]), Overlay: v[0] == diskOverlay}, true
		}
	}
	return d, false
}

// Append encodes c.
func (c *Config) Append(b []byte) []byte {
	put := func(tag byte, v string) {
		n := uint32(len(v))
		b = append(b, tag, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		b = append(b, v...)
	}
	for _, v := range c.Args {
		put(tagArg, v)
	}
	for _, v := range c.Env {
		put(tagEnv, v)
	}
	put(tagCwd, c.Cwd)
	put(tagExe, c.Exe)
	put(tagHost, c.HostName)
	if c.Plan != nil {
		put(tagPlan, string(c.Plan))
	}
	if c.UID != 0 || c.GID != 0 || c.Groups != nil {
		user := put32(put32(nil, c.UID), c.GID)
		for _, g := range c.Groups {
			user = put32(user, g)
		}
		put(tagUser, string(user))
	}
	for _, d := range c.Disks {
		flags := "\x00"
		if d.Overlay {
			flags = string(rune(diskOverlay))
		}
		put(tagDisk, flags+d.Name+d.Path)
	}
	if c.Root != "" {
		put(tagRoot, c.Root)
	}
	return b
}

// Tail is what follows a file system of size bytes, a multiple of 4096, whose
// CRC-32C is sum, to make an image of it; 0 if there is none.
func Tail(size int64, sum uint32, c *Config) []byte {
	config := c.Append(nil)
	gap := -(len(config) + FooterSize) & (sectorSize - 1)
	img := append(config[:len(config):len(config)], make([]byte, gap)...)
	img = append(img, magic...)
	img = put64(img, uint64(size))
	img = put32(img, uint32(len(config)))
	img = put32(img, castagnoli(config))
	img = put32(img, sum)
	return put32(img, version)
}

func put32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}
func put64(b []byte, v uint64) []byte { return put32(put32(b, uint32(v)), uint32(v>>32)) }

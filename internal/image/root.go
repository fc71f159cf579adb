package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gosv/internal/elf"
)

// Tree is a whole root file system to make an image of: Dir or Tar.
type Tree interface{ fill(b *builder) error }

// Dir is a directory of the host, whose files will be root's. Devices and
// sockets in it are left out: the kernel has its own /dev.
type Dir string

func (d Dir) fill(b *builder) error {
	b.leaveOut = true
	return b.copy(Copy{string(d), "/"})
}

// Tar is an archive, uncompressed or by gzip, without the whiteouts of layers. What its
// header says of owners and modes is kept; devices are left out.
type Tar struct{ io.Reader }

func (t Tar) fill(b *builder) error {
	in := bufio.NewReader(t.Reader)
	r := tar.NewReader(in)
	if magic, err := in.Peek(len(gzipMagic)); err == nil && bytes.Equal(magic, gzipMagic) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("the archive: %w", err)
		}
		r = tar.NewReader(z)
	}
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = b.unpack(h, r)
		}
		if err != nil {
			return fmt.Errorf("the archive: %w", err)
		}
	}
}

// unpack adds one member of an archive.
func (b *builder) unpack(h *tar.Header, r io.Reader) error {
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	if b.seen[name] || b.dirs[name] && h.Typeflag != tar.TypeDir {
		return nil
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if b.seen[dir] {
			return fmt.Errorf("%s is in %s, which is no directory", h.Name, dir)
		}
	}
	mode := h.FileInfo().Mode()
	when := time.Unix(h.ModTime.Unix(), 0)
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "/" {
			return nil
		}
		err = b.mkdir(name, mode)
	case tar.TypeReg:
		err = b.file(name, r, mode, when)
	case tar.TypeSymlink:
		err = b.symlink(h.Linkname, name)
	case tar.TypeLink:
		var target string
		if target, err = inside(h.Linkname); err == nil {
			err = b.again(target, name, mode, when)
		}
	case tar.TypeFifo:
		if err = b.parents(name); err == nil {
			b.seen[name] = true
			err = b.w.Mknod(name, unix.S_IFIFO|uint16(mode.Perm()), 0)
		}
	case tar.TypeChar, tar.TypeBlock:
		b.omit(name)
		return nil
	default:
		return fmt.Errorf("%s is of a kind %q that is not known", h.Name, h.Typeflag)
	}
	if err == nil {
		err = b.w.Chown(name, h.Uid, h.Gid)
	}
	if err == nil {
		err = b.w.Chtimes(name, when, when)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// inside makes a member's name an absolute path, and refuses one that leads
// out of the archive.
func inside(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q leads out of it", name)
		}
	}
	return path.Join("/", name), nil
}

// again makes name a file with the contents of target: a hard link, as far as
// a file system that nobody writes to has them.
func (b *builder) again(target, name string, mode fs.FileMode, when time.Time) error {
	f, err := b.w.Open(target)
	if err != nil {
		return fmt.Errorf("a link to %s: %w", target, err)
	}
	defer f.Close()
	return b.file(name, f, mode, when)
}

// symlink makes a symbolic link, and notes where it leads.
func (b *builder) symlink(target, name string) error {
	if err := b.parents(name); err != nil {
		return err
	}
	b.seen[name] = true
	b.links[name] = target
	return b.w.Symlink(target, name)
}

// What executable says of a program that an image has not.
var errNotFound = fs.ErrNotExist

// NotFound says whether an error of Write is that the program is not in the
// file system, BadProgram whether it is there but cannot be run.
func NotFound(err error) bool {
	var p *programError
	return errors.As(err, &p) && errors.Is(p.err, errNotFound)
}

// BadProgram: see NotFound.
func BadProgram(err error) bool {
	var p *programError
	return errors.As(err, &p) && !errors.Is(p.err, errNotFound)
}

type programError struct {
	name string
	err  error
}

func (e *programError) Error() string { return e.name + " in the image: " + e.err.Error() }
func (e *programError) Unwrap() error { return e.err }

// executable finds the program called name among the files, by PATH if it has
// no slash, and checks that it can be run. It returns its path without links.
func (b *builder) executable(name, dir string, env []string) (string, error) {
	candidates := []string{path.Join(dir, name)}
	switch {
	case path.IsAbs(name):
		candidates[0] = path.Clean(name)
	case !strings.Contains(name, "/"):
		candidates = nil
		for _, kv := range env {
			if list, ok := strings.CutPrefix(kv, "PATH="); ok {
				for d := range strings.SplitSeq(list, ":") {
					candidates = append(candidates, path.Join("/", d, name))
				}
			}
		}
	}
	for _, c := range candidates {
		p, err := b.resolve(c)
		if err != nil || !b.seen[p] {
			continue
		}
		if err := b.checkProgram(p); err != nil {
			return "", &programError{name, err}
		}
		return p, nil
	}
	return "", &programError{name, errNotFound}
}

// resolve follows the symbolic links in an absolute path.
func (b *builder) resolve(name string) (string, error) {
	done, rest := "/", strings.TrimPrefix(name, "/")
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(done, part) // ".." cannot leave the root
		target, isLink := b.links[next]
		if !isLink {
			done = next
			continue
		}
		const most = 40 // as Linux: man 7 path_resolution
		if links++; links > most {
			return "", errors.New("too many symbolic links")
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = strings.TrimPrefix(target, "/") + "/" + rest
	}
	return done, nil
}

func (b *builder) checkProgram(name string) error {
	f, err := b.w.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	return CheckProgram(data, "name that as the program")
}

// CheckProgram says why a file with these contents cannot be run. If it is a
// script, hint is what to do with its interpreter.
func CheckProgram(data []byte, hint string) error {
	_, err := elf.Check(data, int64(len(data)))
	switch {
	case err == nil:
	case bytes.HasPrefix(data, []byte("#!")):
		line, _, _ := strings.Cut(string(data[:min(200, len(data))]), "\n")
		err = fmt.Errorf("a script (%s), which needs its interpreter: %s", line, hint)
	case isTar(data):
		err = errors.New("a tar archive, but of no container image: one of a root file system is given by --rootfs")
	case bytes.HasPrefix(data, gzipMagic):
		err = errors.New("compressed: gunzip it, if there is a container image in it")
	}
	return err
}

var gzipMagic = []byte{0x1f, 0x8b}

// isTar says whether a file that begins so is a tar archive.
func isTar(data []byte) bool {
	const at, magic = 257, "ustar"
	return len(data) >= tarHead && string(data[at:at+len(magic)]) == magic
}

// tarHead is how much of a file isTar needs.
const tarHead = 263

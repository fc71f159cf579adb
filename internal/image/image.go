// Package image makes application images: an EROFS file system with a program
// in it, and what to run (internal/appimage).
package image

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"gosv/internal/appimage"
)

// Spec says what goes into an image.
type Spec struct {
	Program string // on the host: an ELF executable; empty if it is in Root
	Path    string // where in the image, absolute
	Config  appimage.Config
	Copies  []Copy // what comes first wins, over Root too
	Root    Tree   // may be nil
	User    string // USER[:GROUP] to run it as; empty for root

	// LeftOut is called for what there is in Root, outside /dev, and will not be in the image:
	// device nodes and sockets. It may be nil.
	LeftOut func(path string)
}

// Copy is a file or directory of the host to put into the image.
type Copy struct {
	Host  string
	Guest string // absolute
}

// ParseCopy reads HOST:GUEST.
func ParseCopy(s string) (Copy, error) {
	host, guest, ok := strings.Cut(s, ":")
	if !ok || host == "" || !path.IsAbs(guest) {
		return Copy{}, fmt.Errorf("%q is not HOST:GUEST with an absolute path in the guest", s)
	}
	return Copy{host, path.Clean(guest)}, nil
}

// Write makes the image in out, which must be empty. The same input gives the
// same bytes: files the image makes up are dated 1970.
func Write(out *os.File, s *Spec) error {
	w := erofs.Create(out, erofs.WithBuildTime(0, 0))
	b := &builder{w: w, dirs: map[string]bool{"/": true}, seen: map[string]bool{}, links: map[string]string{}, leftOut: s.LeftOut}
	if err := b.fill(s); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("making the file system: %w", err)
	}
	return finish(out, &s.Config)
}

// finish pads the file system in out to whole pages and appends what makes it
// an application image.
func finish(out *os.File, c *appimage.Config) error {
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	const page = 4096
	if pad := -size & (page - 1); pad != 0 {
		if _, err := out.Write(make([]byte, pad)); err != nil {
			return err
		}
		size += pad
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(sum, io.LimitReader(out, size)); err != nil {
		return err
	}
	if _, err := out.Seek(size, io.SeekStart); err != nil {
		return err
	}
	_, err = out.Write(appimage.Tail(size, sum.Sum32(), c))
	return err
}

// Rewrite copies the image img to out with another config.
func Rewrite(out io.Writer, img []byte, c *appimage.Config) error {
	fsys, _, err := appimage.Split(img)
	if err != nil {
		return err
	}
	sum, err := appimage.FileSystemSum(img)
	if err != nil {
		return err
	}
	if _, err := out.Write(fsys); err != nil {
		return err
	}
	_, err = out.Write(appimage.Tail(int64(len(fsys)), sum, c))
	return err
}

// Open reads an image and checks all of it.
func Open(name string) (img []byte, c appimage.Config, err error) {
	if img, err = os.ReadFile(name); err != nil {
		return nil, c, err
	}
	fsys, config, err := appimage.Split(img)
	if err != nil {
		return nil, c, fmt.Errorf("%s: %w", name, err)
	}
	want, err := appimage.FileSystemSum(img)
	if err != nil {
		return nil, c, fmt.Errorf("%s: %w", name, err)
	}
	switch gap := img[len(fsys)+len(config) : len(img)-appimage.FooterSize]; {
	case len(fsys) == 0:
		return nil, c, fmt.Errorf("%s: %w", name, appimage.ErrNoEROFS)
	case len(bytes.Trim(gap, "\x00")) != 0:
		return nil, c, fmt.Errorf("%s: %w", name, appimage.ErrLayout)
	}
	if crc32.Checksum(fsys, crc32.MakeTable(crc32.Castagnoli)) != want {
		return nil, c, fmt.Errorf("%s: a corrupt application image: the checksum of its file system is wrong; build it again", name)
	}
	if c, err = appimage.Parse(config); err != nil {
		return nil, c, fmt.Errorf("%s: %w", name, err)
	}
	return img, c, nil
}

// builder fills an EROFS writer.
type builder struct {
	w     *erofs.Writer
	dirs  map[string]bool   // made
	seen  map[string]bool   // other files
	links map[string]string // where symbolic links lead

	leaveOut bool              // devices and sockets, instead of refusing them
	leftOut  func(path string) // Spec.LeftOut
}

// omit leaves out a device node or a socket.
func (b *builder) omit(name string) {
	if b.leftOut != nil && !strings.HasPrefix(name, "/dev/") { // the VM has a /dev of its own
		b.leftOut(name)
	}
}

// skeleton is what a program expects to find even in an empty system.
var skeleton = []struct {
	path, text string
	mode       fs.FileMode
}{
	{"/bin", "", fs.ModeDir | 0o755},
	{"/dev", "", fs.ModeDir | 0o755},
	{"/etc", "", fs.ModeDir | 0o755},
	{"/etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644},
	{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n", 0o644},
	{"/etc/nsswitch.conf", "hosts: files dns\n", 0o644},
	{"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644},
	{"/etc/resolv.conf", "", 0o644},
	{"/proc", "", fs.ModeDir | 0o555},
	{"/root", "", fs.ModeDir | 0o700},
	{"/run", "", fs.ModeDir | 0o755},
	{"/sys", "", fs.ModeDir | 0o555},
	{"/tmp", "", fs.ModeDir | fs.ModeSticky | 0o777},
	{"/var", "", fs.ModeDir | 0o755},
	{"/var/tmp", "", fs.ModeDir | fs.ModeSticky | 0o777},
}

func (b *builder) fill(s *Spec) error {
	copies := s.Copies
	if s.Program != "" {
		copies = append([]Copy{{s.Program, s.Path}}, copies...)
	}
	for _, c := range copies {
		if err := b.copy(c); err != nil {
			return err
		}
	}
	if s.Root != nil {
		if err := s.Root.fill(b); err != nil {
			return err
		}
	}
	var err error
	c := &s.Config
	if s.Program == "" {
		if c.Exe, err = b.executable(c.Exe, c.Cwd, c.Env); err != nil {
			return err
		}
	}
	if s.User != "" {
		if c.UID, c.GID, c.Groups, err = b.user(s.User); err != nil {
			return err
		}
	}
	for _, f := range skeleton {
		var err error
		switch {
		case b.seen[f.path]:
		case f.mode.IsDir():
			err = b.mkdir(f.path, f.mode)
		default:
			err = b.file(f.path, strings.NewReader(f.text), f.mode, time.Unix(0, 0))
		}
		if err != nil {
			return fmt.Errorf("%s in the image: %w", f.path, err)
		}
	}
	if b.seen["/etc/hostname"] {
		return nil
	}
	return b.file("/etc/hostname", strings.NewReader(s.Config.HostName+"\n"), 0o644, time.Unix(0, 0))
}

// mkdir makes a directory and those it is in; one that is there gets the mode.
func (b *builder) mkdir(name string, mode fs.FileMode) error {
	if err := b.parents(name); err != nil {
		return err
	}
	if !b.dirs[name] {
		b.dirs[name] = true
		if err := b.w.Mkdir(name, mode.Perm()); err != nil {
			return err
		}
	}
	return b.w.Chmod(name, mode)
}

func (b *builder) parents(name string) error {
	if dir := path.Dir(name); !b.dirs[dir] {
		if err := b.parents(dir); err != nil {
			return err
		}
		b.dirs[dir] = true
		return b.w.Mkdir(dir, 0o755)
	}
	return nil
}

func (b *builder) file(name string, r io.Reader, mode fs.FileMode, mtime time.Time) error {
	if err := b.parents(name); err != nil {
		return err
	}
	b.seen[name] = true
	f, err := b.w.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.ReadFrom(r); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := b.w.Chmod(name, mode); err != nil {
		return err
	}
	return b.w.Chtimes(name, mtime, mtime)
}

// copy puts a file or a tree of the host into the image. What comes first
// wins: a later copy does not replace it.
func (b *builder) copy(c Copy) error {
	info, err := os.Stat(c.Host) // the top of a copy may be a link
	if err != nil {
		return err
	}
	return b.copyEntry(c.Host, c.Guest, info)
}

func (b *builder) copyEntry(host, guest string, info fs.FileInfo) error {
	if b.seen[guest] || b.dirs[guest] && !info.IsDir() {
		return nil
	}
	var err error
	switch mode := info.Mode(); {
	case mode.IsDir():
		err = b.copyDir(host, guest, info)
	case mode.IsRegular():
		err = b.copyFile(host, guest, info)
	case mode&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(host); err == nil {
			err = b.symlink(target, guest)
		}
	case mode&fs.ModeNamedPipe != 0:
		if err = b.parents(guest); err == nil {
			b.seen[guest] = true
			err = b.w.Mknod(guest, unix.S_IFIFO|uint16(mode.Perm()), 0)
		}
	case b.leaveOut:
		b.omit(guest)
		return nil
	default:
		return fmt.Errorf("%s: a socket or device cannot be copied into an image", host)
	}
	if err == nil && guest != "/" {
		err = b.w.Chtimes(guest, info.ModTime(), info.ModTime())
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("copying %s to %s: %w", host, guest, err)
	}
	return err
}

func (b *builder) copyFile(host, guest string, info fs.FileInfo) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.file(guest, f, info.Mode(), info.ModTime())
}

func (b *builder) copyDir(host, guest string, info fs.FileInfo) error {
	if guest != "/" {
		if err := b.mkdir(guest, info.Mode()); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(host)
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := b.copyEntry(filepath.Join(host, e.Name()), path.Join(guest, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

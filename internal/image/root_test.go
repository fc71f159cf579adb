package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/erofs/go-erofs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gosv/internal/appimage"
)

// elfFile is the smallest program that passes for one.
func elfFile(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 0x400078, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	p := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: 0x400000, Paddr: 0x400000, Filesz: 0x80, Memsz: 0x80, Align: 0x1000}
	for _, v := range []any{h, p, [8]byte{}} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// archive makes a tar archive of members, whose contents are in Linkname's
// place for regular files.
func archive(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		var text string
		if h.Typeflag == tar.TypeReg {
			text, h.Linkname = h.Linkname, ""
			h.Size = int64(len(text))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// make1 makes an image and opens it.
func make1(t *testing.T, s *Spec) (fs.FS, appimage.Config, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "app.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Write(out, s); err != nil {
		return nil, appimage.Config{}, err
	}
	img, c, err := Open(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	part, _, err := appimage.Split(img)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := erofs.Open(bytes.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	return fsys, c, nil
}

func TestTar(t *testing.T) {
	prog := string(elfFile(t))
	data := archive(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/app", Linkname: prog, Uid: 7, Gid: 8},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "usr/bin"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/start", Linkname: "/bin/../bin/app"},
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "usr/bin/app"},
		tar.Header{Typeflag: tar.TypeDir, Name: "./usr", Mode: 0o700},
		tar.Header{Typeflag: tar.TypeChar, Name: "dev/null"},
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Linkname: "root:x:0:0::/:\nweb:x:33:34::/:\n", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Linkname: "staff:x:50:web\n", Mode: 0o644},
	)
	for name, exe := range map[string]string{"/bin/start": "/usr/bin/app", "start": "/usr/bin/app", "bin/app": "/usr/bin/app", "../hard": "/hard"} {
		s := &Spec{Root: Tar{bytes.NewReader(data)}, User: "web", Config: appimage.Config{Exe: name, Cwd: "/", Env: []string{"PATH=/nowhere:/bin"}}}
		fsys, c, err := make1(t, s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Exe != exe || c.UID != 33 || c.GID != 34 {
			t.Errorf("%s: %+v", name, c)
		}
		for _, f := range []string{"usr/bin/app", "hard"} {
			if got, err := fs.ReadFile(fsys, f); err != nil || string(got) != prog {
				t.Errorf("%s: %d bytes, %v", f, len(got), err)
			}
		}
		info, err := fs.Stat(fsys, "usr")
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("usr: %v, %v", info, err)
		}
		if _, err := fs.Stat(fsys, "dev/null"); err == nil {
			t.Error("the device is in the image")
		}
	}
}

func TestUser(t *testing.T) {
	prog := string(elfFile(t))
	data := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "app", Linkname: prog},
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Linkname: "bad\nweb:x:33:34::/:\n:x:1:1::/:\n", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Linkname: "staff:x:50:web\n", Mode: 0o644})
	for user, want := range map[string]string{
		"": "0 0", "33": "33 34", "web": "33 34", "web:staff": "33 50", "1000": "1000 0", "1000:7": "1000 7",
		"nobody": "no user nobody", "web:wheel": "no group wheel", "4294967296": "no user 4294967296",
	} {
		_, c, err := make1(t, &Spec{Root: Tar{bytes.NewReader(data)}, User: user, Config: appimage.Config{Exe: "/app"}})
		var uid, gid uint32
		if n, _ := fmt.Sscan(want, &uid, &gid); n == 2 {
			member := user == "33" || user == "web"
			if err != nil || c.UID != uid || c.GID != gid || member != (len(c.Groups) == 1) {
				t.Errorf("%q: %d %d %d, %v; want %s", user, c.UID, c.GID, c.Groups, err, want)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", user, err, want)
		}
	}
}

// TestDevices: device nodes in an archive are left out: the VM has devices of its own.
func TestDevices(t *testing.T) {
	data := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "app", Linkname: string(elfFile(t))},
		tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}, tar.Header{Typeflag: tar.TypeChar, Name: "dev/mem", Devmajor: 1, Devminor: 1})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(data); errors.Join(err, z.Close()) != nil {
		t.Fatal(err)
	}
	data = zipped.Bytes() // which makes no difference
	var told []string
	fsys, _, err := make1(t, &Spec{Root: Tar{bytes.NewReader(data)}, Config: appimage.Config{Exe: "/app"}, LeftOut: func(name string) { told = append(told, name) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0] != "/sda" {
		t.Errorf("%v are said to be left out", told)
	}
	for _, name := range []string{"sda", "dev/mem"} {
		if _, err := fs.Stat(fsys, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadTar(t *testing.T) {
	prog := string(elfFile(t))
	app := tar.Header{Typeflag: tar.TypeReg, Name: "app", Linkname: prog}
	for want, data := range map[string][]byte{
		"leads out of it":                     archive(t, app, tar.Header{Typeflag: tar.TypeReg, Name: "a/../../etc/passwd"}),
		`"../../shadow" leads out`:            archive(t, app, tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../shadow"}),
		"a link to /none":                     archive(t, app, tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "none"}),
		"which is no directory":               archive(t, app, tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc"}, tar.Header{Typeflag: tar.TypeReg, Name: "x/passwd"}),
		"unexpected EOF":                      archive(t, app)[:600],
		"the archive: archive/tar":            bytes.Repeat([]byte("no archive "), 200),
		"/app in the image: file does not":    archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "other", Linkname: prog}),
		"/app in the image: a script":         archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "app", Linkname: "#!/bin/sh\n"}),
		"/app in the image: file does not ex": archive(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "app", Linkname: "app"}),
	} {
		_, _, err := make1(t, &Spec{Root: Tar{bytes.NewReader(data)}, Config: appimage.Config{Exe: "/app"}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app"), elfFile(t), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	fsys, c, err := make1(t, &Spec{Root: Dir(dir), Config: appimage.Config{Exe: "./app", Cwd: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(fsys, "data"); err != nil || string(got) != "text" || c.Exe != "/app" {
		t.Errorf("%q, %v, %+v", got, err, c)
	}
}

// container is an image of two layers, the upper of which takes a file away.
func container(t *testing.T) v1.Image {
	t.Helper()
	lower := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "bin/app", Linkname: string(elfFile(t))},
		tar.Header{Typeflag: tar.TypeReg, Name: "gone", Linkname: "x"}, tar.Header{Typeflag: tar.TypeReg, Name: "changed", Linkname: "old"})
	upper := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: ".wh.gone"}, tar.Header{Typeflag: tar.TypeReg, Name: "changed", Linkname: "new"})
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(lower, types.OCIUncompressedLayer), static.NewLayer(upper, types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config = v1.Config{Entrypoint: []string{"/bin/app", "-x"}, Cmd: []string{"serve"}, Env: []string{"A=b"}, WorkingDir: "/srv", User: "12:34"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestContainer(t *testing.T) {
	img := container(t)
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	docker := filepath.Join(t.TempDir(), "docker.tar")
	if err := tarball.WriteToFile(docker, nil, img); err != nil {
		t.Fatal(err)
	}
	oci := filepath.Join(t.TempDir(), "oci.tar")
	if err := os.WriteFile(oci, tarDir(t, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{dir, docker, oci} {
		if !IsContainer(arg) {
			t.Errorf("%s is none", arg)
			continue
		}
		c, err := OpenContainer(arg)
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.Join(append(c.Entrypoint, c.Cmd...), " ") != "/bin/app -x serve" || c.Env[0] != "A=b" || c.Dir != "/srv" || c.User != "12:34" {
			t.Errorf("%+v", c)
		}
		fsys, config, err := make1(t, &Spec{Root: c.Root(), User: c.User, Config: appimage.Config{Exe: "/bin/app"}})
		c.Close()
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if config.UID != 12 || config.GID != 34 {
			t.Errorf("%+v", config)
		}
		if _, err := fs.Stat(fsys, "gone"); err == nil {
			t.Error("what the upper layer takes away is there")
		}
		if got, err := fs.ReadFile(fsys, "changed"); err != nil || string(got) != "new" {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, arg := range []string{os.Args[0], "/dev/null", "/nowhere", t.TempDir()} {
		if IsContainer(arg) {
			t.Errorf("%s is taken for a container image", arg)
		}
	}
	os.RemoveAll(filepath.Join(dir, "blobs"))
	if _, err := OpenContainer(dir); err == nil || !strings.HasPrefix(err.Error(), dir+":") {
		t.Error(err)
	}
}

// tarDir makes an archive of the files in dir.
func tarDir(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

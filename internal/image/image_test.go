package image

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/erofs/go-erofs"

	"gosv/internal/appimage"
)

// write makes an image of s and returns its file.
func write(t *testing.T, s *Spec) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "app.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(f, s); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// spec has a program and a tree with one of everything.
func spec(t *testing.T) *Spec {
	t.Helper()
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	tree := filepath.Join(dir, "tree")
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(prog, bytes.Repeat([]byte("program "), 5000), 0o755))
	must(os.MkdirAll(filepath.Join(tree, "sub"), 0o750))
	must(os.WriteFile(filepath.Join(tree, "file"), []byte("text"), 0o640))
	must(os.WriteFile(filepath.Join(tree, "sub", "empty"), nil, 0o600))
	must(os.Symlink("../file", filepath.Join(tree, "sub", "link")))
	must(os.Symlink("file", filepath.Join(tree, "same")))
	when := time.Unix(1700000000, 0)
	must(os.Chtimes(filepath.Join(tree, "file"), when, when))
	return &Spec{Program: prog, Path: "/bin/prog", Copies: []Copy{{tree, "/data/tree"}, {filepath.Join(tree, "same"), "/etc/hosts"}},
		Config: appimage.Config{Args: []string{"prog", ""}, Env: []string{"A=b c"}, Cwd: "/data", Exe: "/bin/prog", HostName: "box"}}
}

func TestWrite(t *testing.T) {
	s := spec(t)
	name := write(t, s)
	img, c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if c.Exe != "/bin/prog" || len(c.Args) != 2 || c.Args[1] != "" || c.Env[0] != "A=b c" {
		t.Errorf("config %+v", c)
	}
	part, _, err := appimage.Split(img)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := erofs.Open(bytes.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"bin/prog": strings.Repeat("program ", 5000), "data/tree/file": "text",
		"data/tree/sub/empty": "", "etc/hostname": "box\n", "etc/hosts": "text"} {
		got, err := fs.ReadFile(fsys, name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %.20q, %v", name, got, err)
		}
	}
	// The library reports modes with the bits of st_mode.
	for name, want := range map[string]fs.FileMode{"bin/prog": 0o755, "data/tree/file": 0o640, "data/tree/sub": 0o750,
		"data/tree/same": 0o777, "tmp": 0o1777, "root": 0o700} {
		info, err := fs.Stat(lstat{fsys}, name)
		if err != nil || info.Mode()&0o7777 != want {
			t.Errorf("%s: %v, %v, want %v", name, info, err, want)
		}
	}
	if info, err := fs.Stat(fsys, "data/tree/file"); err != nil || info.ModTime().Unix() != 1700000000 {
		t.Errorf("time of a copied file: %v, %v", info, err)
	}
}

// lstat makes fs.Stat not follow links.
type lstat struct{ fs.FS }

func (l lstat) Stat(name string) (fs.FileInfo, error) {
	dir, base := filepath.Split(name)
	entries, err := fs.ReadDir(l.FS, filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() == base {
			return e.Info()
		}
	}
	return nil, fs.ErrNotExist
}

// A program's pages must lie whole in the image, for the kernel maps them
// where they are.
func TestPagesInPlace(t *testing.T) {
	img, _, err := Open(write(t, spec(t)))
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(img, bytes.Repeat([]byte("program "), 512)); at < 0 || at%4096 != 0 {
		t.Errorf("the program's first page lies at %#x", at)
	}
}

func TestSameBytes(t *testing.T) {
	s := spec(t)
	a, _ := os.ReadFile(write(t, s))
	b, _ := os.ReadFile(write(t, s))
	if !bytes.Equal(a, b) {
		t.Error("two images of the same differ")
	}
}

func TestFsck(t *testing.T) {
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Skip("no fsck.erofs: install erofs-utils")
	}
	img, _, err := Open(write(t, spec(t)))
	if err != nil {
		t.Fatal(err)
	}
	part, _, _ := appimage.Split(img)
	name := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(name, part, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("fsck.erofs", name).CombinedOutput(); err != nil {
		t.Errorf("fsck.erofs: %v\n%s", err, out)
	}
}

func TestRewrite(t *testing.T) {
	img, c, err := Open(write(t, spec(t)))
	if err != nil {
		t.Fatal(err)
	}
	c.Args = []string{"other"}
	var out bytes.Buffer
	if err := Rewrite(&out, img, &c); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "b.img")
	os.WriteFile(name, out.Bytes(), 0o644)
	if _, got, err := Open(name); err != nil || len(got.Args) != 1 || got.Args[0] != "other" || got.Exe != c.Exe {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseCopy(t *testing.T) {
	if c, err := ParseCopy("./a:/b/../c"); err != nil || c.Host != "./a" || c.Guest != "/c" {
		t.Errorf("%v, %v", c, err)
	}
	for _, s := range []string{"", "a", ":", "a:", ":/b", "a:b"} {
		if _, err := ParseCopy(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

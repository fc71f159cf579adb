package kernfs_test

import (
	"fmt"
	"strings"
	"testing"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/fs/kernfs"
)

// list is a Directory with the names that it is made of.
type list []kernfs.Entry

func (l list) Lookup(name string) (kernfs.Entry, errno.Errno) {
	for _, e := range l {
		if e.Name == name {
			return e, 0
		}
	}
	return kernfs.Entry{}, errno.ENOENT
}

func (l list) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	for i := int(from); i < len(l); i++ {
		if !emit(l[i], int64(i+1)) {
			return
		}
	}
}

// world is a namespace with such a file system as its root.
func world(magic uint64, dir kernfs.Directory) *fs.At {
	root := kernfs.New(7, magic, func() fs.Time { return fs.Time{Sec: 5} }, dir)
	p := fs.NewNamespace("none", "kernfs", root).Root()
	return &fs.At{Caller: &fs.Caller{Caps: 1<<40 - 1, PID: 42}, Root: p, Base: p}
}

func read(t *testing.T, n fs.Inode, off int64, size int) string {
	t.Helper()
	b := &fs.Buffer{Bytes: make([]byte, 0, size)}
	if _, err := n.ReadAt(b, off, size); err != 0 {
		t.Fatal(err)
	}
	return string(b.Bytes)
}

func TestFiles(t *testing.T) {
	made, taken := 0, ""
	at := world(fs.MagicProc, list{
		{Name: "count", Mode: fs.Regular | 0o644,
			Read:  func(b []byte) []byte { made++; return fmt.Appendf(b, "made %d times\n", made) },
			Write: func(p []byte) errno.Errno { taken = string(p); return 0 }},
		{Name: "empty", Mode: fs.Regular | 0o444, UID: 3, GID: 4},
		{Name: "deep", Mode: fs.Directory | 0o555, Dir: list{{Name: "down", Mode: fs.Directory | 0o555, Dir: list{}}}},
	})
	open := func(path string) fs.Inode {
		t.Helper()
		p, err := at.Lookup(path)
		if err != 0 {
			t.Fatalf("%s: %v", path, err)
		}
		n, err := p.Inode.Open()
		if err != 0 {
			t.Fatalf("%s: %v", path, err)
		}
		return n
	}
	// What is read in pieces is of one time; from the start it is made anew.
	n := open("count")
	if got := read(t, n, 0, 4) + read(t, n, 4, 100) + read(t, n, 100, 100); got != "made 1 times\n" || made != 1 {
		t.Errorf("read %q, made %d times", got, made)
	}
	if got := read(t, n, 0, 100); got != "made 2 times\n" {
		t.Errorf("read %q", got)
	}
	if got := read(t, open("count"), 5, 1); got != "3" {
		t.Errorf("the first read of another open, in the middle: %q", got)
	}
	if k, err := n.WriteAt(&fs.Buffer{Bytes: []byte("value\n")}, 10, 6); k != 6 || err != 0 || taken != "value\n" {
		t.Errorf("wrote %d %v, it took %q", k, err, taken)
	}
	if _, err := n.WriteAt(&fs.Buffer{Bytes: make([]byte, 5000)}, 0, 5000); err != errno.EINVAL {
		t.Errorf("writing too much: %v", err)
	}
	e := open("empty")
	if got := read(t, e, 0, 10); got != "" {
		t.Errorf("an empty file has %q", got)
	}
	if _, err := e.WriteAt(&fs.Buffer{Bytes: []byte("x")}, 0, 1); err != errno.EIO {
		t.Errorf("writing what cannot be: %v", err)
	}
	if a := e.Attr(); a.UID != 3 || a.GID != 4 || a.Size != 0 || a.Mtime.Sec != 5 || a.Nlink != 1 {
		t.Errorf("%+v", a)
	}
	// The same name is the same inode each time, and no other's.
	seen := map[uint64]string{}
	for _, path := range []string{"/", "count", "empty", "deep", "deep/down"} {
		p, _ := at.Lookup(path)
		again, _ := at.Lookup(path + map[bool]string{true: "/../down"}[path == "deep/down"])
		if p.Inode.Ino() != again.Inode.Ino() {
			t.Errorf("%s changes its number", path)
		}
		if other := seen[p.Inode.Ino()]; other != "" {
			t.Errorf("%s and %s have the same number", path, other)
		}
		seen[p.Inode.Ino()] = path
	}
	p, _ := at.Lookup("deep/down")
	if path, err := p.Path(at.Root); path != "/deep/down" || err != 0 {
		t.Errorf("path %q %v", path, err)
	}
}

func TestList(t *testing.T) {
	var dir list
	for i := range 100 {
		dir = append(dir, kernfs.Entry{Name: fmt.Sprint("n", i), Mode: fs.Regular | 0o444})
	}
	at := world(fs.MagicProc, dir)
	// However many are taken at a time, all come once and in order.
	for step := 1; step < 8; step++ {
		var names []string
		for pos, more := int64(0), true; more; {
			more = false
			n := 0
			at.Root.Inode.ReadDir(pos, func(e fs.Dirent) bool {
				if n == step {
					return false
				}
				n++
				names, pos, more = append(names, e.Name), e.Next, true
				return true
			})
		}
		want := []string{".", ".."}
		for _, e := range dir {
			want = append(want, e.Name)
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("by %d: %v", step, names)
		}
	}
	f, _ := at.Lookup("n1")
	if err := f.Inode.ReadDir(0, nil); err != errno.ENOTDIR {
		t.Errorf("a file as a directory: %v", err)
	}
}

func TestLinks(t *testing.T) {
	var at *fs.At
	at = world(fs.MagicProc, list{
		{Name: "self", Mode: fs.Symlink | 0o777, Link: func(c *fs.Caller) (string, errno.Errno) { return fmt.Sprint(c.PID), 0 }},
		{Name: "42", Mode: fs.Directory | 0o555, Dir: list{
			{Name: "root", Mode: fs.Symlink | 0o777,
				Link: func(*fs.Caller) (string, errno.Errno) { return "/gone (deleted)", 0 },
				Jump: func() (fs.Place, errno.Errno) { return at.Root, 0 }},
		}},
	})
	p, err := at.Lookup("self/root/42")
	if err != 0 || !fs.IsDir(p.Inode.Mode()) {
		t.Errorf("through both links: %v", err)
	}
	no := *at
	no.Flags = fs.NoMagicLinks
	if _, err := no.Lookup("self/root"); err != errno.ELOOP {
		t.Errorf("a link to a place, unwanted: %v", err)
	}
	no.Flags = fs.NoFollow
	l, err := no.Lookup("self/root")
	if err != 0 {
		t.Fatal(err)
	}
	if target, err := l.Inode.Readlink(at.Caller); target != "/gone (deleted)" || err != 0 {
		t.Errorf("reads %q %v", target, err)
	}
}

// TestNothingChanges: names cannot be made or taken away, with the errors of proc
// and of sysfs.
func TestNothingChanges(t *testing.T) {
	for _, c := range []struct{ magic, make, mkdir uint64 }{
		{fs.MagicProc, uint64(errno.ENOENT), uint64(errno.ENOENT)},
		{fs.MagicSysfs, uint64(errno.EACCES), uint64(errno.EPERM)},
	} {
		at := world(c.magic, list{{Name: "a", Mode: fs.Regular | 0o444}, {Name: "d", Mode: fs.Directory | 0o555, Dir: list{}}})
		if _, err := at.Open("new", fs.Creat|fs.WriteOnly, 0o600); err != errno.Errno(c.make) {
			t.Errorf("%x: create: %v", c.magic, err)
		}
		if err := at.Make("new", fs.New{Mode: fs.Directory | 0o700}); err != errno.Errno(c.mkdir) {
			t.Errorf("%x: mkdir: %v", c.magic, err)
		}
		for what, err := range map[string]errno.Errno{
			"unlink": at.Unlink("a"), "rmdir": at.Rmdir("d"), "rename": at.Rename("a", at, "d/../d", fs.Exchange),
		} {
			if err != errno.EPERM {
				t.Errorf("%x: %s: %v", c.magic, what, err)
			}
		}
	}
}

package linux

import (
	"testing"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
)

// heapPages gives a file system pages of the test's own memory.
type heapPages struct{}

func (heapPages) Alloc() []byte                                   { return make([]byte, pageSize) }
func (heapPages) Free([]byte)                                     {}
func (heapPages) Unmap(fs.FileSystem, uint64, int64, int64, bool) {}

// TestAppend: what is written to a file open with O_APPEND goes to its end, and
// the position follows.
func TestAppend(t *testing.T) {
	th := testThreads(1)[0]
	th.proc.limits.init()
	vol := tmpfs.New(tmpfs.Config{Pages: heapPages{}, Now: func() fs.Time { return fs.Time{} }})
	inode, _ := vol.File(fs.New{Mode: fs.Regular | fs.SetUID | 0o600})
	o := &inodeFile{inode: inode}
	f := newFile(o, oRdwr)
	write := func(b string) {
		t.Helper()
		u, err := th.buffer(uintptr(unsafe.Pointer(unsafe.StringData(b))), uintptr(len(b)))
		if err != 0 {
			t.Fatal(err)
		}
		if n, err := th.writeFile(f, u); n != len(b) || err != 0 {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	write("abcd")
	f.pos = 1
	f.flags.Store(oRdwr | oAppend)
	write("efg")
	if f.pos != 7 || inode.Attr().Size != 7 {
		t.Errorf("position %d, size %d, want 7 and 7", f.pos, inode.Attr().Size)
	}
	if inode.Mode()&fs.SetUID != 0 {
		t.Error("who writes to a file that is set-user-ID leaves it so")
	}
	th.proc.limits.set(rlimitFsize, rlimit{9, 9})
	u, _ := th.buffer(uintptr(unsafe.Pointer(unsafe.StringData("hij"))), 3)
	if n, err := th.writeFile(f, u); n != 2 || err != 0 {
		t.Errorf("a write across the limit: %d, %v, want 2", n, err)
	}
}

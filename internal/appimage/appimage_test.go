package appimage

import (
	"bytes"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
)

func testFS() []byte {
	fs := make([]byte, 2*pageSize)
	put32(fs[:erofsMagicAt:erofsMagicAt+4], erofsMagic)
	return fs
}

var testConfig = Config{
	Args:     []string{"prog", "a b", "", "ü\"'"},
	Env:      []string{"A=1", "B=", "LONG=" + strings.Repeat("x", 100<<10)},
	Cwd:      "/work",
	Exe:      "/bin/prog",
	HostName: "vm",
	Disks:    []Disk{{"vda", "/data", false}, {"vdb1", "/a/b", true}},
	Root:     "vdc",
}

func testImage() []byte {
	fs := testFS()
	return append(fs, Tail(int64(len(fs)), 0x1234, &testConfig)...)
}

func TestRoundTrip(t *testing.T) {
	fs, b, err := Split(testImage())
	if err != nil || !bytes.Equal(fs, testFS()) {
		t.Fatalf("Split: %d bytes of file system, %v", len(fs), err)
	}
	c, err := Parse(b)
	if err != nil || !reflect.DeepEqual(c, testConfig) {
		t.Fatalf("Parse: %v, %v", c, err)
	}
	if sum, err := FileSystemSum(testImage()); sum != 0x1234 || err != nil {
		t.Fatalf("FileSystemSum: %#x, %v", sum, err)
	}
}

func TestChecksum(t *testing.T) {
	for _, s := range []string{"", "123456789", strings.Repeat("gosv", 1000)} {
		if got, want := castagnoli([]byte(s)), crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Errorf("%.10q: %#x, want %#x", s, got, want)
		}
	}
}

// A flipped bit anywhere behind the file system is noticed, and so is a cut.
func TestCorrupt(t *testing.T) {
	img := testImage()
	end := len(img) - FooterSize
	if len(img)%sectorSize != 0 {
		t.Errorf("an image of %d bytes", len(img))
	}
	for _, at := range []int{2 * pageSize, 2*pageSize + 1, 2*pageSize + len(testConfig.Append(nil)) - 1, end, end + 8, end + 15, end + 16, end + 20, end + 28} {
		bad := bytes.Clone(img)
		bad[at] ^= 1
		if _, _, err := Split(bad); err == nil {
			t.Errorf("a flipped bit at %d of %d was not noticed", at, len(img))
		}
	}
	for _, n := range []int{0, 1, FooterSize, pageSize, len(img) - 1} {
		if _, _, err := Split(img[:n]); err == nil {
			t.Errorf("an image cut to %d bytes was not noticed", n)
		}
	}
}

func FuzzSplit(f *testing.F) {
	c := Config{Args: []string{"a"}, Exe: "/a"}
	fs := testFS()[:pageSize]
	f.Add(append(fs, Tail(pageSize, 0, &c)...))
	f.Fuzz(func(t *testing.T, img []byte) {
		if fs, b, err := Split(img); err == nil && len(fs)+len(b)+FooterSize > len(img) {
			t.Errorf("parts of %d and %d bytes in an image of %d", len(fs), len(b), len(img))
		}
	})
}

func FuzzParse(f *testing.F) {
	c := Config{Args: []string{"a", ""}, Env: []string{"K=V"}, Cwd: "/", Exe: "/a", HostName: "h", Plan: []byte{1, 0}, Disks: []Disk{{"vda", "/x", true}}, Root: "vdb"}
	f.Add(c.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(c.Append(nil))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%v became %v, %v", c, again, err)
		}
	})
}

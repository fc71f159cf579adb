package boot

import "testing"

func TestOption(t *testing.T) {
	for _, c := range []struct {
		cmdline, key, value string
		ok                  bool
	}{
		{"", "a", "", false},
		{"a", "a", "", true},
		{"a=", "a", "", true},
		{"a=b", "a", "b", true},
		{"a=b=c", "a", "b=c", true},
		{"  a=1  b  ", "a", "1", true},
		{"  a=1  b  ", "b", "", true},
		{"  a=1  b  ", "c", "", false},
		{"a=1 a=2", "a", "2", true},
		{"a=1 a", "a", "", true},
		{"a a=1", "a", "1", true},
		{"ab=1 ba=2", "a", "", false},
		{"ab", "abc", "", false},
		{"x=a", "a", "", false},
		{"a=1\tb=2", "a", "1\tb=2", true},
		{"gosv.strace=open,mmap pci=off gosv.report=aB3d virtio_mmio.device=4K@0xc0001000:5", "gosv.report", "aB3d", true},
		{"gosv.strace=open,mmap pci=off", "gosv.strace", "open,mmap", true},
		{"gosv.straces", "gosv.strace", "", false},
		{"a", "", "", false},
		{"=b", "", "", false},
		{" ", " ", "", false},
		{"a b", "a b", "", false},
		{"é=ü", "é", "ü", true},
	} {
		if value, ok := Option(c.cmdline, c.key); value != c.value || ok != c.ok {
			t.Errorf("Option(%q, %q) = %q, %v; want %q, %v", c.cmdline, c.key, value, ok, c.value, c.ok)
		}
	}
}

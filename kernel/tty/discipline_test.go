package tty

import (
	"testing"

	"gosv/kernel/fs"
)

// buffer is a Buffer with room of its own.
type buffer struct{ fs.Buffer }

func (b *buffer) Len() int { return cap(b.Bytes) - len(b.Bytes) }

// TestOutput: what becomes of bytes that are written to a terminal.
func TestOutput(t *testing.T) {
	for _, c := range []struct {
		flags     uint32
		from, got string
	}{
		{0, "a\tb\n", "a\tb\n"},
		{oPost | oNLCR, "a\n\r", "a\r\n\r"},
		{oPost | oTabs, "ab\tc\t", "ab      c       "},
		{oPost | oLCUC, "aZ1\xe4\xf7", "AZ1\xc4\xf7"},
		{oPost | oCRNL, "a\r\r", "a\n\n"},
		{oPost | oNoCR, "\ra\r\rb", "a\rb"},
		{oPost | oNoCR | oNLRet, "a\n\rb", "a\nb"},
	} {
		y := &Terminal{}
		y.set.oflag = c.flags
		var got []byte
		for i := range len(c.from) {
			got = y.output(got, c.from[i])
		}
		if string(got) != c.got {
			t.Errorf("flags %#o: %q became %q, not %q", c.flags, c.from, got, c.got)
		}
	}
}

// TestTyped: what typed keys look like, and what can be read of them.
func TestTyped(t *testing.T) {
	for _, c := range []struct {
		iflag, lflag     uint32 // changed
		typed, seen, got string
	}{
		{0, 0, "a\tb\x7f\x7f\n", "a\tb\b \b\b\b\b\b\b\b\b\r\n", "a\n"},
		{0, 0, "ab c\x17\x17d\n", "ab c\b \b\b \b\b \b\b \bd\r\n", "d\n"},
		{0, 0, "a\x12b\n", "a^R\r\nab\r\n", "ab\n"},
		{0, 0, "a\x16\x03\n", "a^\b^C\r\n", "a\x03\n"},
		{0, lEchoKE, "ab\x15c\n", "ab^U\r\nc\r\n", "c\n"},
		{0, lEchoE, "ab\x7fc\n", "ab^?c\r\n", "ac\n"},
		{0, lICanon, "a\n\r", "a^J\r\n", "a\n\n"},
		{iCRNL | iNLCR, 0, "a\n\x04", "a^M", "a\r"},
		{iStrip, 0, "\xe1\n", "a\r\n", "a\n"},
		{iUCLC, 0, "AB\n", "ab\r\n", "ab\n"},
		{iParMrk, 0, "\xff\n", "\xff\r\n", "\xff\xff\n"},
	} {
		y := &Terminal{set: plainTermios}
		y.set.iflag ^= c.iflag
		y.set.lflag ^= c.lflag
		for i := range len(c.typed) {
			y.key(c.typed[i])
		}
		if seen := string(y.echoed()); seen != c.seen {
			t.Errorf("%q looks like %q, not %q", c.typed, seen, c.seen)
		}
		b := make([]byte, 100)
		if n := y.readInput(&buffer{fs.Buffer{Bytes: b[:0]}}); string(b[:n]) != c.got {
			t.Errorf("%q can be read as %q, not %q", c.typed, b[:n], c.got)
		}
	}
}

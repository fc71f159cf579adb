package console

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// log is a Receiver that notes what it gets.
type log struct{ bytes.Buffer }

func (l *log) Room() int             { return 1 << 20 }
func (l *log) Input(p []byte)        { l.Write(p) }
func (l *log) EndOfInput()           { l.WriteString("<end>") }
func (l *log) Resize(rows, cols int) { fmt.Fprintf(l, "<%dx%d>", rows, cols) }

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"a\x10\x10b", "a\x10b"},
		{"a\x10.", "a<end>"},
		{"a\x10w24x80;b", "a<24x80>b"},
		{"a\x10w24;b", "ab"},
		{"a\x10w99999999x1;b", "ab"},
		{"a\x10zb", "ab"},
		{"\x10\x10\x10.", "\x10<end>"},
		{"\x16a\x10\x16\x16b", "a\x16b"},
		{"a\x10cb", "ab<core>"},
		{"a\x10tb", "ab<end it>"},
		{"a\x10q/proc/\x16\x10.\x00b", "ab<show /proc/\x16\x10.>"},
		{"a\x10p\x03\x00\x10.\x16\x10.b", "a<end>b<plan \x10.\x16>"},
		{"a\x10p\x00\x00b", "ab<plan >"},
		{"\x10q" + strings.Repeat("a", 4097) + "b", "b"},
	} {
		for cut := range 2 * (len(c.in) + 1) { // wherever the port's FIFO cuts it, or another decoder goes on
			goOn := cut > len(c.in)
			cut %= len(c.in) + 1
			l := &log{}
			d := decoder{to: l, framed: true}
			asked := false
			ended := false
			OnDump(func() { asked = true })
			OnTerminate(func() { ended = true })
			shown := ""
			OnShow(func(path string) { shown = path })
			planned, plan := false, ""
			OnPlan(func(p []byte) { planned, plan = true, string(p) })
			d.decode([]byte(c.in[:cut]))
			if goOn {
				other := decoder{to: l, framed: true}
				other.goOn(&d)
				d = other
			}
			d.decode([]byte(c.in[cut:]))
			if asked {
				l.WriteString("<core>")
			}
			if shown != "" {
				l.WriteString("<show " + shown + ">")
			}
			if planned {
				l.WriteString("<plan " + plan + ">")
			}
			if ended {
				l.WriteString("<end it>")
			}
			if l.String() != c.want {
				t.Errorf("%q cut at %d: got %q, want %q", c.in, cut, l.String(), c.want)
			}
		}
	}
	l := &log{}
	raw := decoder{to: l}
	raw.decode([]byte("a\x10.b"))
	if l.String() != "a\x10.b" {
		t.Errorf("raw: got %q", l.String())
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a\x10w1x2;\x10."), true)
	f.Fuzz(func(t *testing.T, in []byte, framed bool) {
		d := decoder{to: &log{}, framed: framed}
		n := len(in)
		d.decode(bytes.Clone(in))
		if got := d.to.(*log).Len(); !framed && got != n {
			t.Errorf("raw input of %d bytes became %d", n, got)
		}
	})
}

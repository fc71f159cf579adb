package console

import (
	"bytes"
	"io"
	"testing"
)

func TestDemux(t *testing.T) {
	const in = "out\x1b[1mbold\x1b_abcde\x1b\\err\x1b_abcdk\x1b\\kernel\x1b_abcdo\x1b\\out\x1b_abxxe\x1b\\still\x1b_abcdd\x1b\\\x00\xff\x1b_abcdx137\x1b\\"
	for cut := range len(in) {
		var o, e, k, r bytes.Buffer
		d := NewDemux("abcd", &o, &e, &k)
		d.Records = &r
		for _, p := range []string{in[:cut], in[cut:]} {
			if n, err := d.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		d.Close()
		code, ok := d.Exit()
		if o.String() != "out\x1b[1mboldout\x1b_abxxe\x1b\\still" || e.String() != "err" || k.String() != "kernel" || r.String() != "\x00\xff" || code != 137 || !ok {
			t.Errorf("cut at %d: %q %q %q %d %v", cut, o.String(), e.String(), k.String(), code, ok)
		}
	}
}

// An exit code of 0 takes no digit; what is no number is no exit.
func TestExitCode(t *testing.T) {
	for command, want := range map[string]int{"x": 0, "x0": 0, "x7": 7, "x255": 255, "xx": -1, "": -1, "o": -1} {
		d := NewDemux("abcd", io.Discard, io.Discard, io.Discard)
		if _, err := d.Write([]byte("\x1b_abcd" + command + "\x1b\\")); err != nil {
			t.Fatal(err)
		}
		code, ok := d.Exit()
		if !ok {
			code = -1
		}
		if code != want {
			t.Errorf("%q: %d, not %d", command, code, want)
		}
	}
}

// What is not a control string passes unchanged, however it is cut.
func FuzzDemux(f *testing.F) {
	f.Add([]byte("a\x1b_abcd\x1b\\"), 3)
	f.Add([]byte("a\x1b_abc"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		split := func(at ...int) string {
			var all bytes.Buffer
			d := NewDemux("abcd", &all, &all, &all)
			last := 0
			for _, a := range append(at, len(in)) {
				d.Write(in[last:a])
				last = a
			}
			d.Close()
			return all.String()
		}
		whole := split()
		if cut < 0 || cut > len(in) {
			cut = 0
		}
		if cutUp := split(cut); cutUp != whole {
			t.Errorf("%q cut at %d: %q, whole: %q", in, cut, cutUp, whole)
		}
		if !bytes.Contains(in, []byte("\x1b_abcd")) && whole != string(in) {
			t.Errorf("%q became %q", in, whole)
		}
	})
}

func TestEscape(t *testing.T) {
	if got := Escape(nil, []byte("a\x10b\x16")); string(got) != "a\x10\x10b\x10\x16" {
		t.Errorf("%q", got)
	}
	if got := Resize(24, 80); string(got) != "\x10w24x80;" {
		t.Errorf("%q", got)
	}
}

package vmm

import (
	"testing"
	"time"
)

func TestInterrupts(t *testing.T) {
	for _, c := range []struct {
		typed string // a character every 300 ms
		want  string // ! where it is enough
	}{
		{"^^^", "..!"},
		{"^^a^^^", ".....!"},
		{"^^^^^^^", "..!..!."},
		{"^", "."},
		{"^ ^", "..."},
		{"^^-----^^^", "..-----..!"},
	} {
		var i interrupts
		now := time.Now()
		var got []byte
		for _, key := range []byte(c.typed) {
			now = now.Add(300 * time.Millisecond)
			switch {
			case key == '-':
				got = append(got, '-') // nothing is typed
			case i.enough([]byte{map[byte]byte{'^': 3}[key]}, now):
				got = append(got, '!')
			default:
				got = append(got, '.')
			}
		}
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", c.typed, got, c.want)
		}
	}
	var i interrupts
	if !i.enough([]byte("\x03\x03\x03"), time.Now()) {
		t.Error("three at once are not enough")
	}
}

package inspect

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gosv/internal/console"
	"gosv/internal/network"
)

// fake is the input of a guest that knows some files and answers in pieces of
// odd sizes.
type fake struct {
	to    *Guest
	files map[string]string
	piece int
	mute  bool
}

func (f *fake) Write(p []byte) (int, error) {
	if f.mute {
		return len(p), nil
	}
	path := string(p[2 : len(p)-1])
	var out []byte
	text, ok := f.files[path]
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 300)
		out = append(append(out, byte(n), byte(n>>8)), rest[:n]...)
		rest = rest[n:]
	}
	out = append(out, 0, 0, 0)
	if !ok {
		out[len(out)-1] = byte(syscall.ENOENT)
	}
	go func() {
		for len(out) > 0 {
			n := min(f.piece, len(out))
			f.to.Write(out[:n])
			out = out[n:]
		}
	}()
	return len(p), nil
}

func guest(piece int) (*Guest, *fake) {
	f := &fake{piece: piece, files: map[string]string{"/a": "text", "/empty": "", "/long": strings.Repeat("0123456789", 1000)}}
	f.to = NewGuest(f)
	return f.to, f
}

func TestRead(t *testing.T) {
	for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
		g, f := guest(piece)
		for path, want := range f.files {
			if got, err := g.Read(t.Context(), path); err != nil || string(got) != want {
				t.Errorf("%s: %.20q, %v", path, got, err)
			}
		}
		if _, err := g.Read(t.Context(), "/none"); !errors.Is(err, syscall.ENOENT) {
			t.Error(err)
		}
		for _, path := range []string{"", "a\x00b", strings.Repeat("a", 4097)} {
			if _, err := g.Read(t.Context(), path); err != syscall.EINVAL {
				t.Errorf("%.10q: %v", path, err)
			}
		}
		g.End()
		if _, err := g.Read(t.Context(), "/a"); err != ErrEnded {
			t.Error(err)
		}
	}
}

// A guest that does not answer in time is not asked again before it does; one that
// talks unasked disturbs nobody.
func TestMute(t *testing.T) {
	g, f := guest(1)
	g.Write([]byte("\x03\x00abc\x00\x00\x00\x00\x00\x02"))
	if got, err := g.Read(t.Context(), "/a"); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	f.mute = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.Read(ctx, "/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	f.mute = false
	if _, err := g.Read(ctx, "/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	g.Write([]byte("\x04\x00late\x00\x00\x00"))
	if got, err := g.Read(t.Context(), "/a"); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSocket(t *testing.T) {
	g, f := guest(1000)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serve(l, g)
	c := NewClient(func(context.Context) (net.Conn, error) { return net.Dial("unix", path) })
	for path, want := range f.files {
		if got, err := c.Read(path); err != nil || string(got) != want {
			t.Errorf("%s: %.20q, %v", path, got, err)
		}
	}
	if _, err := c.Read("/none"); !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "/none") {
		t.Error(err)
	}
	g.End()
	if _, err := c.Read("/a"); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Error(err)
	}
}

func TestShow(t *testing.T) {
	if got := console.Show("/a"); !bytes.Equal(got, []byte("\x10q/a\x00")) {
		t.Errorf("%q", got)
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("\x04\x00text\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		g := NewGuest(nil)
		if n, err := g.Write(p); n != len(p) || err != nil {
			t.Error(n, err)
		}
	})
}

// serve answers for g at l.
func serve(l net.Listener, g *Guest) {
	s := NewServer()
	s.Show(&VM{Guest: g, Net: &network.Interfaces{}})
	s.Serve(l)
}

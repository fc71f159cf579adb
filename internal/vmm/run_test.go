package vmm

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// slowReader takes nothing before it is told to.
type slowReader struct {
	start <-chan time.Time
	got   int
}

func (r *slowReader) Write(p []byte) (int, error) {
	if r.start != nil {
		<-r.start
		r.start = nil
	}
	r.got += len(p)
	return len(p), nil
}

// do runs a shell script as a VMM.
func do(t *testing.T, script string, timeout time.Duration, to *slowReader) Result {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r := Run{Argv: []string{"sh", "-c", script}, Token: "TOKN", Timeout: timeout, Stdin: null, Stdout: to, Stderr: to}
	res, err := r.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Less than a pipe holds, so that the VMM ends at once; and more than is taken at a time.
const someOutput = "head -c 60000 /dev/zero; "

// All that a VMM has printed comes, and what the guest reports, though whoever reads it is late.
func TestLateReader(t *testing.T) {
	to := &slowReader{start: time.After(2 * delay)}
	if res := do(t, someOutput+`printf '\033_TOKNx3\033\\'`, 0, to); res.Code != 3 || !res.Report || to.got != 60000 {
		t.Errorf("%+v, and %d bytes of 60000", res, to.got)
	}
}

// Who reads nothing is not waited for when the time is over.
func TestNoReader(t *testing.T) {
	never := make(chan time.Time)
	defer close(never)
	if res := do(t, someOutput, delay/10, &slowReader{start: never}); res.Code != ExitTimeout {
		t.Errorf("%+v", res)
	}
}

// What a VMM leaves behind is not waited for.
func TestLeftBehind(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	to := &slowReader{}
	if res := do(t, "cat "+fifo+" & "+someOutput, 0, to); res.Code != ExitKernel || to.got != 60000 {
		t.Errorf("%+v, and %d bytes of 60000", res, to.got)
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // whose end ends it
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

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

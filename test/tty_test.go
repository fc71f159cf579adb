package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with gosv on it.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	before unix.Termios
	cmd    *exec.Cmd

	mu   sync.Mutex
	seen bytes.Buffer // what gosv wrote
	more chan struct{}
	ours int // how much of seen has been waited for
}

// onTerminal starts gosv run with prog on a terminal of 24 lines by 80.
func onTerminal(t *testing.T, prog string, args ...string) *terminal {
	t.Helper()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, slave: slave, before: *before, more: make(chan struct{}, 1)}
	term.resize(24, 80)
	argv := append(append([]string{"run", "--timeout", bound.String()}, microvm...), append([]string{prog}, args...)...)
	term.cmd = exec.Command(gosv, argv...)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go term.collect()
	return term
}

func (term *terminal) collect() {
	buf := make([]byte, 4096)
	for {
		n, err := term.master.Read(buf)
		term.mu.Lock()
		term.seen.Write(buf[:n])
		term.mu.Unlock()
		select {
		case term.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (term *terminal) resize(rows, cols int) {
	term.t.Helper()
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(cols)}); err != nil {
		term.t.Fatal(err)
	}
}

func (term *terminal) typeIn(s string) {
	term.t.Helper()
	if _, err := term.master.WriteString(s); err != nil {
		term.t.Fatal(err)
	}
}

// await waits until the terminal shows s, after what was waited for before.
func (term *terminal) await(s string) {
	term.t.Helper()
	s = strings.ReplaceAll(s, "\n", "\r\n")
	timeout := time.After(bound)
	for {
		term.mu.Lock()
		text := term.seen.String()
		term.mu.Unlock()
		if at := strings.Index(text[term.ours:], s); at >= 0 {
			term.ours += at + len(s)
			return
		}
		select {
		case <-term.more:
		case <-timeout:
			term.cmd.Process.Kill()
			term.t.Fatalf("the terminal does not show %q: %q", s, text)
		}
	}
}

// end waits for gosv's end and returns its exit code. The terminal must be as
// it was.
func (term *terminal) end() int {
	term.t.Helper()
	err := term.cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		term.t.Fatal(err)
	}
	after, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil || *after != term.before {
		term.t.Errorf("the terminal's settings were %+v, became %+v (%v)", term.before, after, err)
	}
	return term.cmd.ProcessState.ExitCode()
}

// TestTerminal: a program on a terminal finds one of the same size, edits lines
// on it, and gets its signals.
func TestTerminal(t *testing.T) {
	t.Parallel()
	term := onTerminal(t, cProgram(t, musl, "tty"))
	term.await("terminals 1 1 1\nsize 24 80\nready\n")

	// Raw mode: it is the guest's terminal that echoes and edits.
	term.typeIn("helo\x7fp\r")
	term.await("helo\b \bp\nline help\n")
	term.typeIn("gone\x15here\r")
	term.await("line here\n")

	term.resize(50, 132)
	term.await("size 50 132\n")
	term.typeIn("\x03") // Ctrl-C
	term.await("^C")
	term.await("interrupt\n")
	term.typeIn("\x04") // Ctrl-D
	term.await("end of input\n")
	if code := term.end(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
}

func TestTerminalSize(t *testing.T) {
	t.Parallel()
	term := onTerminal(t, busybox(t), "stty", "size")
	term.await("24 80\n")
	if code := term.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestInterrupt: Ctrl-C ends a program that does not mind it, busy or waiting.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"busy":    "echo ready; while :; do :; done",
		"waiting": "echo ready; read x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := onTerminal(t, busybox(t), "sh", "-c", script)
			term.await("ready\n")
			term.typeIn("\x03")
			if code := term.end(); code != 128+int(syscall.SIGINT) {
				t.Errorf("exit code %d, want 130", code)
			}
		})
	}
	t.Run("caught", func(t *testing.T) {
		t.Parallel()
		term := onTerminal(t, busybox(t), "sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; while :; do :; done")
		term.await("ready\n")
		term.typeIn("\x03")
		term.await("caught\n")
		if code := term.end(); code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
	})
}

// TestInsist: a program that ignores Ctrl-C is ended by many.
func TestInsist(t *testing.T) {
	t.Parallel()
	term := onTerminal(t, busybox(t), "sh", "-c", "trap 'echo no' INT; trap '' TERM; echo ready; while :; do :; done")
	term.await("ready\n")
	term.typeIn("\x03")
	term.await("no\n")
	term.typeIn("\x03\x03\x03")
	term.await("\ngosv: SIGTERM to the program; three more Ctrl-C end the VM\n")
	term.typeIn("\x03\x03\x03")
	if code := term.end(); code != 128+int(syscall.SIGINT) {
		t.Errorf("exit code %d, want 130", code)
	}
}

// TestKilled: the terminal is as it was when gosv itself is told to end.
func TestKilled(t *testing.T) {
	t.Parallel()
	term := onTerminal(t, busybox(t), "sh", "-c", "echo ready; read x")
	term.await("ready\n")
	if err := term.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := term.end(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want 143", code)
	}
}

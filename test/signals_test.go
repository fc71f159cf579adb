package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestSignals: how they are sent, queued, blocked, waited for and handled.
func TestSignals(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "signals"))
}

// TestFaults: the signals that a program brings upon itself.
func TestFaults(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "faults"))
}

// TestStops: SIGSTOP and its like, SIGCONT, and SIGKILL in between.
func TestStops(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"killed"}} {
		same(t, options{}, cProgram(t, glibc, "stops"), args...)
	}
}

// TestStoppedForGood: a program that nobody continues ends with its VM, or by a key.
func TestStoppedForGood(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "stops")
	vm := inBackground(t, microvm, nil, prog, "for good")
	eventually(t, func() error {
		if r := vm.call("logs", vm.name); r.stdout != "stopped\n" {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	expect(t, vm.call("stop", "-t", "10ms", vm.name), vm.name+"\n")
	if r := vm.call("ps", "-a"); !strings.Contains(r.stdout, "exit code 143") {
		t.Errorf("%+v", r)
	}
	term := onTerminal(t, prog, "for good")
	term.await("stopped\n")
	term.typeIn("\x03")
	if code := term.end(); code != 130 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
}

// TestSIGIO: signals when files get ready, and processes as descriptors.
func TestSIGIO(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "sigio"))
}

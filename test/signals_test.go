package test

import "testing"

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

package test

import "testing"

// TestSockets: pairs of Unix sockets, of all kinds.
func TestSockets(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "sockets"))
	same(t, options{flags: []string{"-c", "4"}}, cProgram(t, musl, "sockets"))
}

// TestUnixNames: Unix sockets with names.
func TestUnixNames(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "unixnames"))
}

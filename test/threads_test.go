package test

import "testing"

// TestFutexes: every operation, right and wrong, and threads that end.
func TestFutexes(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "futexes"))
}

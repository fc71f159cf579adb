package test

import "testing"

// TestRegressions runs programs that make calls in ways of which one went wrong once,
// found by other programs' own tests.
func TestRegressions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"copyrange", "entropy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, glibc, name))
		})
	}
}

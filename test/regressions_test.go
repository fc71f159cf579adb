package test

import (
	"strings"
	"testing"
)

// TestRegressions runs programs that make calls in ways of which one went wrong once,
// found by other programs' own tests.
func TestRegressions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"answers", "copyrange", "entropy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, glibc, name))
		})
	}
}

// TestExitWhileWriting: the exit code arrives, whatever other threads write
// meanwhile, on other CPUs.
func TestExitWhileWriting(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "exitwriting")
	for range 10 {
		r := run(t, microvm, options{flags: []string{"-c", "2"}}, prog)
		if other := strings.Trim(r.stdout, "x"); r.code != 7 || other != "" || r.stderr != "" {
			t.Fatalf("exit code %d, stderr %q, and among what was written is %q", r.code, r.stderr, other)
		}
	}
}

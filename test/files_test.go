package test

import (
	"os"
	"testing"
)

// TestFiles: what calls about files and readiness return, and which errors, is
// what the host's Linux says.
func TestFiles(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: the programs do what only root may, on the host too")
	}
	for _, name := range []string{"wrong", "files", "watch", "ready", "pty"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, options{}, cProgram(t, glibc, name))
		})
	}
}

// TestProc: what programs read of /proc and /sys is there, in the host's forms.
func TestProc(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: the files of the host's /proc belong to root")
	}
	same(t, options{}, cProgram(t, glibc, "procfs"), "argument")
}

// Package test runs whole programs in whole VMs: what gosv promises, seen from
// outside. Most tests run the same binary on the host too and compare.
//
// make test builds what they need. Tests of what this machine lacks (a
// compiler, Firecracker) say that they were skipped, and why.
package test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

var stress = flag.Bool("stress", false, "run the tests that boot a VM many times")

// The project's directory and what make leaves in it.
var (
	root   string
	gosv   string
	binDir string // of the test programs
)

// slots bounds the VMs that run at once: more than there are CPUs only makes
// all of them slow.
var slots = make(chan struct{}, max(2, runtime.NumCPU()))

func TestMain(m *testing.M) {
	flag.Parse()
	state, err := os.MkdirTemp("", "gosv-test-state-")
	if err == nil {
		os.Setenv("XDG_STATE_HOME", state) // this user's own VMs, and another's tests, are not ours
		err = prepare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(state)
	os.Exit(code)
}

func prepare() error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root = filepath.Dir(wd)
	gosv = filepath.Join(root, "bin", "gosv")
	if _, err := os.Stat(gosv); err != nil {
		return fmt.Errorf("%w: these tests need it, run make first", err)
	}
	binDir = filepath.Join(wd, "bin")
	return os.MkdirAll(binDir, 0o755)
}

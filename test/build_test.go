package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built holds what became of each test program: builds run once.
var built sync.Map // name -> func() error

func build(t *testing.T, name string, argv ...string) string {
	t.Helper()
	once, _ := built.LoadOrStore(name, sync.OnceValue(func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return &buildError{argv, string(out), err}
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binDir, name)
}

type buildError struct {
	argv []string
	out  string
	err  error
}

func (e *buildError) Error() string {
	return abbreviate(exec.Command(e.argv[0], e.argv[1:]...).String()) + ": " + e.err.Error() + "\n" + e.out
}

// libc is a C library to link a test program with, by its compiler.
type libc string

const (
	glibc libc = "gcc"
	musl  libc = "musl-gcc"
)

// cProgram builds programs/c/name.c statically, and skips the test where there
// is no compiler.
func cProgram(t *testing.T, c libc, name string) string {
	t.Helper()
	return cProgramAs(t, c, name, name+"."+string(c), "-static")
}

// cProgramAs is cProgram for a program called out that is linked with flags.
func cProgramAs(t *testing.T, c libc, name, out string, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath(string(c)); err != nil {
		t.Skipf("SKIPPED: no %s here (Debian: apt-get install gcc libc6-dev musl-tools)", c)
	}
	argv := append([]string{string(c)}, flags...)
	return build(t, out, append(argv, "-O1", "-pthread", "-o", filepath.Join(binDir, out), filepath.Join("programs", "c", name+".c"))...)
}

// goProgram builds a package of this module.
func goProgram(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Base(dir)
	return build(t, name, "go", "build", "-o", filepath.Join(binDir, name), filepath.Join(root, dir))
}

// busybox is Debian's static one.
func busybox(t *testing.T) string {
	t.Helper()
	const path = "/bin/busybox"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: no %s here (Debian: apt-get install busybox-static)", path)
	}
	return path
}

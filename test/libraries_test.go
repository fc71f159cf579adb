package test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Well-known libraries of C, as Debian builds them, put to work by programs of
// our own: what comes out must be what comes out on the host.

// libraryProgram builds programs/c/name.c with a static library of Debian's
// package dev.
func libraryProgram(t *testing.T, name, dev string, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath(string(glibc)); err != nil {
		t.Skipf("SKIPPED: no %s here (Debian: apt-get install gcc libc6-dev)", glibc)
	}
	if exec.Command("dpkg-query", "-L", dev).Run() != nil {
		t.Skipf("SKIPPED: no %s here (Debian: apt-get install %s)", dev, dev)
	}
	argv := []string{string(glibc), "-static", "-O1", "-w", "-o", filepath.Join(binDir, name), filepath.Join("programs", "c", name+".c")}
	return build(t, name, append(argv, flags...)...)
}

// inEmptyDirectory runs prog, which is given a directory to write to, in a VM and here.
func inEmptyDirectory(t *testing.T, prog string, args ...string) {
	t.Helper()
	host := runHost(t, options{}, prog, append(args, t.TempDir())...)
	if host.code != 0 {
		t.Fatal(host)
	}
	compare(t, run(t, microvm, options{}, prog, append(args, "/tmp")...), host)
}

func TestZlib(t *testing.T) {
	t.Parallel()
	inEmptyDirectory(t, libraryProgram(t, "zlib", "zlib1g-dev", "-lz"))
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	inEmptyDirectory(t, libraryProgram(t, "sqlite", "libsqlite3-dev", "-lsqlite3", "-lm", "-ldl", "-lpthread"))
}

func TestLua(t *testing.T) {
	t.Parallel()
	prog := libraryProgram(t, "lua", "liblua5.4-dev", "-I/usr/include/lua5.4", "-llua5.4", "-lm", "-ldl")
	script, err := filepath.Abs("programs/lua/tour.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"exit"}} {
		o := options{stdin: []byte("some input\nand more")}
		host := runHost(t, o, prog, append([]string{script}, args...)...)
		o.flags = []string{"-v", script + ":" + script}
		compare(t, run(t, microvm, o, prog, append([]string{script}, args...)...), host)
	}
}

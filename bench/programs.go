package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is what runs in the VMs.
type program struct {
	name     string
	compiler string // of C; empty for Go
	source   string
}

var (
	helloGlibc = program{"hello-glibc", "gcc", "bench/hello/hello.c"}
	helloMusl  = program{"hello-musl", "musl-gcc", "bench/hello/hello.c"}
	helloGo    = program{"hello-go", "", "./examples/hello"}
	spinC      = program{"spin", "gcc", "bench/hello/spin.c"}
	asleepC    = program{"asleep-c", "gcc", "test/programs/c/asleep.c"}
	asleepGo   = program{"asleep-go", "", "./bench/asleep"}
	microC     = program{"micro", "gcc", "bench/micro/micro.c"}
)

// image returns the path of an application image of p, with the arguments and
// the environment that gosv run gives.
func (b *bench) image(p program) (string, error) {
	img := filepath.Join(b.dir, p.name+".img")
	if _, err := os.Stat(img); !errors.Is(err, fs.ErrNotExist) {
		return img, err
	}
	if p.compiler == "" {
		_, err := command(b.gosv, "build", "-o", img, p.source)
		return img, err
	}
	bin, err := b.compile(p)
	if err != nil {
		return "", err
	}
	// A user's argv[0] is short, and its length counts.
	_, err = commandIn(b.dir, b.gosv, "build", "-o", img, "./"+filepath.Base(bin))
	return img, err
}

// compile returns the path of a program's static executable.
func (b *bench) compile(p program) (string, error) {
	bin := filepath.Join(b.dir, p.name)
	if p.compiler == "" {
		_, err := command("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, p.source)
		return bin, err
	}
	if _, err := exec.LookPath(p.compiler); err != nil {
		return "", skip("no " + p.compiler + " (Debian: apt-get install gcc libc6-dev musl-tools)")
	}
	_, err := command(p.compiler, "-static", "-O2", "-o", bin, p.source)
	return bin, err
}

// runGosv runs an image with gosv run on QEMU's TCG and returns what it prints.
func (b *bench) runGosv(img string, flags ...string) (string, error) {
	args := []string{"run", "--vmm", "qemu", "--accel", "tcg", "--kernel", b.kernel, "--timeout", "60s"}
	return command(b.gosv, append(append(args, flags...), img)...)
}

// command runs a command of this machine, without input, and returns its
// standard output. Its standard error becomes part of the error.
func command(name string, args ...string) (string, error) {
	return commandIn("", name, args...)
}

// commandIn is command in the directory dir.
func commandIn(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

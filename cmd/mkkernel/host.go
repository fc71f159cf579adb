package main

import (
	"fmt"
	"os"
	"os/exec"
)

// The program on the host has netstack, too: a user-mode network (internal/network) in which a
// guest may do what its kernel is to bear. By the go command alone it is built without the
// mends.

const (
	hostProgram = "gosv/cmd/gosv"
	hostNetwork = "gosv/internal/network"
	hostDir     = "internal/network/netstack" // where there is nothing
)

// buildHost builds it with them.
func buildHost(out string) error {
	tmp, err := os.MkdirTemp("", "mkkernel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	return mended(tmp, "build", "-trimpath", "-ldflags=-s -w", "-o", out, hostProgram)
}

// mended runs a go command about the host's programs with the mends, which are written into dir.
func mended(dir, verb string, args ...string) error {
	files := overlay{}
	modfile, err := netstack(dir, hostDir, func(string, string) bool { return false }, mends, files, "-test", hostProgram, hostNetwork)
	if err != nil {
		return err
	}
	return goCommand(dir, modfile, files, verb, args...)
}

// goCommand runs a go command about programs on the host with netstack as in files.
func goCommand(dir, modfile string, files overlay, verb string, args ...string) error {
	list, err := files.write(dir)
	if err != nil {
		return err
	}
	c := exec.Command("go", append([]string{verb, "-modfile=" + modfile, "-overlay=" + list}, args...)...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOTOOLCHAIN="+pinnedGo)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("go %s for the host: %w", verb, err)
	}
	return nil
}

// test runs go test, on this machine, with netstack as the host's program has it or as the
// kernel does.
func test(host bool, args []string) error {
	tmp, err := os.MkdirTemp("", "mkkernel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	args = append([]string{"-ldflags=-checklinkname=0", "-vet=off"}, args...) // vet reads no overlay
	if host {
		os.Setenv("GOSV_TEST_NETSTACK", "mended") // there are tests that it as it is fails
		return mended(tmp, "test", args...)
	}
	files := overlay{}
	modfile, err := kernelNetstack(tmp, files, "-test", "gosv/kernel/net/...")
	if err != nil {
		return err
	}
	return goCommand(tmp, modfile, files, "test", append([]string{"-tags=netstack,host"}, args...)...)
}

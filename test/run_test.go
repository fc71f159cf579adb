package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bound is how long one run may take. Only a hang reaches it, on a slow and busy machine too.
const bound = 10 * time.Minute

// environment is what gosv gives a program that asks for nothing else.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOSTNAME=gosv",
	"HOME=/root",
}

// machine is a virtual machine as flags of gosv run.
type machine []string

// microvm is what a test runs on that is not about machines. TCG runs
// everywhere.
var microvm = machine{"--vmm", "qemu", "--accel", "tcg"}

// options of a run.
type options struct {
	stdin []byte
	flags []string // of gosv run
	env   []string // added to the environment
	dir   string   // working directory
}

// result is what a run leaves.
type result struct {
	stdout, stderr string
	code           int
	command        string // what was run, for messages
}

// run runs prog in a VM.
func run(t *testing.T, m machine, o options, prog string, args ...string) result {
	t.Helper()
	argv := append([]string{gosv, "run", "--timeout", bound.String()}, m...)
	argv = append(argv, o.flags...)
	for _, kv := range o.env {
		argv = append(argv, "-e", kv)
	}
	if o.dir != "" {
		argv = append(argv, "-w", o.dir)
	}
	return command(t, o.stdin, "", nil, append(append(argv, prog), args...)...)
}

// runHost runs prog on this machine, as run does in a VM.
func runHost(t *testing.T, o options, prog string, args ...string) result {
	t.Helper()
	dir := o.dir
	if dir == "" {
		dir = "/"
	}
	return command(t, o.stdin, dir, append(environment[:len(environment):len(environment)], o.env...), append([]string{prog}, args...)...)
}

// command runs a command on this machine. Nil env means our own.
func command(t *testing.T, stdin []byte, dir string, env []string, argv ...string) result {
	t.Helper()
	// gosv's own --timeout comes first; this one is for a gosv that hangs.
	return commandWithin(t, bound+10*time.Second, stdin, dir, env, argv...)
}

// commandWithin is command with another bound than the usual one.
func commandWithin(t *testing.T, bound time.Duration, stdin []byte, dir string, env []string, argv ...string) result {
	t.Helper()
	slots <- struct{}{}
	defer func() { <-slots }()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin = bytes.NewReader(stdin)
	// Should gosv be killed, QEMU still holds the pipes.
	cmd.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	res := result{stdout: stdout.String(), stderr: stderr.String(), command: abbreviate(strings.Join(argv, " "))}
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s: no end after %v\nstdout: %s\nstderr: %s", res.command, bound, abbreviate(res.stdout), abbreviate(res.stderr))
	case errors.As(err, &ended):
		res.code = ended.ExitCode()
		if s := ended.Sys().(syscall.WaitStatus); s.Signaled() {
			res.code = 128 + int(s.Signal())
		}
	case err != nil:
		t.Fatalf("%s: %v", res.command, err)
	}
	return res
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit code %d\nstdout: %s\nstderr: %s", r.command, r.code, abbreviate(r.stdout), abbreviate(r.stderr))
}

// abbreviate keeps a message readable.
func abbreviate(s string) string {
	const most = 3000
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s ... (%d bytes more)", s[:most], len(s)-most)
}

// expect fails the test unless r is what a program that goes well leaves.
func expect(t *testing.T, r result, stdout string) {
	t.Helper()
	if r.stdout != stdout || r.stderr != "" || r.code != 0 {
		t.Errorf("%v\nwant stdout: %s", r, abbreviate(stdout))
	}
}

// same runs prog in a VM and here, and compares what is seen.
func same(t *testing.T, o options, prog string, args ...string) {
	t.Helper()
	host := runHost(t, o, prog, args...)
	if host.code == cannotTell {
		t.Fatalf("on the host: %v", host)
	}
	compare(t, run(t, microvm, o, prog, args...), host)
}

// cannotTell is the exit code of those of programs/c that could not do what their test is about.
const cannotTell = 99

func compare(t *testing.T, vm, host result) {
	t.Helper()
	if vm.stdout != host.stdout || vm.stderr != host.stderr || vm.code != host.code {
		t.Errorf("in the VM: %v\n\non the host: %v\n%s", vm, host, firstDifference(vm.stdout+vm.stderr, host.stdout+host.stderr))
	}
}

// firstDifference points at the first line in which a VM's output is not the
// host's.
func firstDifference(vm, host string) string {
	v, h := strings.Split(vm, "\n"), strings.Split(host, "\n")
	for i := range min(len(v), len(h)) {
		if v[i] != h[i] {
			return fmt.Sprintf("line %d differs:\n  VM   %s\n  host %s", i+1, abbreviate(v[i]), abbreviate(h[i]))
		}
	}
	return ""
}

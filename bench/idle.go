package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gosv/internal/vmm"
	"gosv/internal/vmm/qemu"
)

// A machine is given some time to fall asleep, and is watched for a while then: in
// seconds.
const (
	fallAsleep = 8
	watch      = 20
)

// idleExits counts the VM exits a second, but for those that the host's own
// interrupts cause, of a Firecracker whose program sleeps.
func (b *bench) idleExits(p program, cpus int) (float64, string, error) {
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	argv, err := b.firecracker(b.machine(img, cpus), "idle")
	if err != nil {
		return 0, "", err
	}
	script := fmt.Sprintf("trace=/sys/kernel/tracing/trace; %s >/tmp/out & sleep %d; cat /tmp/out; echo >$trace; sleep %d; kill -0 $! && "+
		"echo exits $(grep kvm_exit: $trace | grep -vc 'reason interrupt'); kill $!", vmm.Quote(argv), fallAsleep, watch)
	out, err := b.kvmbox([]string{"-e"}, argv[0], []string{"sh", "-c", script})
	if err != nil {
		return 0, "", err
	}
	m := regexp.MustCompile(`(?m)^exits (\d+)`).FindStringSubmatch(out)
	if m == nil || !strings.Contains(out, "asleep") {
		return 0, "", fmt.Errorf("it did not fall asleep:\n%s", out)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return n / watch, "", err
}

// idleWakeups counts how often a second a QEMU whose program sleeps gets the host's
// CPU: how often its threads go to sleep again.
func (b *bench) idleWakeups(p program, cpus int) (float64, string, error) {
	q, err := qemu.New("tcg", "microvm", nil)
	if err != nil {
		return 0, "", skip(err.Error())
	}
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	c, err := q.Command(b.machine(img, cpus), b.dir)
	if err != nil {
		return 0, "", err
	}
	var out bytes.Buffer
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	time.Sleep(fallAsleep * time.Second)
	before, err := switches(cmd.Process.Pid)
	time.Sleep(watch * time.Second)
	after, err2 := switches(cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		return 0, "", err
	}
	if !strings.Contains(out.String(), "asleep") {
		return 0, "", fmt.Errorf("it did not fall asleep:\n%s", out.String())
	}
	return float64(after-before) / watch, "", err2
}

// switches is how often the threads of a process have given up the CPU.
func switches(pid int) (n int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		status, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		m := regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)`).FindSubmatch(status)
		if m == nil {
			return 0, fmt.Errorf("no count in %s", f)
		}
		k, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

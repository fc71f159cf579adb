package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// microResult is what micro.c prints about an operation: its instructions, or
// why it failed.
type microResult struct {
	instructions float64
	failed       string
}

// microLine is a line of its: the name takes 24 columns.
var microLine = regexp.MustCompile(`(?m)^(.{24}) +(\d+)$|^(.{24}) failed: (.*)$`)

// parseMicro reads micro.c's output.
func parseMicro(out string) (map[string]microResult, error) {
	results := map[string]microResult{}
	for _, m := range microLine.FindAllStringSubmatch(out, -1) {
		if m[3] != "" {
			results[strings.TrimSpace(m[3])] = microResult{failed: m[4]}
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		results[strings.TrimSpace(m[1])] = microResult{instructions: n}
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("no measurements in micro's output:\n%s", out)
	}
	return results, nil
}

// micros are micro.c's results on one kernel, measured when first asked for.
type micros struct {
	results map[string]microResult
	err     error
}

// micro returns the instructions, of all CPUs, that the operation takes in micro.c on
// gosv, or on a Linux guest of the same VMM. Under -icount shift=0 a nanosecond of the
// guest's clock is an instruction.
func (b *bench) micro(operation string, cpus int, all map[int]*micros, measure func(cpus int) (string, error)) (float64, string, error) {
	m := all[cpus]
	if m == nil {
		m = new(micros)
		all[cpus] = m
		m.results, m.err = leastOf(microRuns(cpus), func() (string, error) { return measure(cpus) })
	}
	if m.err != nil {
		return 0, "", m.err
	}
	switch r, ok := m.results[operation]; {
	case !ok:
		return 0, "", errors.New("micro did not print it")
	case r.failed != "":
		return 0, "", skip("not there: " + r.failed)
	default:
		return r.instructions, "", nil
	}
}

// microRuns is how often micro.c runs. With more than one CPU QEMU's clock may jump to the next timer
// though a CPU runs, and a CPU that waits for another without a PAUSE does so until then.
func microRuns(cpus int) int {
	if cpus > 1 {
		return 3
	}
	return 1
}

// leastOf returns for each operation the least of several runs of micro.c.
func leastOf(runs int, run func() (string, error)) (map[string]microResult, error) {
	least := map[string]microResult{}
	for range runs {
		out, err := run()
		if err != nil {
			return nil, err
		}
		results, err := parseMicro(out)
		if err != nil {
			return nil, err
		}
		for name, r := range results {
			if l, ok := least[name]; !ok || r.failed != "" || l.failed == "" && r.instructions < l.instructions {
				least[name] = r
			}
		}
	}
	return least, nil
}

// countTime makes a nanosecond of the guest's time an instruction.
var countTime = []string{"-icount", "shift=0,sleep=off"}

func (b *bench) microOnGosv(cpus int) (string, error) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return "", skip(err.Error())
	}
	img, err := b.image(microC)
	if err != nil {
		return "", err
	}
	return b.runGosv(img, "-c", strconv.Itoa(cpus), "--vmm-arg", countTime[0], "--vmm-arg", countTime[1])
}

func (b *bench) microOnLinux(cpus int) (string, error) {
	return b.runLinux(cpus, 200, countTime, microC)
}

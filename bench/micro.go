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

// micro returns the instructions that the operation takes in micro.c. Under
// -icount shift=0 a nanosecond of the guest's clock is an instruction.
func (b *bench) micro(operation string) (float64, string, error) {
	if b.micros == nil {
		if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
			return 0, "", skip(err.Error())
		}
		img, err := b.image(microC)
		if err != nil {
			return 0, "", err
		}
		out, err := b.runGosv(img, "--vmm-arg", "-icount", "--vmm-arg", "shift=0,sleep=off")
		if err != nil {
			return 0, "", err
		}
		if b.micros, err = parseMicro(out); err != nil {
			return 0, "", err
		}
	}
	switch r, ok := b.micros[operation]; {
	case !ok:
		return 0, "", errors.New("micro did not print it")
	case r.failed != "":
		return 0, "", skip("gosv has not got this yet: " + r.failed)
	default:
		return r.instructions, "", nil
	}
}

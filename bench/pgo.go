package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// What the kernel with a network is trained with: requests by connections that are kept, and by ones of their
// own, which are as much work. What is called less than once in trainSeldom requests is not inlined for it.
const (
	trainRequests    = 6400
	trainConnections = 2000
	trainSeldom      = 10
)

// train writes to a file the profile that the kernel with a network is built with, of the calls
// in it while it serves. That kernel is built without one: what a profile has inlined is no call any
// more that could be counted.
func (b *bench) train(to string) error {
	b.netKernel = filepath.Join(b.dir, "train.elf")
	if _, err := command("go", "run", "./cmd/mkkernel", "-net", "-symbols", "-pgo=off", "-o", b.netKernel); err != nil {
		return err
	}
	const requests = 1 + trainRequests + trainConnections
	file := filepath.Join(b.dir, "train.calls")
	counts, err := b.countWeb(false, []string{"CALLS=" + file}, requests,
		webRequests, strconv.Itoa(trainRequests), webConnections, strconv.Itoa(trainConnections))
	if err != nil {
		return err
	}
	if _, err := parseCounts(counts, "answered"); err != nil {
		return err
	}
	calls, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	kernel, err := elf.Open(b.netKernel)
	if err != nil {
		return err
	}
	defer kernel.Close()
	p, err := callProfile(kernel, calls, requests/trainSeldom)
	if err != nil {
		return fmt.Errorf("%s: %w", b.netKernel, err)
	}
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}

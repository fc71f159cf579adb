package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// The kernel with a network links two hundred packages, whose initialization
// takes as long as the rest of a boot. It is put off for those that the kernel
// without a network does not have: the runtime's list of tasks (moduledata's
// inittasks, a slice) ends where they begin, but has them in its capacity.
// Package gosv/kernel/net runs them, before it uses what they make.

// trimNetwork changes what that costs in the linked kernel.
func trimNetwork(linked []byte) error {
	img, err := openImage(linked)
	if err != nil {
		return err
	}
	m, err := img.module()
	if err != nil {
		return err
	}
	early, err := smallPackages()
	if err != nil {
		return err
	}
	if err := img.deferInits(m, early); err != nil {
		return err
	}
	img.linkPointerTypes()
	return img.dropEntropyBuffer()
}

// deferInits moves the initialization of the packages that are not early to the
// end of the runtime's list, in its order, and ends the list before them. What
// is early imports nothing that is not, so the order stays right.
func (img *image) deferInits(m *module, early func(pkg string) bool) error {
	list, n := le.Uint64(img.md[mdInitTasks:]), le.Uint64(img.md[mdInitTasks+8:])
	if n == 0 || le.Uint64(img.md[mdInitTasks+16:]) != n {
		return fmt.Errorf("%w: the list of initializations has %d entries", errTables, n)
	}
	tasks := img.at(list)[:n*8]
	var now, later []byte
	for task := range slices.Chunk(tasks, 8) {
		const count, taskFuncs = 4, 8 // in runtime.initTask
		t := img.at(le.Uint64(task))
		funcs := t[taskFuncs:][:8*le.Uint32(t[count:])]
		var pkg string
		var needed []byte
		for addr := range slices.Chunk(funcs, 8) {
			f := m.at(uint32(le.Uint64(addr) - le.Uint64(img.md[mdText:])))
			if f == nil || !strings.Contains(f.name, ".init") {
				return fmt.Errorf("%w: what is at %#x initializes no package", errTables, le.Uint64(addr))
			}
			pkg, _, _ = strings.Cut(f.name, ".init")
			pkg = strings.TrimSuffix(pkg, ".map")
			if early(pkg) || !unneeded(f) {
				needed = append(needed, addr...)
			}
		}
		le.PutUint32(t[count:], uint32(copy(funcs, needed)/8))
		switch {
		case early(pkg):
			now = append(now, task...)
		case needed != nil:
			later = append(later, task...)
		}
	}
	le.PutUint64(img.md[mdInitTasks+8:], uint64(len(now)/8))
	le.PutUint64(img.md[mdInitTasks+16:], uint64(copy(tasks, append(now, later...))/8))
	return nil
}

// unneeded says whether a function of those that initialize a package makes what the
// kernel never uses: unicode's maps, and what the standard library's resolver needs.
func unneeded(f *function) bool {
	return f.name == "unicode.init" || f.name == "vendor/golang.org/x/net/dns/dnsmessage.init"
}

// at is the function that starts at an offset in the text, or nil.
func (m *module) at(entry uint32) *function {
	i, ok := slices.BinarySearchFunc(m.funcs, entry, func(f function, entry uint32) int { return int(int64(f.entry) - int64(entry)) })
	if !ok {
		return nil
	}
	return &m.funcs[i]
}

// smallPackages tells the packages of the kernel without a network.
func smallPackages() (func(pkg string) bool, error) {
	out, err := goList("-deps", smallKernel)
	if err != nil {
		return nil, err
	}
	pkgs := map[string]bool{}
	for line := range bytes.Lines(out) {
		pkgs[strings.TrimSpace(string(line))] = true
	}
	return func(pkg string) bool { return pkgs[pkg] }, nil
}

// entropyBuffer is the size of crypto/internal/fips140/drbg's memory, which the
// standard library collects entropy in where FIPS 140-3 is asked for. Netstack links
// it; it is never touched.
const entropyBuffer = 32 << 20

// dropEntropyBuffer takes that buffer out of the kernel's memory: it is the largest
// variable, and the linker puts those last.
func (img *image) dropEntropyBuffer() error {
	start, end := le.Uint64(img.md[mdNoPtrBSS:]), le.Uint64(img.md[mdNoPtrBSSEnd:])
	if end-start < entropyBuffer {
		return nil
	}
	rw := img.file.Progs[img.rw]
	if rw.Type != elf.PT_LOAD || (rw.Vaddr+rw.Memsz)-end >= 16 {
		return fmt.Errorf("the last segment ends at %#x, its variables at %#x", rw.Vaddr+rw.Memsz, end)
	}
	phoff := le.Uint64(img.bytes[32:])
	le.PutUint64(img.bytes[phoff+uint64(img.rw)*56+40:], rw.Memsz-entropyBuffer)
	le.PutUint64(img.md[mdNoPtrBSSEnd:], end-entropyBuffer)
	return nil
}

package main

import (
	"bytes"
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
	return img.deferInits(m, early)
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
		for addr := range slices.Chunk(funcs, 8) {
			f := m.at(uint32(le.Uint64(addr) - le.Uint64(img.md[mdText:])))
			if f == nil || !strings.Contains(f.name, ".init") {
				return fmt.Errorf("%w: what is at %#x initializes no package", errTables, le.Uint64(addr))
			}
			pkg, _, _ = strings.Cut(f.name, ".init")
			pkg = strings.TrimSuffix(pkg, ".map")
		}
		if early(pkg) {
			now = append(now, task...)
		} else {
			later = append(later, task...)
		}
	}
	le.PutUint64(img.md[mdInitTasks+8:], uint64(len(now)/8))
	le.PutUint64(img.md[mdInitTasks+16:], uint64(copy(tasks, append(now, later...))/8))
	return nil
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

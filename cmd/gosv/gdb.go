package main

import (
	"debug/elf"
	"fmt"
	"strings"

	"gosv/internal/vmm"
)

// pieBase is where the kernel loads a position-independent program (exec.go in kernel/linux).
const pieBase = 0x555555554000

// gdbAdvice says how to reach a machine that waits for gdb at socket, with the symbols
// of its kernel and of prog, which is "" if there is no such file here.
func gdbAdvice(socket, kernel, prog string, net bool) (string, error) {
	argv := []string{"gdb", "-ex", "set confirm off"}
	breakpoints := "  hbreak kernelentry      at the kernel's first instruction\n"
	hint := ""
	if symbols, err := hasSymbols(kernel); err != nil {
		return "", err
	} else if symbols {
		argv = append(argv, "-ex", "file "+kernel)
		breakpoints += "  hbreak 'gosv/kernel/guest.Main'      in the kernel's main goroutine\n"
	} else {
		flags := "-symbols"
		if net {
			flags += " -net"
		}
		breakpoints = ""
		hint = fmt.Sprintf("\nFor the kernel's symbols: go run ./cmd/mkkernel %s -o kernel.elf, and --kernel kernel.elf", flags)
	}
	if prog != "" {
		offset, main, err := programSymbols(prog)
		if err != nil {
			return "", err
		}
		add := "add-symbol-file " + prog
		if offset != 0 {
			add += fmt.Sprintf(" -o %#x", offset)
		}
		argv = append(argv, "-ex", add)
		if main != 0 {
			breakpoints += fmt.Sprintf("  hbreak *%#x       in the program's main\n", main)
		}
	}
	argv = append(argv, "-ex", "target remote "+socket)
	return fmt.Sprintf("the machine waits for a debugger:\n  %s\nMemory is not mapped yet: break by hardware, four times at most, then continue:\n%s%s",
		vmm.Quote(argv), strings.TrimRight(breakpoints, "\n"), hint), nil
}

// hasSymbols says whether an ELF file has a symbol table.
func hasSymbols(name string) (bool, error) {
	f, err := elf.Open(name)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	return f.Section(".symtab") != nil, nil
}

// programSymbols returns what the kernel adds to a program's addresses and where its main
// is then: Go's main.main or C's main, 0 if it has no symbols.
func programSymbols(name string) (offset, main uint64, err error) {
	f, err := elf.Open(name)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	if f.Type == elf.ET_DYN {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD {
				offset = pieBase - p.Vaddr&^4095 // the lowest comes first
				break
			}
		}
	}
	symbols, _ := f.Symbols() // an error where there are none
	for _, s := range symbols {
		if s.Name == "main.main" || s.Name == "main" && main == 0 {
			main = s.Value + offset
		}
	}
	return offset, main, nil
}

package main

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrimNetwork: what comes before main, and the memory that is left out, are
// what they are taken for.
func TestTrimNetwork(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kernel.elf")
	if err := link(name, netKernel, true); err != nil {
		t.Fatal(err)
	}
	linked, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	trimmed := bytes.Clone(linked)
	if err := trimNetwork(trimmed); err != nil {
		t.Fatal(err)
	}
	before, err := openImage(linked)
	if err != nil {
		t.Fatal(err)
	}
	after, err := openImage(trimmed)
	if err != nil {
		t.Fatal(err)
	}
	now, all := le.Uint64(after.md[mdInitTasks+8:]), le.Uint64(after.md[mdInitTasks+16:])
	if was := le.Uint64(before.md[mdInitTasks+8:]); all > was || all < was/2 || now == 0 || now > all/4 {
		t.Errorf("%d of %d initializations come before main", now, all)
	}
	symbols, err := before.file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	rw := after.file.Progs[after.rw]
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "regexp.") || strings.HasSuffix(s.Name, ".StateSave") {
			t.Errorf("%s is linked, for netstack's log or checkpoints", s.Name)
		}
		if s.Size > 0 && s.Name != "crypto/internal/fips140/drbg.memory" && elf.ST_TYPE(s.Info) == elf.STT_OBJECT && s.Value >= rw.Vaddr &&
			s.Value+s.Size > rw.Vaddr+rw.Memsz {
			t.Errorf("%s, of %d bytes at %#x, is not in the kernel's memory", s.Name, s.Size, s.Value)
		}
	}
	if before.file.Progs[before.rw].Memsz-rw.Memsz != entropyBuffer {
		t.Errorf("%d bytes of memory, %d before", rw.Memsz, before.file.Progs[before.rw].Memsz)
	}
}

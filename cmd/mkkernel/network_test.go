package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrimNetwork: what comes before main is what it is taken for, and what netstack is
// built without is not there.
func TestTrimNetwork(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kernel.elf")
	if err := link(name, netKernel, true, "auto"); err != nil {
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
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "regexp.") || strings.HasPrefix(s.Name, "crypto/") || strings.HasPrefix(s.Name, "net.") ||
			strings.HasSuffix(s.Name, ".StateSave") {
			t.Errorf("%s is linked", s.Name)
		}
	}
}

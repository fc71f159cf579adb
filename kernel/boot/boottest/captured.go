// Package boottest has memory of machines for tests on the host: as it was
// captured from real ones, see ../testdata/capture, and made.
package boottest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// Machine is what a VMM leaves for a kernel.
type Machine struct {
	Name    string
	Linux64 bool   // entered by the Linux 64-bit entry, not by PVH
	Data    uint64 // address of hvm_start_info or the zero page
	Mem     []byte // of 32 MiB
}

// Names are those of the captured machines.
func Names() []string {
	files, _ := filepath.Glob(directory() + "/*.mem")
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".mem")
	}
	return files
}

func directory() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../testdata")
}

// Captured loads a captured machine.
func Captured(t testing.TB, name string) Machine {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(directory(), name+".mem"))
	if err != nil {
		t.Fatal(err)
	}
	m := Machine{Name: name, Mem: make([]byte, 32<<20)}
	entry := ""
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		if entry == "" {
			if _, err := fmt.Sscanf(line, "%s 0x%x", &entry, &m.Data); err != nil {
				t.Fatal(err)
			}
			m.Linux64 = entry == "linux64"
			continue
		}
		at, data, _ := strings.Cut(line, ": ")
		pa, err := strconv.ParseUint(at, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		copy(m.Mem[pa:pa+uint64(len(raw))], raw)
	}
	return m
}

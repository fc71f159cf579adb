package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCallProfile(t *testing.T) {
	const source = `package main

//go:noinline
func leaf() int { return 1 }

func inlined() int {

	return leaf()
}

//go:noinline
func outer() int {
	return inlined()
}

func main() { println(outer()) }
`
	bin, file := filepath.Join(t.TempDir(), "calls"), filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", bin, file)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	symbol := func(name string) elf.Symbol {
		return symbols[slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })]
	}
	// count is a line of the call of one function in another.
	count := func(from, to string, n int) string {
		caller, callee := symbol(from), symbol(to).Value
		for at := caller.Value; at < caller.Value+caller.Size; at++ {
			call := binary.LittleEndian.AppendUint32([]byte{0xe8}, uint32(callee-at-5))
			if bytes.HasPrefix(code[at-text.Addr:], call) {
				return fmt.Sprintf("%x %x %d\n", at, callee, n)
			}
		}
		t.Fatalf("no call of %s in %s", to, from)
		return ""
	}
	calls := count("main.outer", "main.leaf", 7) + count("main.main", "main.outer", 8) + count("main.main", "runtime.printlock", 2) +
		count("runtime.schedule", "runtime.execute", 9) + // the runtime's
		fmt.Sprintf("%x %x 9\n1000 2000 9\n", symbol("main.main").Value, symbol("main.outer").Value+1) // no call of a function
	p, err := callProfile(f, []byte(calls), 3)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.Sample {
		line := fmt.Sprint(s.Value[0])
		for _, l := range s.Location {
			for _, in := range l.Line {
				line += fmt.Sprintf(" %s+%d", in.Function.Name, in.Line-in.Function.StartLine)
			}
		}
		got = append(got, line)
	}
	slices.Sort(got)
	want := []string{"7 main.leaf+0 main.inlined+2 main.outer+1", "8 main.outer+0 main.main+0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %s\nnot %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := callProfile(f, nil, 3); err == nil {
		t.Error("a profile of nothing")
	}
	if _, err := callProfile(f, []byte("7\n"), 3); err == nil {
		t.Error("a line that is no count was taken for one")
	}
}

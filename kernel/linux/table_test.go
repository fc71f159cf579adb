package linux

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gosv/internal/abi"
	"gosv/internal/strace"
)

var update = flag.Bool("update", false, "write docs/syscalls.md anew")

// What is made from the table: a page to read, and the host's copy of it.
const (
	docFile  = "../../docs/syscalls.md"
	hostFile = "../../internal/abi/calls.txt"
)

// tableDocs is the table taken apart.
func tableDocs(t *testing.T) (docs []abi.Call) {
	for nr, c := range calls {
		if c.desc == "" {
			if c.run != nil {
				t.Errorf("%d has a handler, but no name", nr)
			}
			continue
		}
		d, err := abi.Parse(nr, c.desc)
		if err != nil {
			t.Error(err)
			continue
		}
		switch {
		case (d.State == abi.Missing) != (c.run == nil):
			t.Errorf("%s: a handler that is missing, or one that is not", d.Name)
		case (d.State == abi.Partial || d.State == abi.Refused) && d.Note == "":
			t.Errorf("%s is %s, but how?", d.Name, d.State)
		}
		docs = append(docs, d)
	}
	return docs
}

// Numbers that are not made up: a call from every decade of the table.
func TestTableNumbers(t *testing.T) {
	want := map[int]string{0: "read", 9: "mmap", 15: "rt_sigreturn", 56: "clone", 60: "exit", 63: "uname", 97: "getrlimit",
		131: "sigaltstack", 158: "arch_prctl", 186: "gettid", 202: "futex", 219: "restart_syscall", 231: "exit_group", 257: "openat",
		302: "prlimit64", 318: "getrandom", 332: "statx", 334: "rseq", 424: "pidfd_send_signal", 435: "clone3", 449: "futex_waitv", 462: "mseal"}
	seen := map[string]bool{}
	for _, d := range tableDocs(t) {
		if seen[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		seen[d.Name] = true
		if w, ok := want[d.Number]; ok && w != d.Name {
			t.Errorf("%d is %s, want %s", d.Number, d.Name, w)
		}
	}
	for nr := 335; nr < 424; nr++ {
		if calls[nr].desc != "" {
			t.Errorf("%d is %q, but x86-64 has no such call", nr, calls[nr].desc)
		}
	}
}

// Every word for an argument is one that the host can print.
func TestTableArguments(t *testing.T) {
	for _, d := range tableDocs(t) {
		for _, word := range d.Args {
			if !strace.Known(word) {
				t.Errorf("%s: unknown argument %q", d.Name, word)
			}
		}
	}
}

func TestDocs(t *testing.T) {
	var doc, host strings.Builder
	count := map[abi.State]int{}
	docs := tableDocs(t)
	for _, d := range docs {
		count[d.State]++
		fmt.Fprintf(&host, "%d %s\n", d.Number, calls[d.Number].desc)
	}
	fmt.Fprintf(&doc, `# System calls

What the kernel has of Linux's system calls for x86-64: %d as their manual pages describe them, %d in part, %d answered as by a
Linux that was built or set up without them, %d not at all (ENOSYS). Made from kernel/linux/table.go by
`+"`go test ./kernel/linux -run TestDocs -update`"+`.

| number | call | state | |
|---|---|---|---|
`, count[abi.Complete], count[abi.Partial], count[abi.Refused], count[abi.Missing])
	for _, d := range docs {
		fmt.Fprintf(&doc, "| %d | %s | %s | %s |\n", d.Number, d.Name, d.State, d.Note)
	}
	for file, text := range map[string]string{docFile: doc.String(), hostFile: host.String()} {
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if is, err := os.ReadFile(file); err != nil || string(is) != text {
			t.Errorf("%s is not what the table says (%v): make docs", file, err)
		}
	}
}

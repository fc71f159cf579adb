package linux

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/syscalls.md anew")

const docFile = "../../docs/syscalls.md"

var descForm = regexp.MustCompile(`^([a-z_0-9]+)\(([a-z_0-9,]*)\)(?: (partial|refused|missing)(?:: (.+))?)?$`)

// callDoc is a row of the table taken apart.
type callDoc struct {
	nr                       int
	name, args, status, note string
}

func tableDocs(t *testing.T) (docs []callDoc) {
	for nr, c := range calls {
		if c.desc == "" {
			if c.run != nil {
				t.Errorf("%d has a handler, but no name", nr)
			}
			continue
		}
		m := descForm.FindStringSubmatch(c.desc)
		if m == nil {
			t.Errorf("%d: cannot make sense of %q", nr, c.desc)
			continue
		}
		d := callDoc{nr, m[1], m[2], m[3], m[4]}
		switch {
		case (d.status == "missing") != (c.run == nil):
			t.Errorf("%s: a handler that is missing, or one that is not", d.name)
		case (d.status == "partial" || d.status == "refused") && d.note == "":
			t.Errorf("%s is %s, but how?", d.name, d.status)
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
		if seen[d.name] {
			t.Errorf("%s is there twice", d.name)
		}
		seen[d.name] = true
		if w, ok := want[d.nr]; ok && w != d.name {
			t.Errorf("%d is %s, want %s", d.nr, d.name, w)
		}
	}
	for nr := 335; nr < 424; nr++ {
		if calls[nr].desc != "" {
			t.Errorf("%d is %q, but x86-64 has no such call", nr, calls[nr].desc)
		}
	}
}

// Every word for an argument is one that strace.go knows: it prints something
// else than the bare address.
func TestTableArguments(t *testing.T) {
	source, err := os.ReadFile("strace.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tableDocs(t) {
		if d.args == "" {
			continue
		}
		for _, kind := range strings.Split(d.args, ",") {
			if kind != "p" && names(kind) == "" && !bytes.Contains(source, []byte(`"`+kind+`"`)) {
				t.Errorf("%s: unknown argument %q", d.name, kind)
			}
		}
	}
}

func TestDocs(t *testing.T) {
	var b strings.Builder
	count := map[string]int{}
	docs := tableDocs(t)
	for _, d := range docs {
		count[d.status]++
	}
	fmt.Fprintf(&b, `# System calls

What the kernel has of Linux's system calls for x86-64: %d as their manual pages describe them, %d in part, %d answered as by a
Linux that was built or set up without them, %d not at all (ENOSYS). Made from kernel/linux/table.go by
`+"`go test ./kernel/linux -run TestDocs -update`"+`.

| number | call | state | |
|---|---|---|---|
`, count[""], count["partial"], count["refused"], count["missing"])
	for _, d := range docs {
		if d.status == "" {
			d.status = "complete"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", d.nr, d.name, d.status, d.note)
	}
	if *update {
		if err := os.WriteFile(docFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(docFile)
	if err != nil || string(is) != b.String() {
		t.Errorf("%s is not what the table says (%v): run the test with -update", docFile, err)
	}
}

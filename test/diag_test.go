package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestStrace: calls and signals are printed as strace(1) does.
func TestStrace(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("SKIPPED: no strace here to compare with (Debian: apt-get install strace)")
	}
	hosts := write(t, t.TempDir(), "hosts", "127.0.0.1 localhost\n")
	for name, c := range map[string]struct {
		calls string // all for ""
		prog  string
		args  []string
	}{
		"all of a C hello":     {"", cProgram(t, musl, "hello"), nil},
		"some":                 {"openat,read,write,close,lseek", busybox(t), []string{"md5sum", hosts, "/no/such/file"}},
		"a class":              {"%file", cProgram(t, musl, "calls"), nil},
		"all but":              {"!read,mmap,brk,mprotect", cProgram(t, musl, "hello"), nil},
		"none of it":           {"fork", cProgram(t, musl, "hello"), nil},
		"flags and structures": {"", cProgram(t, musl, "calls"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flag, filter := "--strace", "trace=!execve" // which is gosv's doing, not the program's
			if c.calls != "" {
				flag, filter = "--strace="+c.calls, "trace="+c.calls
			}
			hostFile, vmFile := filepath.Join(t.TempDir(), "strace"), filepath.Join(t.TempDir(), "strace")
			host := runHost(t, options{}, "/bin/sh", append([]string{"-c", `exec strace -T -o "$0" -e "$@"`, hostFile, filter, c.prog}, c.args...)...)
			vm := run(t, microvm, options{flags: []string{flag, "-o", vmFile, "-v", hosts + ":" + hosts}}, c.prog, c.args...)
			if vm.stdout != host.stdout || vm.stderr != host.stderr || vm.code != host.code {
				t.Errorf("in the VM: %v\non the host: %v", vm, host)
			}
			got, want := traced(t, vmFile), traced(t, hostFile)
			if !slices.Equal(got, want) {
				for i := range max(len(got), len(want)) {
					if i >= len(got) || i >= len(want) || got[i] != want[i] {
						t.Errorf("line %d differs", i+1)
						break
					}
				}
				t.Errorf("in the VM:\n%s\n\non the host:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// traced returns strace's lines without what differs by machine and by process:
// addresses, ids, durations, and execve, which is gosv's doing.
func traced(t *testing.T, file string) (lines []string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		for _, r := range [][2]string{
			{`0x[0-9a-f]{4,}`, "ADDRESS"},
			{` <\d+\.\d{6}>$`, " <TIME>"},
			{` \(core dumped\)`, ""},
			{`(set_tid_address\(\w+\)|get[pt]id\(\)) *= \d+`, "$1 = TID"},
			{`tgkill\(\d+, \d+|tkill\(\d+`, "tgkill(TID"},
			{`si_pid=\d+`, "si_pid=PID"},
			{`left \{[^}]*\}`, "left {}"},
			{`\) +=`, ") ="},
			{`stx_mask=[A-Z_|]+`, "stx_mask=MASK"}, // more than was asked for, by file system
		} {
			line = regexp.MustCompile(r[0]).ReplaceAllString(line, r[1])
		}
		if line != "" && !strings.HasPrefix(line, "execve(") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestStraceErrors: what cannot be traced is said before there is a VM.
func TestStraceErrors(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	for flags, want := range map[string]string{
		"--strace=opne":                "did you mean open",
		"--strace=%files":              "%file, %desc",
		"--strace=fork,no_such_call":   "no_such_call",
		"--strace -o /nonexistent/out": "/nonexistent/out",
		"-o out":                       "--strace",
		"--strace --dry-run":           "--dry-run",
	} {
		r := run(t, microvm, options{flags: strings.Fields(flags)}, prog)
		if r.code != 125 || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: %v", flags, r)
		}
	}
}

package test

import (
	"encoding/json"
	"math"
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

// TestTrace: a trace for Perfetto has the boot, the calls, and who ran where.
func TestTrace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trace.json")
	calls := filepath.Join(t.TempDir(), "calls")
	flags := []string{"-c", "2", "--trace", file, "--strace=openat", "-o", calls} // both: the file has the chosen calls only
	same(t, options{flags: flags}, goProgram(t, "test/programs/work"))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		Name, Cat, Ph string
		TS, Dur       float64
		PID, TID      int
		Args          map[string]any
	}
	var all struct{ TraceEvents []event }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	names := map[string]int{}
	until := map[[2]int]float64{} // where a track's last slice ended, ns
	threads := map[int]bool{}
	for _, e := range all.TraceEvents {
		if e.Ph == "M" {
			names[e.Args["name"].(string)]++
			continue
		}
		count[e.Cat]++
		count[e.Name]++
		if e.Ph != "X" {
			continue
		}
		track := [2]int{e.PID, e.TID}
		start, end := math.Round(e.TS*1000), math.Round((e.TS+e.Dur)*1000)
		if start < until[track] || end < start {
			t.Errorf("%+v begins before the slice before it ended, at %v ns", e, until[track])
		}
		until[track] = end
		if e.Cat == "call" {
			threads[e.TID] = true
			if e.TS < until[[2]int{0, 0}]/1000 {
				t.Errorf("%+v is in the boot", e)
			}
		}
	}
	for what, least := range map[string]int{"boot": 4, "program loaded": 1, "call": 100, "fault": 10, "run": 10, "clone": 1, "openat": 1, "futex": 1, "exit_group": 1} {
		if count[what] < least {
			t.Errorf("%d of %s, not even %d", count[what], what, least)
		}
	}
	for _, name := range []string{"machine", "boot", "work", "CPU 0", "CPU 1"} {
		if names[name] == 0 {
			t.Errorf("nothing is named %s", name)
		}
	}
	if len(threads) < 2 {
		t.Errorf("calls of %d threads", len(threads))
	}
	lines, err := os.ReadFile(calls)
	if err != nil || !strings.Contains(string(lines), "openat(") || strings.Contains(string(lines), "futex(") {
		t.Errorf("%v\n%s", err, lines)
	}
}

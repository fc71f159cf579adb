package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStrace: calls and signals are printed as strace(1) does.
func TestStrace(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("SKIPPED: no strace here to compare with (Debian: apt-get install strace)")
	}
	hosts := write(t, t.TempDir(), "hosts", "127.0.0.1 localhost\n")
	var onHost sync.Mutex
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
		"every flag":           {"", cProgram(t, musl, "flags"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flag, filter := "--strace", "trace=!execve" // which is gosv's doing, not the program's
			if c.calls != "" {
				flag, filter = "--strace="+c.calls, "trace="+c.calls
			}
			hostFile, vmFile := filepath.Join(t.TempDir(), "strace"), filepath.Join(t.TempDir(), "strace")
			onHost.Lock() // the programs use files of fixed names
			host := runHost(t, options{}, "/bin/sh", append([]string{"-c", `exec strace -T -o "$0" -e "$@"`, hostFile, filter, c.prog}, c.args...)...)
			onHost.Unlock()
			vm := run(t, microvm, options{flags: []string{flag, "-o", vmFile, "-v", hosts + ":" + hosts}}, c.prog, c.args...)
			if vm.stdout != host.stdout || vm.stderr != host.stderr || vm.code != host.code {
				t.Errorf("in the VM: %v\non the host: %v", vm, host)
			}
			got, want := traced(t, vmFile), traced(t, hostFile)
			if name == "every flag" { // what they fail with is not for here
				for _, lines := range [][]string{got, want} {
					for i := range lines {
						lines[i], _, _ = strings.Cut(lines[i], ") = ")
					}
				}
			}
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
		"--trace /nonexistent/trace":   "/nonexistent/trace",
		"--core /nonexistent/core":     "/nonexistent",
		"--core core --dry-run":        "--dry-run",
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

// crashProgram is programs/c/crash.c as one builds what is to be debugged.
func crashProgram(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"gdb", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: no %s here (Debian: apt-get install gdb gcc libc6-dev)", tool)
		}
	}
	return build(t, "crash.debug", "gcc", "-static", "-g", "-O0", "-pthread", "-o", filepath.Join(binDir, "crash.debug"), "programs/c/crash.c")
}

// inGDB returns what gdb says of a core dump.
func inGDB(t *testing.T, prog, core string, commands ...string) string {
	t.Helper()
	argv := []string{"-nx", "-batch", "-iex", "set auto-load off"}
	for _, c := range commands {
		argv = append(argv, "-ex", c)
	}
	out, err := exec.Command("gdb", append(argv, prog, core)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gdb: %v\n%s", err, out)
	}
	return string(out)
}

// TestCore: gdb finds in a core dump who crashed where, all threads, and what is in memory.
func TestCore(t *testing.T) {
	t.Parallel()
	prog := crashProgram(t)
	for _, cpus := range []string{"1", "2"} {
		t.Run(cpus+" CPUs", func(t *testing.T) {
			t.Parallel()
			core, calls := filepath.Join(t.TempDir(), "core"), filepath.Join(t.TempDir(), "calls")
			r := run(t, microvm, options{flags: []string{"-c", cpus, "--core", core, "--strace=exit", "-o", calls}}, prog)
			if r.code != 139 || r.stdout != "" || r.stderr != "gosv: there is a core dump: gdb PROGRAM "+core+"\n" {
				t.Fatal(r)
			}
			got := inGDB(t, prog, core, "bt", "info threads", "frame 1", "print *s", "print heap", "print half", "print zeros[4000]",
				"print zeros[0]", "print $_siginfo.si_signo", "print/x $_siginfo._sifields._sigfault.si_addr", "info auxv", "thread apply all bt")
			for _, want := range []string{
				`terminated with signal SIGSEGV`,
				`Core was generated by .*crash\.debug'`,
				`#0 .* crash \(s=.*<triangle>, depth=0\)`,
				`#2 .* crash \(s=.*<triangle>, depth=2\)`,
				`#3 .* main \(argc=1`,
				`\* 1 .*LWP 1\)? +crash`,
				`  2 .*LWP 2`, `  3 .*LWP 3`, `  4 .*LWP 4`,
				`= \{sides = 3, name = 0x\w+ "triangle", area = 4\.5\}`,
				`= 0x\w+ "on the heap"`,
				`= 2\.25`,
				`\$4 = 3\n`, `\$5 = 0\n`, `\$6 = 11\n`, `\$7 = 0x10\n`,
				`AT_ENTRY`,
				`waits \(p=`, `sleeps \(p=`, `spins \(p=`,
			} {
				if !regexp.MustCompile(want).MatchString(got) {
					t.Errorf("gdb says nothing like %s", want)
				}
			}
			if strings.Contains(got, "warning") || t.Failed() {
				t.Errorf("gdb says:\n%s", got)
			}
			if b, err := os.ReadFile(calls); err != nil || !strings.Contains(string(b), "+++ killed by SIGSEGV (core dumped) +++") {
				t.Errorf("%v\n%s", err, b)
			}
		})
	}
}

// TestNoCore: a program that ends otherwise leaves no core dump, nor does one that was
// not asked for.
func TestNoCore(t *testing.T) {
	t.Parallel()
	core := filepath.Join(t.TempDir(), "core")
	prog := cProgram(t, glibc, "end")
	for _, args := range [][]string{{"exit", "3"}, {"raise", "15"}} {
		same(t, options{flags: []string{"--core", core}}, prog, args...)
	}
	same(t, options{}, prog, "raise", "6")
	if _, err := os.Stat(core); err == nil {
		t.Error("there is one")
	}
}

// TestCoreOnDemand: SIGQUIT to gosv makes a core dump of a program, which goes on.
func TestCoreOnDemand(t *testing.T) {
	t.Parallel()
	prog := crashProgram(t)
	core := filepath.Join(t.TempDir(), "core")
	slots <- struct{}{}
	defer func() { <-slots }()
	cmd := exec.Command(gosv, append(append([]string{"run", "--timeout", bound.String()}, microvm...), "--core", core, prog, "wait")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	stdout := bufio.NewReader(out)
	if line, err := stdout.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v\n%s", line, err, stderr.String())
	}
	for range 2 { // the second replaces the first
		os.Remove(core)
		if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(core); err == nil {
				break
			}
			if time.Since(start) > bound {
				t.Fatalf("no core dump\n%s", stderr.String())
			}
		}
	}
	in.Write([]byte{7})
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), stderr.String())
	}
	got := inGDB(t, prog, core, "info threads", "thread apply all bt", "print up", "print triangle")
	for _, want := range []string{`LWP 1\b`, `LWP 4\b`, `in getchar|in .*read`, `in main \(argc=2`, `waits \(p=`, `sleeps \(p=`, `spins \(p=`, `\$1 = 3\n`, `name = 0x\w+ "triangle"`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("gdb says nothing like %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestCoreKey: Ctrl-\ on the terminal ends a program with a core dump, and what
// strace prints there begins in the first column.
func TestCoreKey(t *testing.T) {
	t.Parallel()
	prog := crashProgram(t)
	core := filepath.Join(t.TempDir(), "core")
	term := onTerminal(t, "--core", core, "--strace=getppid", prog, "wait")
	term.await("ready\n")
	term.typeIn("\x1c")
	term.await("\n[pid     1] +++ killed by SIGQUIT (core dumped) +++\n")
	term.await("core dump")
	if code := term.end(); code != 128+int(syscall.SIGQUIT) {
		t.Errorf("exit code %d", code)
	}
	if got := inGDB(t, prog, core, "thread apply all bt"); !strings.Contains(got, "terminated with signal SIGQUIT") || !strings.Contains(got, "main (argc=2") {
		t.Errorf("gdb says:\n%s", got)
	}
}

// TestStraceThreads: lines of several threads tell whose they are; a call that was
// cut off by another thread's line goes on later.
func TestStraceThreads(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "calls")
	same(t, options{flags: []string{"-c", "2", "--strace", "-o", file}}, goProgram(t, "test/programs/work"))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^(?:\[pid +(\d+)\] )?(?:(\w+)\(.*\) += (?:-?\d+|0x[0-9a-f]+|\?).*|(\w+)\(.* <unfinished \.\.\.>|<\.\.\. (\w+) resumed>.*\) += .*|---.*---|\+\+\+.*\+\+\+)$`)
	open := map[string]string{} // calls by thread
	threads := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		m := form.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not of strace's form: %s", line)
			continue
		}
		tid, whole, begun, resumed := m[1], m[2], m[3], m[4]
		threads[tid] = true
		switch {
		case begun != "":
			open[tid] = begun
		case resumed != "" && open[tid] != resumed:
			t.Errorf("%s: what was begun is %q", line, open[tid])
		case resumed != "":
			delete(open, tid)
		case whole != "" && open[tid] != "":
			t.Errorf("%s: in the middle of %s", line, open[tid])
		}
	}
	if len(threads) < 3 {
		t.Errorf("lines of threads %v", threads)
	}
}

package test

import (
	_ "embed"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	stdPackages = flag.String("std", "", "packages of the standard library for TestStd, with commas between, or all")
	stdCPUs     = flag.Int("std.cpus", 1, "CPUs of TestStd's VMs")
	stdHost     = flag.Bool("std.host", false, "run TestStd's programs on this machine instead, to compare")
)

// stdFew are the packages of make test: those that say most about a kernel.
var stdFew = []string{"bufio", "context", "internal/poll", "io", "io/fs", "net", "os", "os/signal", "runtime/debug", "sort", "strings", "sync", "sync/atomic", "syscall", "time"}

// stdAll names the packages of make std, as go list does.
var stdAll = strings.Fields(`
	archive/... bufio bytes cmp compress/... container/... context crypto/... encoding/... errors flag fmt hash/... html/... image/...
	internal/poll internal/runtime/... internal/syscall/... io/... iter log/... maps math/... mime/... net/... os/... path/... reflect/... regexp/...
	runtime/... slices sort strconv strings sync/... syscall text/... time/... unicode/... unique weak`)

// stdNeeds are the files below GOROOT that tests read, besides those near their
// package, by the start of the package's path, and where they expect them if
// not there.
var stdNeeds = []struct{ prefix, file, at string }{
	{"compress/", "src/testdata", ""},
	{"net", "src/testdata", ""},
	{"os", "src/os/testdata", "/usr/bin"}, // any directory with files in it
	{"path/filepath", "src/unicode", ""},
	{"time", "lib/time", ""},
}

// stdNetwork are the packages whose tests need a network, if only the loopback device.
var stdNetwork = regexp.MustCompile(`^(compress/gzip|context|crypto/tls|encoding/json|log/syslog|net|net/.*|os|os/exec|internal/poll)$`)

// stdMemory is what packages need that need more than most, in MiB.
var stdMemory = map[string]string{"runtime": "4096"}

// stdBound is how long a package may take: only a hang reaches it.
const stdBound = 20 * time.Minute

// TestStd runs the Go standard library's own tests in VMs: each package's test
// program, as go test -c makes it, with a copy of its sources. What is left
// out, and why, is in std/skip.txt.
func TestStd(t *testing.T) {
	t.Parallel()
	names := stdFew
	switch *stdPackages {
	case "":
	case "all":
		list := append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}, stdAll...)
		names = strings.Fields(goCommand(t, list...))
	default:
		names = strings.Split(*stdPackages, ",")
	}
	goroot := strings.TrimSpace(goCommand(t, "env", "GOROOT"))
	// Another Go has other tests, in a directory of their own.
	bin := filepath.Join(binDir, "std-"+strings.TrimSpace(goCommand(t, "env", "GOVERSION")))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	skips := stdSkips(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prog := filepath.Join(bin, strings.ReplaceAll(name, "/", "-")+".test")
			if _, err := os.Stat(prog); err != nil {
				goCommand(t, "test", "-c", "-vet=off", "-o", prog+".tmp", name)
				if err := os.Rename(prog+".tmp", prog); err != nil {
					t.Fatal(err)
				}
			}
			testStd(t, prog, name, goroot, skips[name])
		})
	}
}

// testStd runs prog, the tests of the package name.
func testStd(t *testing.T, prog, name, goroot string, skip []string) {
	if len(skip) == 1 && skip[0] == "*" {
		t.Skip("all of it is in std/skip.txt")
	}
	dir := filepath.Join(goroot, "src", name)
	args := []string{prog, "-test.short", "-test.v", "-test.run=.", "-test.timeout=" + (stdBound - time.Minute).String()}
	if len(skip) > 0 {
		args = append(args, "-test.skip=^"+strings.Join(skip, "$|^")+"$")
	}
	if !*stdHost {
		args = append(stdVM(name, goroot, dir), args...)
	}
	start := time.Now()
	r := commandWithin(t, stdBound+time.Minute, nil, dir, nil, args...)
	t.Logf("%s: %d passed, %d failed, %d skipped by themselves, %d by std/skip.txt; %.0f s",
		name, countResults(r, "PASS"), countResults(r, "FAIL"), countResults(r, "SKIP"), len(skip), time.Since(start).Seconds())
	if r.code != 0 {
		os.WriteFile(prog+".log", []byte(r.stdout+r.stderr), 0o644)
		t.Errorf("exit code %d; all of it is in %s.log\n%s", r.code, prog, stdFailures(r.stdout)+r.stderr)
	}
}

// stdVM is the command line that runs what follows it in a VM.
func stdVM(name, goroot, dir string) []string {
	memory := stdMemory[name]
	if memory == "" {
		memory = "1024"
	}
	vm := append([]string{gosv, "run", "-m", memory, "-c", strconv.Itoa(*stdCPUs), "--timeout", stdBound.String(), "-e", "GOROOT=" + goroot, "-w", dir}, microvm...)
	if stdNetwork.MatchString(name) {
		vm = append(vm, "--net", "lo")
	}
	// Tests read their package's files, and some its neighbours'.
	tree := filepath.Join(goroot, "src", strings.Split(name, "/")[0])
	vm = append(vm, "-v", tree+":"+tree)
	for _, n := range stdNeeds {
		if strings.HasPrefix(name, n.prefix) {
			file := filepath.Join(goroot, n.file)
			at := n.at
			if at == "" {
				at = file
			}
			vm = append(vm, "-v", file+":"+at)
		}
	}
	return vm
}

// stdResult is the line that ends a top-level test.
var stdResult = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): `)

func countResults(r result, how string) (n int) {
	for _, m := range stdResult.FindAllStringSubmatch(r.stdout, -1) {
		if m[1] == how {
			n++
		}
	}
	return n
}

// stdFailures is what a test program's output says about failed tests, and its
// end, where a panic would be.
func stdFailures(out string) string {
	lines := strings.SplitAfter(out, "\n")
	var b strings.Builder
	tail := max(0, len(lines)-30)
	for i, line := range lines[:tail] {
		if !strings.HasPrefix(strings.TrimLeft(line, " "), "--- FAIL") {
			continue
		}
		// With -v a test's messages come before its result, back to where it began or went on.
		from := i
		for from > max(0, i-20) && !strings.HasPrefix(lines[from-1], "=== ") {
			from--
		}
		b.WriteString(strings.Join(lines[from:i+1], ""))
	}
	return b.String() + strings.Join(lines[tail:], "")
}

// stdPrograms are commands of the Go runtime's program of ways to crash, to
// block and to be interrupted, which its tests build and run as a child.
var stdPrograms = strings.Fields(`
	Abort AsyncPreempt Breakpoint CheckAVX Crash CrashDumpsAllThreads FinalizerDeadlock GCFairness GCFairness2 GCPhys GCSys GoNil
	GoexitDeadlock LockOSThreadAlt LockOSThreadTemplateThreadRace LockedDeadlock NilPanic NumGoroutine PanicLoop RaiseException
	RecursivePanic5 Segv SignalExitStatus SignalInVDSO SimpleDeadlock StackMemory StackOverflow SyscallInPanic TgkillSegv
	ThreadExhaustion ZeroDivisionException mexitSTW`)

// TestStdPrograms runs those commands in VMs and here.
func TestStdPrograms(t *testing.T) {
	t.Parallel()
	prog := filepath.Join(binDir, "testprog")
	goCommand(t, "build", "-C", filepath.Join(strings.TrimSpace(goCommand(t, "env", "GOROOT")), "src/runtime/testdata/testprog"), "-o", prog, ".")
	for _, name := range stdPrograms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := runHost(t, options{}, prog, name)
			vm := run(t, microvm, options{flags: []string{"-c", strconv.Itoa(*stdCPUs)}}, prog, name)
			// What follows the message are traces and registers.
			hostSays, _, _ := strings.Cut(host.stderr, "\n")
			vmSays, _, _ := strings.Cut(vm.stderr, "\n")
			if vm.code != host.code || vm.stdout != host.stdout || vmSays != hostSays {
				t.Errorf("in the VM: %v\n\non the host: %v", vm, host)
			}
		})
	}
}

//go:embed std/skip.txt
var stdSkipList string

// stdSkips reads std/skip.txt: in a line a package, the reason, and tests.
func stdSkips(t *testing.T) map[string][]string {
	m := map[string][]string{}
	for i, line := range strings.Split(stdSkipList, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(line, "#"):
		case len(f) < 3:
			t.Fatalf("std/skip.txt:%d: not a package, a reason and tests: %s", i+1, line)
		default:
			m[f[0]] = append(m[f[0]], f[2:]...)
		}
	}
	return m
}

// goCommand runs the go command for the standard library without cgo.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	return string(out)
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests run gosv as a process, with a shell script for a VMM. It is this
// test binary that plays gosv.
func TestMain(m *testing.M) {
	if os.Getenv("GOSV_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeQEMU is a VMM that does what script says; $token is the console's, $image
// the initrd.
func fakeQEMU(t *testing.T, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text := "#!/bin/sh\n" +
		`for a; do case $a in *gosv.report=*) token=${a#*gosv.report=}; token=${token%% *};; */app.img) image=$a;; esac; done` + "\n" +
		`say() { printf '\033_%s%s\033\\' "$token" "$1"; }` + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-x86_64"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

type outcome struct {
	stdout, stderr string
	code           int
}

func gosv(t *testing.T, path, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "GOSV_TEST_MAIN=1", "PATH="+path+":/bin:/usr/bin", "TMPDIR="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR="))
	if len(left) > 0 && !slices.Contains(args, "--dry-run") && !slices.Contains(args, "-d") {
		t.Errorf("gosv %v left %v behind", args, left)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// program is a file that passes for a static program.
func program(t *testing.T) string {
	t.Helper()
	if os.Getenv("CGO_ENABLED") != "0" {
		for _, p := range []string{"/bin/busybox", "/usr/bin/busybox"} {
			if _, err := os.Stat(p); err == nil {
				return p
			}
		}
	}
	t.Skip("no static program at hand: install busybox-static")
	return ""
}

// run runs a program on a fake VMM.
func run(t *testing.T, script, stdin string, flags ...string) outcome {
	t.Helper()
	kernel := filepath.Join(t.TempDir(), "kernel.elf")
	if err := os.WriteFile(kernel, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"run", "--vmm", "qemu", "--accel", "tcg", "--kernel", kernel}, flags...)
	return gosv(t, fakeQEMU(t, script), stdin, append(args, program(t), "a", "b c")...)
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name, script string
		flags        []string
		code         int
		stderr       string
	}{
		{"ok", "say x0", nil, 0, ""},
		{"program's own", "say x42", nil, 42, ""},
		{"signal", "say x139; exit 1", nil, 139, ""},
		{"no report", "echo 'qemu: broken' >&2; exit 1", nil, 123, "qemu: broken"},
		{"timeout", "sleep 20", []string{"--timeout", "200ms"}, 124, "--timeout"},
		{"bad memory", "say x0", []string{"-m", "lots"}, 125, "not a size"},
		{"too little memory", "say x0", []string{"-m", "1"}, 125, "possible"},
		{"bad CPUs", "say x0", []string{"-c", "0"}, 125, "CPUs"},
		{"bad volume", "say x0", []string{"-v", "nowhere"}, 125, "HOST:GUEST"},
		{"volume not there", "say x0", []string{"-v", "/nonexistent:/x"}, 125, "/nonexistent"},
		{"bad variable", "say x0", []string{"-e", "=x"}, 125, "name"},
	} {
		got := run(t, c.script, "", c.flags...)
		if got.code != c.code || !strings.Contains(got.stderr, c.stderr) || c.stderr == "" && got.stderr != "" {
			t.Errorf("%s: exit code %d, want %d; stderr %q", c.name, got.code, c.code, got.stderr)
		}
	}
}

func TestStreams(t *testing.T) {
	got := run(t, "printf out; say e; printf err; say k; printf kernel; say o; printf more; say x3", "")
	if got.stdout != "outmore" || got.stderr != "errkernel" || got.code != 3 {
		t.Errorf("%+v", got)
	}
}

func TestInput(t *testing.T) {
	got := run(t, `head -c 8; say x0`, "a\x10b\xff")
	if got.stdout != "\x16a\x10\x10b\xff\x10." {
		t.Errorf("the guest was sent %q", got.stdout)
	}
}

// The image that the VMM is given is sound, and the command line has our words.
func TestMachine(t *testing.T) {
	got := run(t, `for a; do echo "$a"; done; tail -c 32 $image | head -c 8; say x0`, "", "-m", "64M", "--strace=open", "--boot-timing")
	for _, want := range []string{"\n-m\n64\n", "gosv.boot-timing", "gosv.time=", "GOSVIMG1"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the VMM was not given %q in %q", want, got.stdout)
		}
	}
}

func TestBadPrograms(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		program, stderr string
		code            int
	}{
		{write("text", "just text\n"), "not an ELF file", 126},
		{write("script", "#!/bin/sh\necho\n"), "script", 126},
		{write("short", "\x7fELF\x02"), "truncated", 126},
		{write("bad.img", "not an image"), "no application image", 126},
		{filepath.Join(dir, "nothing"), "no such", 127},
		{"/dev/null", "not a program", 126},
		{"/bin/sh", "interpreter", 126},
	} {
		got := gosv(t, fakeQEMU(t, "say x0"), "", "run", "--vmm", "qemu", "--accel", "tcg", "--kernel", "/dev/null", c.program)
		if got.code != c.code || !strings.Contains(got.stderr, c.stderr) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d; stderr %q", c.program, got.code, c.code, got.stderr)
		}
	}
}

func TestNoVMM(t *testing.T) {
	p := program(t)
	cmd := exec.Command(os.Args[0], "run", p)
	cmd.Env = []string{"GOSV_TEST_MAIN=1", "PATH=/nonexistent"}
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "install QEMU") {
		t.Errorf("exit code %d, %q", cmd.ProcessState.ExitCode(), out)
	}
}

// build leaves an image, the same each time, or nothing.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img")
	for _, out := range []string{a, b} {
		if got := gosv(t, "", "", "build", "-e", "X=1", "-o", out, program(t), "arg"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	x, _ := os.ReadFile(a)
	y, _ := os.ReadFile(b)
	if len(x) == 0 || !bytes.Equal(x, y) {
		t.Error("two builds of the same differ")
	}
	for _, at := range []int{2000, len(x) / 2, len(x) - 100, len(x) - 1} { // any flipped bit is noticed
		bad := bytes.Clone(x)
		bad[at] ^= 4
		os.WriteFile(b, bad, 0o644)
		if got := gosv(t, fakeQEMU(t, "say x0"), "", "run", "--vmm", "qemu", "--accel", "tcg", "--kernel", "/dev/null", b); got.code != 126 {
			t.Errorf("a flipped bit at %d: %+v", at, got)
		}
	}
	if got := gosv(t, "", "", "build", "-o", "/dev/full/x", program(t)); got.code != 125 {
		t.Errorf("an impossible output: %+v", got)
	}
}

func TestABI(t *testing.T) {
	got := gosv(t, "", "", "abi")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "0    read") || strings.Count(got.stdout, "\n") < 350 {
		t.Errorf("%+v", got)
	}
	got = gosv(t, "", "", "abi", "--json")
	var calls []struct {
		Number      int
		Name, State string
		Note        string
	}
	if err := json.Unmarshal([]byte(got.stdout), &calls); err != nil || len(calls) < 350 || calls[0].Name != "read" || calls[0].State != "complete" {
		t.Errorf("%v, %d calls", err, len(calls))
	}
	if got := gosv(t, "", "", "abi", "openat", "mmap"); got.code != 0 || strings.Count(got.stdout, "\n") != 2 || !strings.Contains(got.stdout, "257  openat") {
		t.Errorf("%+v", got)
	}
	if got := gosv(t, "", "", "abi", "opennat"); got.code != 125 || !strings.Contains(got.stderr, "openat") {
		t.Errorf("%+v", got)
	}
}

// What the kernel reports is printed, to standard error or a file; nonsense is
// noticed, and the program's exit code stays.
func TestRecords(t *testing.T) {
	const getpid = `say d; printf '\010c\001\047\024\005\000\001\144'` // 100 = getpid(), a byte too long
	const good = `say d; printf '\007c\001\047\024\005\000\007'; say o; printf out; say x0`
	want := "getpid()                                = 7 <0.000000>\n"
	if got := run(t, good, "", "--strace"); got.code != 0 || got.stdout != "out" || got.stderr != want {
		t.Errorf("%+v", got)
	}
	file := filepath.Join(t.TempDir(), "calls")
	if got := run(t, good, "", "--strace", "-o", file); got.code != 0 || got.stdout != "out" || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != want {
		t.Errorf("%q, %v", b, err)
	}
	if got := run(t, good, "", "--strace", "-o", "/dev/full"); got.code != 125 || !strings.Contains(got.stderr, "no space") {
		t.Errorf("%+v", got)
	}
	got := run(t, getpid+"; say o; printf out; say x3", "", "--strace")
	if got.code != 3 || got.stdout != "out" || !strings.Contains(got.stderr, "malformed") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	if got := run(t, "say d; printf garbage; say o; printf out; say x0", ""); got.code != 0 || got.stdout != "out" || got.stderr != "" {
		t.Errorf("records that nobody asked for: %+v", got)
	}
}

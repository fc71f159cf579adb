package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// write makes a file in dir, and the directories it is in.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVolumes: what -v names is in the VM, and stays as it is here.
func TestVolumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "file", "a file\n")
	write(t, dir, "tree/deep/inside", "inside\n")
	write(t, dir, "tree/a name: with\nodd ünïcode", "odd\n")
	if err := os.Symlink("deep/inside", filepath.Join(dir, "tree", "link")); err != nil {
		t.Fatal(err)
	}
	flags := []string{"-v", file + ":/etc/app/config", "-v", dir + "/tree:/data"}
	for script, want := range map[string]string{
		`while read x; do echo $x; done </etc/app/config`:                                                                       "a file\n",
		`cd /data; echo *; read x <link; echo $x`:                                                                               "a name: with\nodd ünïcode deep link\ninside\n",
		`echo changed >/data/deep/inside; read x </data/link; echo $x; echo more >>/etc/app/config; echo new >/data/new`:        "changed\n",
		`if test -e /etc/passwd -a -d /tmp -a -w /tmp -a -d /proc -a -d /dev; then echo what programs expect; else echo no; fi`: "what programs expect\n",
	} {
		expect(t, run(t, microvm, options{flags: flags}, busybox(t), "sh", "-c", script), want)
	}
	expect(t, run(t, microvm, options{flags: flags}, busybox(t), "rm", "-r", "/data", "/etc/app"), "")
	for name, want := range map[string]string{"file": "a file\n", "tree/deep/inside": "inside\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s became %q (%v)", name, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "tree", "new")); err == nil {
		t.Error("a file made in the VM is here")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, "gosv"},
		{[]string{"--name", "fred-of-test-names"}, "fred-of-test-names"},
		{[]string{"--hostname", "barney"}, "barney"},
		{[]string{"--name", "fred-of-test-names", "--hostname", "barney"}, "barney"},
	} {
		o := options{flags: c.flags}
		expect(t, run(t, microvm, o, busybox(t), "hostname"), c.want+"\n")
		expect(t, run(t, microvm, o, busybox(t), "sh", "-c", "echo $HOSTNAME"), c.want+"\n")
		expect(t, run(t, microvm, o, busybox(t), "cat", "/etc/hostname"), c.want+"\n")
	}
}

func TestEnvironmentFlags(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "env", "# a comment\n\nFROM_FILE=1\nTWICE=file\n")
	argv := append([]string{gosv, "run"}, microvm...)
	argv = append(argv, "--env-file", file, "-e", "TWICE=flag", "-e", "TAKEN", "-e", "NOT_HERE", busybox(t), "env")
	r := command(t, nil, "", append(os.Environ(), "TAKEN=from here"), argv...)
	expect(t, r, strings.Join(environment, "\n")+"\nFROM_FILE=1\nTWICE=flag\nTAKEN=from here\n")
}

func TestBootTiming(t *testing.T) {
	t.Parallel()
	r := run(t, microvm, options{flags: []string{"--boot-timing"}}, cProgram(t, musl, "hello"))
	stage := regexp.MustCompile(`(?m)^boot: (\d+) us, (\d+) ticks: (.+)$`)
	var us, ticks uint64
	stages := stage.FindAllStringSubmatch(r.stderr, -1)
	for _, m := range stages {
		u, _ := strconv.ParseUint(m[1], 10, 64)
		n, _ := strconv.ParseUint(m[2], 10, 64)
		if u < us || n <= ticks {
			t.Errorf("%q is not later than what came before", m[3])
		}
		us, ticks = u, n
	}
	if len(stages) < 4 || strings.Count(r.stderr, "\n") != len(stages) || r.stdout != "hello, world\n" || r.code != 0 || t.Failed() {
		t.Error(r)
	}
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	r := run(t, microvm, options{flags: []string{"--verbose", "-c", "2", "-m", "64"}}, cProgram(t, musl, "hello"))
	for _, want := range []string{`^gosv: running on QEMU \(microvm, tcg\)\n`, `\ngosv kernel: entered by PVH; CPUs: 2; memory: 6\d MiB, \d+ free; .* MHz by \w+\n`,
		`\ngosv kernel: ACPI; I/O APIC at .*, GSI 24 to 47\n$`} {
		if !regexp.MustCompile(want).MatchString(r.stderr) {
			t.Errorf("no %s", want)
		}
	}
	if r.stdout != "hello, world\n" || r.code != 0 || t.Failed() {
		t.Error(r)
	}
}

// TestDryRun: the printed command is one to run by hand.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r := byHand(t, goProgram(t, "examples/hello"), nil, nil)
	if r.output != "Hello from a microVM\n" || r.report != 0 || r.code != 0 {
		t.Errorf("%v\nits report: %d", r.result, r.report)
	}
}

// TestDryRunFirecracker: what it prints may be for another machine, so it asks for
// no KVM here, and for no more of Firecracker than a place on the PATH.
func TestDryRunFirecracker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "firecracker")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	env := append(environment[:len(environment):len(environment)], "PATH="+dir, "TMPDIR="+dir)
	r := command(t, nil, "", env, gosv, "run", "--vmm", "firecracker", "--dry-run", "-c", "2", "-m", "64", cProgram(t, musl, "hello"))
	words := strings.Fields(r.stdout)
	i := slices.Index(words, "--config-file")
	if r.code != 0 || len(words) == 0 || words[0] != program || i < 0 {
		t.Fatal(r)
	}
	b, err := os.ReadFile(words[i+1])
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		BootSource map[string]string `json:"boot-source"`
		Machine    map[string]int    `json:"machine-config"`
	}
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"kernel_image_path", "initrd_path"} {
		if _, err := os.Stat(config.BootSource[key]); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if config.Machine["vcpu_count"] != 2 || config.Machine["mem_size_mib"] != 64 {
		t.Errorf("it says %v", config.Machine)
	}
}

// TestBuild: an image keeps its program, files, arguments and environment.
func TestBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "config", "kept\n")
	img := filepath.Join(dir, "args.img")
	prog := filepath.Join(dir, "args")
	b, err := os.ReadFile(cProgram(t, musl, "args"))
	if err == nil {
		err = os.WriteFile(prog, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "-e", "A=1", "-v", config+":/etc/config", "-w", "/etc", prog, "x", "y z"), "")
	for _, gone := range []string{prog, config} { // the image has all it needs
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
	}
	env := append(environment[:len(environment):len(environment)], "A=1")
	expect(t, run(t, microvm, options{}, img), argsOutput([]string{prog, "x", "y z"}, env, "/etc"))
	expect(t, run(t, microvm, options{}, img, "other"), argsOutput([]string{prog, "other"}, env, "/etc"))
	expect(t, run(t, microvm, options{env: []string{"A=2", "B=3"}, dir: "/tmp"}, img),
		argsOutput([]string{prog, "x", "y z"}, append(env[:len(env)-1:len(env)-1], "A=2", "B=3"), "/tmp"))

	// Without -o it is named after the program, here.
	r := command(t, nil, dir, nil, gosv, "build", busybox(t), "cat", "/etc/hostname")
	expect(t, r, "")
	expect(t, run(t, microvm, options{}, filepath.Join(dir, "busybox.img")), "gosv\n")
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"sleep", "1000"}, {"sh", "-c", "while :; do :; done"}} {
		start := time.Now()
		r := command(t, nil, "", nil, append(append(append([]string{gosv, "run", "--timeout", "1s"}, microvm...), busybox(t)), args...)...)
		if r.code != 124 || r.stdout != "" || r.stderr != "gosv: ended after 1s, as --timeout asks\n" || time.Since(start) < time.Second {
			t.Error(r)
		}
	}
}

// TestGoTest: go test runs a package's tests in VMs, with their testdata.
func TestGoTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example\n\ngo 1.21\n")
	write(t, dir, "testdata/x", "from testdata")
	write(t, dir, "x_test.go", `package example

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestHere(t *testing.T) {
	b, err := os.ReadFile("testdata/x")
	if err != nil || string(b) != "from testdata" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "y"), b, 0o600); err != nil {
		t.Error(err)
	}
	if name, err := os.Hostname(); name != "gosv" {
		t.Errorf("on %s, not in a VM (%v)", name, err)
	}
	t.Log(runtime.GOOS, "in", os.Args[0] != "")
}

func BenchmarkNothing(b *testing.B) {
	for i := 0; i < b.N; i++ {
	}
}
`)
	write(t, dir, "bad/bad_test.go", "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(\"as it should\") }\n")
	env := append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	runner := "-exec=" + strings.Join(append([]string{gosv, "run", "--timeout", bound.String(), "--cwd"}, microvm...), " ") + " --"
	r := command(t, nil, dir, env, "go", "test", runner, "-count=1", "-v", ".")
	if r.code != 0 || !strings.Contains(r.stdout, "--- PASS: TestHere") || !strings.Contains(r.stdout, "ok  \texample\t") {
		t.Error(r)
	}
	r = command(t, nil, dir, env, "go", "test", runner, "-count=1", "./...")
	if r.code != 1 || !strings.Contains(r.stdout, "as it should") || !strings.Contains(r.stdout, "FAIL\texample/bad\t") || !strings.Contains(r.stdout, "ok  \texample\t") {
		t.Error(r)
	}
}

// TestClocks: the time of day is right, and goes at the right pace.
func TestClocks(t *testing.T) {
	t.Parallel()
	for _, m := range []machine{microvm, append(microvm[:len(microvm):len(microvm)], "--machine", "pc")} {
		before := time.Now()
		r := run(t, m, options{}, cProgram(t, glibc, "clocks"))
		after := time.Now()
		var s int64
		var pace int
		const tolerance = 2 // seconds: a real-time clock has no finer ones
		if _, err := fmt.Sscanf(r.stdout, "%d %d\n", &s, &pace); err != nil || r.code != 0 || pace != 1 ||
			s < before.Unix()-tolerance || s > after.Unix()+tolerance {
			t.Errorf("%v\nwant a second between %d and %d, and 1", r, before.Unix(), after.Unix())
		}
	}
}

// TestVDSO: clocks read without a system call are those of the kernel.
func TestVDSO(t *testing.T) {
	t.Parallel()
	for _, cpus := range []string{"1", "4"} {
		same(t, options{flags: []string{"-c", cpus}}, cProgram(t, glibc, "vdso"))
		same(t, options{flags: []string{"-c", cpus}}, goProgram(t, "test/programs/now"))
	}
	same(t, options{}, cProgram(t, musl, "vdso"))
	expect(t, run(t, microvm, options{}, cProgram(t, musl, "vdso"), "set"),
		"clock_settime 0: 2000000000, monotonic 1\nsettimeofday 0: 1500000000 1500000000\n")
}

// TestNaps: who sleeps for 5 ms is not kept waiting by threads that spin.
func TestNaps(t *testing.T) {
	t.Parallel()
	for _, cpus := range []string{"1", "4"} {
		r := run(t, microvm, options{flags: []string{"-c", cpus}}, cProgram(t, glibc, "clocks"), "naps")
		expect(t, r, "early 0, late 0, backwards 0\n")
	}
}

// TestTurns: threads share a CPU soon after a long wait for input, too. Go's monitor
// sleeps then for up to a minute.
func TestTurns(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "clocks")
	slots <- struct{}{}
	defer func() { <-slots }()
	cmd := exec.Command(gosv, append(append([]string{"run", "--timeout", bound.String()}, microvm...), prog, "turns")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*time.Second, func() { in.Write([]byte("x")) })
	out, err := cmd.CombinedOutput()
	if string(out) != "both ran\n" || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestShortNaps: who sleeps for 200 us wakes within as much, on an idle machine and beside
// threads that spin. It is measured on QEMU's count of instructions, which does
// not depend on the host's load; by which CPUs take turns of 100 ms, though.
func TestShortNaps(t *testing.T) {
	t.Parallel()
	m := append(microvm[:len(microvm):len(microvm)], "--vmm-arg=-icount", "--vmm-arg=shift=1,sleep=off")
	for _, c := range []struct {
		cpus, spinners string
		most           int // that may be late
	}{{"1", "0", 0}, {"1", "1", 0}, {"1", "3", 0}, {"2", "0", 10}, {"2", "1", 10}, {"4", "0", 10}, {"4", "3", 10}} {
		r := run(t, m, options{flags: []string{"-c", c.cpus}}, cProgram(t, musl, "clocks"), "late", c.spinners)
		late, err := strconv.Atoi(strings.TrimSpace(r.stdout))
		if err != nil || r.code != 0 || late > c.most {
			t.Errorf("%s CPUs, %s threads that spin: %v", c.cpus, c.spinners, r)
		}
	}
}

package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// backgroundVM is a VM in the background.
type backgroundVM struct {
	t    *testing.T
	name string
	env  []string
}

// background starts a VM in the background, and returns how to call gosv for it.
func background(t *testing.T, flags []string, prog string, args ...string) (name string, call func(args ...string) result) {
	t.Helper()
	vm := inBackground(t, microvm, flags, prog, args...)
	return vm.name, vm.call
}

func inBackground(t *testing.T, m machine, flags []string, prog string, args ...string) *backgroundVM {
	t.Helper()
	return inBackgroundWith(t, nil, m, flags, prog, args...)
}

// inBackgroundWith is inBackground with more in gosv's own environment.
func inBackgroundWith(t *testing.T, env []string, m machine, flags []string, prog string, args ...string) *backgroundVM {
	t.Helper()
	vm := &backgroundVM{t, "vm", append(append(os.Environ(), "XDG_STATE_HOME="+t.TempDir()), env...)}
	argv := append([]string{"run", "-d", "--name", vm.name, "--timeout", bound.String()}, m...)
	argv = append(append(argv, flags...), prog)
	t.Cleanup(func() { vm.call("rm", "-f", vm.name) })
	expect(t, vm.call(append(argv, args...)...), vm.name+"\n")
	return vm
}

func (vm *backgroundVM) call(args ...string) result {
	vm.t.Helper()
	return command(vm.t, nil, "", vm.env, append([]string{gosv}, args...)...)
}

// A watcher is a gosv that watches a VM until it is interrupted.
type watcher struct {
	t   *testing.T
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer // standard output and error
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// watch starts one.
func (vm *backgroundVM) watch(args ...string) *watcher {
	vm.t.Helper()
	w := &watcher{t: vm.t, cmd: exec.Command(gosv, args...)}
	w.cmd.Env, w.cmd.Stdout, w.cmd.Stderr = vm.env, w, w
	if err := w.cmd.Start(); err != nil {
		vm.t.Fatal(err)
	}
	return w
}

// until waits until what it has printed matches.
func (w *watcher) until(pattern string) {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(bound); !re.MatchString(w.String()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.cmd.Process.Kill()
			w.t.Fatalf("%v prints nothing like %s: %s", w.cmd.Args, pattern, abbreviate(w.String()))
		}
	}
}

// interrupt is Ctrl-C. It returns what was printed until the end.
func (w *watcher) interrupt() string {
	w.t.Helper()
	w.cmd.Process.Signal(os.Interrupt)
	return w.wait()
}

func (w *watcher) wait() string {
	w.t.Helper()
	late := time.AfterFunc(bound, func() { w.cmd.Process.Kill() })
	defer late.Stop()
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("%v: %v: %s", w.cmd.Args, err, abbreviate(w.String()))
	}
	return w.String()
}

// TestInspect: a running VM answers, whether its program is busy or asleep.
func TestInspect(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		state string
		flags []string
		args  []string
	}{
		"busy":           {"R", nil, []string{"sh", "-c", "echo text >/tmp/file; while :; do :; done"}},
		"asleep":         {"S", nil, []string{"sleep", "1000"}},
		"asleep on hvc0": {"S", []string{"--console", "hvc0"}, []string{"sleep", "1000"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			vm, call := background(t, c.flags, busybox(t), c.args...)
			expect(t, call("cat", vm, "/etc/hostname"), vm+"\n")
			for end := time.Now().Add(bound); kind == "busy" && call("cat", vm, "/tmp/file").stdout != "text\n"; {
				if time.Now().After(end) {
					t.Fatalf("%+v", call("cat", vm, "/tmp"))
				}
			}
			eventually(t, func() error { // it may still be on its way there
				if r := call("cat", vm, "/proc/self/status"); !strings.Contains(r.stdout, "Name:\tbusybox\n") || !strings.Contains(r.stdout, "State:\t"+c.state) {
					return fmt.Errorf("%+v", r)
				}
				return nil
			})
			if r := call("cat", vm, "/"); !strings.Contains(r.stdout, "\netc\n") {
				t.Errorf("%+v", r)
			}
			for path, want := range map[string]string{"/nowhere": "no such file", "/dev/null": "invalid argument", "/etc/hostname/x": "not a directory"} {
				if r := call("cat", vm, path); r.code == 0 || !strings.Contains(r.stderr, path+": "+want) {
					t.Errorf("%+v", r)
				}
			}
			if r := call("top", vm, "-d", "10ms"); !strings.Contains(r.stdout, " busybox\n") || !strings.Contains(r.stdout, "1 CPUs") {
				t.Errorf("%+v", r)
			}
			if r := call("stacks", vm); !strings.Contains(r.stdout, "linux.(*Thread).run(") {
				t.Errorf("%+v", r)
			}
			metrics := call("metrics", vm)
			if metrics.code != 0 || !strings.Contains(metrics.stdout, "\ngosv_") {
				t.Errorf("%+v", metrics)
			}
			for line := range strings.Lines(metrics.stdout) {
				if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name != "#" {
					if _, err := strconv.ParseFloat(value, 64); err != nil || !strings.HasPrefix(name, "gosv_") {
						t.Errorf("no metric: %q", line)
					}
				}
			}
			expect(t, call("stop", vm), vm+"\n")
			if r := call("cat", vm, "/etc/hostname"); r.code == 0 || !strings.Contains(r.stderr, "does not run") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestInspectForeground: so does one that runs in the foreground, by the name that it gets.
func TestInspectForeground(t *testing.T) {
	t.Parallel()
	vm := &backgroundVM{t: t, env: append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())}
	w := vm.watch(append(append([]string{"run", "--timeout", bound.String()}, microvm...), busybox(t), "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do umask 022; done")...)
	w.until("up")
	listed := regexp.MustCompile(`(?m)^(busybox-\w{4}) +\S*busybox .* QEMU .* up \d+ `)
	eventually(t, func() error {
		r := vm.call("ps")
		if m := listed.FindStringSubmatch(r.stdout); m != nil {
			vm.name = m[1]
			return nil
		}
		return fmt.Errorf("%+v", r)
	})
	expect(t, vm.call("cat", vm.name, "/etc/hostname"), "gosv\n")
	s := vm.watch("strace", vm.name)
	s.until(`umask\(022\)`)
	expect(t, vm.call("stop", vm.name), vm.name+"\n")
	if out := s.wait(); !strings.Contains(out, "gosv: "+vm.name+" has ended") {
		t.Errorf("%s", abbreviate(out))
	}
	w.wait()
	if r := vm.call("ps", "-a"); strings.Contains(r.stdout, vm.name) {
		t.Errorf("%+v", r)
	}
}

// TestInspectLong: an answer of a megabyte, while the program prints.
func TestInspectLong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	text := strings.Repeat("0123456789abcdef", 1<<16)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	vm, call := background(t, []string{"-v", file + ":/file"}, busybox(t), "sh", "-c", "while :; do echo line; done")
	if r := call("cat", vm, "/file"); r.stdout != text {
		t.Errorf("%d bytes of %d, %s", len(r.stdout), len(text), r.stderr)
	}
	call("stop", vm)
	log := call("logs", vm).stdout
	if other := strings.ReplaceAll(log, "line\n", ""); !strings.HasPrefix("line\n", other) || len(log) < 5 { // the last may have been cut off
		t.Errorf("the output of %d bytes has more than the program's lines: %.200q", len(log), other)
	}
}

// TestStraceRunning: system calls of a running VM are printed while somebody watches,
// for each what it wants, besides what the VM was started to report.
func TestStraceRunning(t *testing.T) {
	t.Parallel()
	first := filepath.Join(t.TempDir(), "first")
	vm := inBackground(t, microvm, []string{"--strace=execve,close", "-o", first}, busybox(t), "sh", "-c", "while :; do echo line; umask 022; : </etc/hostname; done")
	file := filepath.Join(t.TempDir(), "out")
	a, b := vm.watch("strace", vm.name), vm.watch("strace", "-e", "trace=write,umask", "-o", file, vm.name)
	a.until(`(?s)open.*"/etc/hostname", O_RDONLY.* = 3 <.*\nwrite\(1, "line\\n", 5\) +`)
	for end := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(file); bytes.Contains(text, []byte("umask(022)")) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing is printed to a file")
		}
	}
	if out := b.interrupt(); out != "" {
		t.Errorf("%q", out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "write(1, ") && !strings.HasPrefix(line, "umask(0") || !strings.HasSuffix(line, ">\n") && !strings.HasSuffix(line, "<unfinished ...>\n") {
			t.Fatalf("%q", line)
		}
	}
	a.interrupt()
	if r := vm.call("cat", vm.name, "/etc/hostname"); r.stdout != "vm\n" {
		t.Errorf("%+v", r)
	}
	c := vm.watch("strace", "-e", "umask", vm.name)
	c.until(`umask\(022\)`)
	vm.call("stop", vm.name)
	if out := c.wait(); !strings.Contains(out, "+++ killed by SIGTERM +++\ngosv: vm has ended\n") {
		t.Errorf("%s", abbreviate(out))
	}
	for _, args := range [][]string{{"strace", vm.name}, {"strace", "-e", "nonsense", vm.name}, {"strace", "nobody"}} {
		if r := vm.call(args...); r.code == 0 || !strings.Contains(r.stderr, map[string]string{vm.name: "does not run", "nobody": "no VM of that name", "-e": "nonsense"}[args[1]]) {
			t.Errorf("%+v", r)
		}
	}
	if text, err := os.ReadFile(first); err != nil || !bytes.Contains(text, []byte("close(")) || bytes.Contains(text, []byte("write(")) {
		t.Errorf("--strace of the whole run has %s, %v", abbreviate(string(text)), err)
	}
}

// TestStraceWaiting: what the threads of a running VM wait in is shown at once, to each who
// asks, and how it ends.
func TestStraceWaiting(t *testing.T) {
	t.Parallel()
	vm := inBackground(t, microvm, nil, busybox(t), "sleep", "1000")
	a := vm.watch("strace", vm.name)
	a.until(`nanosleep\(.*tv_sec=1000`)
	b := vm.watch("strace", "-e", "%clock", vm.name)
	b.until(`nanosleep\(.*tv_sec=1000`)
	b.interrupt()
	vm.call("stop", vm.name)
	if out := a.wait(); strings.Count(out, "tv_sec=1000") != 1 || !regexp.MustCompile(`ERESTART\w+ \(Interrupted by signal\) <\d+\.\d+>\n--- SIGTERM .*\n\+\+\+ killed by SIGTERM`).MatchString(out) {
		t.Errorf("%s", abbreviate(out))
	}
	port := freePort(t)
	vm = inBackground(t, microvm, []string{"-p", fmt.Sprintf("%d:80", port)}, goProgram(t, "examples/httpd"))
	eventually(t, func() error {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return r.Body.Close()
	})
	a = vm.watch("strace", vm.name)
	a.until(`epoll_pwait\(\d+, `)
	a.until(`futex\(0x[0-9a-f]+, FUTEX_WAIT_PRIVATE, 0, `)
	vm.call("stop", vm.name)
	a.wait()
}

// TestTcpdump: what a running VM sends and gets is captured, as text and as a file, until
// somebody interrupts or the VM ends.
func TestTcpdump(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	vm := inBackground(t, microvm, []string{"-p", fmt.Sprintf("%d:80", port)}, goProgram(t, "examples/httpd"))
	get := func() {
		eventually(t, func() error {
			r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d", port))
			if err != nil {
				return err
			}
			return r.Body.Close()
		})
	}
	get()
	file := filepath.Join(t.TempDir(), "vm.pcap")
	if r := vm.call("tcpdump", "-w", "/dev/full", vm.name); r.code != 125 || strings.Count(r.stderr, "no space left on device") != 1 {
		t.Errorf("%+v", r)
	}
	text := vm.watch("tcpdump", vm.name, "tcp", "port", "80")
	binary := vm.watch("tcpdump", "-w", file, vm.name)
	one := vm.watch("tcpdump", "-c", "1", "-s", "60", "-w", "-", vm.name, "tcp and src host 10.0.2.15")
	for _, w := range []*watcher{text, binary, one} {
		w.until("gosv: listening to vm, capture size ")
	}
	get()
	text.until(`\d IP 10\.0\.2\.2\.(\d+) > 10\.0\.2\.15\.80: Flags \[S\], seq \d+, win \d+, length 0\n`)
	text.until(`\d IP 10\.0\.2\.15\.80 > 10\.0\.2\.2\.(\d+): Flags \[P\.\], seq \d+:\d+, ack \d+, win \d+, length [1-9]`)
	if out := text.interrupt(); !regexp.MustCompile(`gosv: \d+ packets captured\n$`).MatchString(out) {
		t.Errorf("%s", abbreviate(out))
	}
	if out := one.wait(); !strings.Contains(out, "\x4d\x3c\xb2\xa1\x02\x00\x04\x00") || !strings.HasSuffix(out, "gosv: 1 packets captured\n") {
		t.Errorf("%q", out)
	}
	vm.call("stop", vm.name)
	if out := binary.wait(); !strings.Contains(out, "gosv: vm has ended\n") {
		t.Errorf("%s", out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("Hello from vm\n")) || !bytes.Contains(b, []byte("GET / HTTP/1.1\r\n")) {
		t.Errorf("not all that was sent is in the file: %q", abbreviate(string(b)))
	}
	if tcpdump, err := exec.LookPath("tcpdump"); err == nil {
		out, err := exec.Command(tcpdump, "-n", "-r", file).CombinedOutput()
		if err != nil || !regexp.MustCompile(`IP 10\.0\.2\.15\.80 > 10\.0\.2\.2\.\d+: Flags \[P\.\], .*HTTP/1\.1 200 OK`).Match(out) || bytes.Contains(out, []byte("truncated")) {
			t.Errorf("tcpdump: %v: %s", err, abbreviate(string(out)))
		}
	}
}

// TestDelayedACKs: an answer acknowledges the request that it is to, and what nobody answers
// is acknowledged nevertheless.
func TestDelayedACKs(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	vm := inBackground(t, microvm, []string{"-p", fmt.Sprintf("%d:80", port)}, goProgram(t, "examples/httpd"))
	const requests = 40
	get := func() error {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	eventually(t, get)
	bare := regexp.MustCompile(`Flags \[\.\], seq \d+, ack \d+, win \d+, length 0\n`)
	eventually(t, func() error { // a machine that is busy answers late
		w := vm.watch("tcpdump", vm.name, "tcp and src host 10.0.2.15")
		w.until("gosv: listening to vm")
		for range requests {
			if err := get(); err != nil {
				return err
			}
		}
		if n := len(bare.FindAllString(w.interrupt(), -1)); n > requests/2 {
			return fmt.Errorf("%d acknowledgements without data for %d requests", n, requests)
		}
		return nil
	})
	w := vm.watch("tcpdump", vm.name, "tcp and src host 10.0.2.15")
	w.until("gosv: listening to vm")
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	w.until(bare.String())
	w.interrupt()
	vm.call("stop", vm.name)
}

// TestTcpdumpNoNetwork: there is nothing to capture.
func TestTcpdumpNoNetwork(t *testing.T) {
	t.Parallel()
	vm := inBackground(t, microvm, nil, busybox(t), "sleep", "1000")
	for want, args := range map[string][]string{
		"no network interface": {"tcpdump", vm.name},
		"no VM of that name":   {"tcpdump", "nobody"},
		"is not known":         {"tcpdump", vm.name, "nonsense"},
		"from 1 on":            {"tcpdump", "-c", "-1", vm.name},
		"no such file":         {"tcpdump", "-w", "/nowhere/file", vm.name},
	} {
		if r := vm.call(args...); r.code == 0 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", want, r)
		}
	}
}

// TestPprof: go tool pprof finds names of the kernel's functions, and of the program's, in
// the profiles of a running VM.
func TestPprof(t *testing.T) {
	t.Parallel()
	vm := inBackground(t, append(slices.Clone(microvm), "-c", "2"), nil, cProgram(t, glibc, "busy"))
	dir := t.TempDir()
	for kind, want := range map[string]string{
		"cpu":       `(?s)(Type: cpu\n.* hot\n.* kernel/linux\.\(\*Thread\)\.run\n|Type: cpu\n.* kernel/linux\.\(\*Thread\)\.run\n.* hot\n)`,
		"heap":      `(?s)Type: alloc_objects\n.* kernel/linux\.\(\*Thread\)\.pipe\n`,
		"goroutine": `(?s)Type: goroutine\n.* kernel/linux\.\(\*Thread\)\.run\n`,
	} {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join(dir, kind)
			eventually(t, func() error { // a machine that is busy may not have run it for long
				if r := vm.call("pprof", vm.name, kind, "-s", "0.3", "-o", file); r.code != 0 || !strings.Contains(r.stderr, "go tool pprof "+file) {
					t.Fatalf("%+v", r)
				}
				index := map[string]string{"heap": "alloc_objects", "cpu": "cpu", "goroutine": "goroutine"}[kind]
				out, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodefraction=0", "-sample_index="+index, file).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if !regexp.MustCompile(want).Match(out) {
					return fmt.Errorf("go tool pprof prints\n%s", out)
				}
				return nil
			})
		})
	}
	for want, args := range map[string][]string{
		"there are cpu, heap and goroutine": {"pprof", vm.name, "block"},
		"no time":                           {"pprof", vm.name, "-s", "0"},
		"no such file":                      {"pprof", vm.name, "-s", "1000", "-o", "/nowhere/file"},
		"no VM of that name":                {"pprof", "nobody"},
	} {
		if r := vm.call(args...); r.code == 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", want, r)
		}
	}
	w := vm.watch("pprof", vm.name, "-s", "1000", "-o", filepath.Join(dir, "half"))
	w2 := vm.watch("pprof", vm.name, "-s", "1000", "-o", filepath.Join(dir, "interrupted"))
	w.until("sampling for 1000 s")
	w2.until("sampling for 1000 s")
	if out := w2.interrupt(); !strings.Contains(out, "go tool pprof") {
		t.Errorf("%s", out)
	}
	vm.call("stop", vm.name)
	if out := w.wait(); !strings.Contains(out, "it has ended: the profile is of ") {
		t.Errorf("%s", out)
	}
}

// TestPing: a VM's network answers the host, and others answer the VM.
func TestPing(t *testing.T) {
	t.Parallel()
	vm := inBackground(t, microvm, []string{"--net", "user"}, busybox(t), "sleep", "1000")
	answers := func(vm *backgroundVM, args ...string) {
		t.Helper()
		eventually(t, func() error { // until its network is up, and if nobody answers within a second
			r := vm.call(append([]string{"ping", "-c", "1", vm.name}, args...)...)
			if r.code != 0 || r.stderr != "" || !regexp.MustCompile(`^answer: seq=1 time=[0-9.]+ ms\n--- .*vm: 1 sent, 1 answered, 0% lost, least/mean/most `).MatchString(r.stdout) {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	answers(vm)
	answers(vm, "10.0.2.2")
	answers(vm, "::1")
	if r := vm.call("ping", "-c", "2", "-i", "1ms", vm.name, "10.0.2.77"); r.code != 1 ||
		r.stdout != "seq=1 no answer\nseq=2 no answer\n--- 10.0.2.77 from vm: 2 sent, 0 answered, 100% lost\n" {
		t.Errorf("%+v", r)
	}
	w := vm.watch("ping", vm.name, "-i", "1ms")
	w.until(`answer: seq=3 time=`)
	if out := w.interrupt(); !strings.Contains(out, "% lost, least/mean/most ") {
		t.Errorf("%s", out)
	}
	lo, none := inBackground(t, microvm, []string{"--net", "lo"}, busybox(t), "sleep", "1000"), inBackground(t, microvm, nil, busybox(t), "sleep", "1000")
	answers(lo, "127.0.0.1")
	for _, c := range []struct {
		vm   *backgroundVM
		args []string
		want string
	}{
		{lo, []string{"ping", "vm"}, "the VM has no network interface"},
		{none, []string{"ping", "vm"}, "the VM has no network interface"},
		{none, []string{"ping", "vm", "127.0.0.1"}, "the VM's kernel has no network"},
		{vm, []string{"ping", "nobody"}, "no VM of that name"},
		{vm, []string{"ping", "vm", "no such name"}, "no such"},
		{vm, []string{"ping", "-i", "0s", "vm"}, "some time"},
		{vm, []string{"ping", "-c", "0", "vm"}, "from 1 on"},
		{vm, []string{"top", "-d", "0s", "vm"}, "some time"},
	} {
		if r := c.vm.call(c.args...); r.code == 0 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: %+v", c.want, r)
		}
	}
	vm.call("stop", vm.name)
	if r := vm.call("ping", vm.name); r.code == 0 || !strings.Contains(r.stderr, "does not run") {
		t.Errorf("%+v", r)
	}
}

package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// background starts a VM in the background, and returns how to call gosv for it.
func background(t *testing.T, flags []string, prog string, args ...string) (name string, call func(args ...string) result) {
	t.Helper()
	env := append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	call = func(args ...string) result { return command(t, nil, "", env, append([]string{gosv}, args...)...) }
	name = "vm"
	argv := append([]string{"run", "-d", "--name", name, "--timeout", bound.String()}, microvm...)
	argv = append(append(argv, flags...), prog)
	t.Cleanup(func() { call("rm", "-f", name) })
	expect(t, call(append(argv, args...)...), name+"\n")
	return name, call
}

// TestInspect: a running VM answers, whether its program is busy or asleep.
func TestInspect(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		state string
		args  []string
	}{
		"busy":   {"R", []string{"sh", "-c", "echo text >/tmp/file; while :; do :; done"}},
		"asleep": {"S", []string{"sleep", "1000"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			vm, call := background(t, nil, busybox(t), c.args...)
			expect(t, call("cat", vm, "/etc/hostname"), vm+"\n")
			for end := time.Now().Add(bound); kind == "busy" && call("cat", vm, "/tmp/file").stdout != "text\n"; {
				if time.Now().After(end) {
					t.Fatalf("%+v", call("cat", vm, "/tmp"))
				}
			}
			if r := call("cat", vm, "/proc/self/status"); !strings.Contains(r.stdout, "Name:\tbusybox\n") || !strings.Contains(r.stdout, "State:\t"+c.state) {
				t.Errorf("%+v", r)
			}
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
			for line := range strings.Lines(call("metrics", vm).stdout) {
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

// TestInspectLong: an answer of several megabytes, while the program prints.
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
	if log := call("logs", vm).stdout; strings.Trim(log, "line\n") != "" || len(log) < 5 {
		t.Errorf("the output has more than the program's lines: %.200q", strings.ReplaceAll(log, "line\n", ""))
	}
}

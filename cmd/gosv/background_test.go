package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gosv/internal/vmm"
)

// The fake VMM's guest ends on "t", what asks it to end. The lines of its input
// end nowhere, so it is read byte by byte.
const obedient = `echo up; while c=$(dd bs=1 count=1 2>/dev/null) && [ "$c" != t ]; do :; done; echo bye; say x3`

func TestBackground(t *testing.T) {
	dir := fakeQEMU(t, obedient)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	run := func(args ...string) outcome {
		return gosv(t, dir, "", append([]string{"run", "--vmm", "qemu", "--accel", "tcg"}, args...)...)
	}
	if o := run("-d", "--name", "box", "-p", "0:80", program(t)); o.code != 0 || o.stdout != "box\n" {
		t.Fatalf("%+v", o)
	}
	if o := run("-d", "--name", "box", program(t)); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "gosv stop box") {
		t.Errorf("a second one: %+v", o)
	}
	if o := gosv(t, dir, "", "ps"); o.code != 0 || !strings.Contains(o.stdout, "box ") || !strings.Contains(o.stdout, "up ") || !strings.Contains(o.stdout, "0:80") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "rm", "box"); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "gosv rm -f box") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "stop", "box"); o.code != 0 || o.stdout != "box\n" {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "logs", "-f", "box"); o.code != 0 || o.stdout != "up\nbye\n" {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "ps", "-a"); o.code != 0 || !strings.Contains(o.stdout, "exit code 3") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "ps"); o.code != 0 || strings.Contains(o.stdout, "box") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "rm", "box", "nobody"); o.code != vmm.ExitGosv || o.stdout != "box\n" || !strings.Contains(o.stderr, "nobody: there is no VM of that name") {
		t.Errorf("%+v", o)
	}
}

// One that nobody has named has a name nevertheless, in the foreground too; without a place
// for what is to be known of it, it runs unlisted.
func TestUnnamed(t *testing.T) {
	dir := fakeQEMU(t, obedient)
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	image := filepath.Join(t.TempDir(), "box.img")
	if o := gosv(t, dir, "", "build", "-o", image, program(t)); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	argv := []string{"run", "--vmm", "qemu", "--accel", "tcg", image}
	const vms = 3
	ended := make(chan outcome, vms)
	for range vms {
		go func() { ended <- gosv(t, dir, "", argv...) }()
	}
	var names []string
	for end := time.Now().Add(time.Minute); len(names) < vms; time.Sleep(10 * time.Millisecond) {
		names = regexp.MustCompile(`(?m)^box-\w{4} .* QEMU`).FindAllString(gosv(t, dir, "", "ps").stdout, -1)
		if time.Now().After(end) {
			t.Fatalf("%v are listed", names)
		}
	}
	for _, name := range names {
		if o := gosv(t, dir, "", "stop", strings.Fields(name)[0]); o.code != 0 || o.stderr != "" {
			t.Errorf("%+v", o)
		}
		if o := <-ended; o.code != 3 || o.stdout != "up\nbye\n" || o.stderr != "" {
			t.Errorf("%+v", o)
		}
	}
	if left, err := os.ReadDir(filepath.Join(home, "gosv", "vms")); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	full := fakeQEMU(t, "say x3")
	for _, nowhere := range []string{"/dev/null", "/proc/1"} {
		t.Setenv("XDG_STATE_HOME", nowhere)
		if o := gosv(t, full, "", argv...); o.code != 3 || o.stderr != "" {
			t.Errorf("%+v", o)
		}
		if o := gosv(t, full, "", append(argv[:len(argv)-1:len(argv)-1], "--name", "box", image)...); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "no place for what is to be known of VMs: ") {
			t.Errorf("%+v", o)
		}
	}
}

// One in the foreground is known as long as it runs.
func TestForeground(t *testing.T) {
	dir := fakeQEMU(t, obedient)
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	argv := []string{"run", "--vmm", "qemu", "--accel", "tcg", "--name", "box", "-p", "0:80", program(t)}
	up := func() bool { return strings.Contains(gosv(t, dir, "", "ps").stdout, "QEMU") }
	for _, how := range [][]string{{"stop", "box"}, {"rm", "-f", "box"}} {
		ended := make(chan outcome)
		go func() { ended <- gosv(t, dir, "", argv...) }()
		for end := time.Now().Add(time.Minute); !up(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it is not listed")
			}
		}
		if o := gosv(t, dir, "", "ps"); !strings.Contains(o.stdout, "box ") || !strings.Contains(o.stdout, "up ") || !strings.Contains(o.stdout, "0:80") {
			t.Errorf("%+v", o)
		}
		for _, d := range []string{"-d", "-d=false"} {
			if o := gosv(t, dir, "", append(argv, d)...); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "a VM named box runs already: gosv stop box ends it") {
				t.Errorf("a second one: %+v", o)
			}
		}
		if o := gosv(t, dir, "", "logs", "box"); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "on its terminal") {
			t.Errorf("%+v", o)
		}
		if o := gosv(t, dir, "", how...); o.code != 0 || o.stdout != "box\n" || o.stderr != "" {
			t.Errorf("%+v", o)
		}
		o := <-ended
		asked := o.code == 3 && o.stdout == "up\nbye\n"
		killed := how[0] == "rm" && o.code == 128+int(syscall.SIGTERM) // it has no patience
		if !asked && !killed {
			t.Errorf("%+v", o)
		}
		if o := gosv(t, dir, "", "stop", "box"); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "no VM of that name") {
			t.Errorf("%+v", o)
		}
		if left, err := os.ReadDir(filepath.Join(home, "gosv", "vms")); err != nil || len(left) > 0 {
			t.Errorf("%v is left (%v)", left, err)
		}
	}
}

// One that does not start leaves nothing, and says why.
func TestBackgroundFails(t *testing.T) {
	dir := fakeQEMU(t, obedient)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	o := gosv(t, dir, "", "run", "-d", "--name", "box", "--vmm", "qemu", "--accel", "tcg", "/nowhere")
	if o.code != exitNotFound || !strings.Contains(o.stderr, "/nowhere: no such program") {
		t.Errorf("%+v", o)
	}
	if o := gosv(t, dir, "", "ps", "-a"); strings.Contains(o.stdout, "box") {
		t.Errorf("%+v", o)
	}
}

// A signal while the program is being built leaves nothing behind, in the background neither.
func TestInterrupted(t *testing.T) {
	dir, pkg, home := fakeQEMU(t, "say x0"), t.TempDir(), t.TempDir()
	building := filepath.Join(dir, "building")
	for name, text := range map[string]string{
		filepath.Join(dir, "go"):      "#!/bin/sh\n[ $1 = env ] || { echo >" + building + "; exec sleep 60; }\n",
		filepath.Join(pkg, "main.go"): "package main\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"build", "-t", "box"}, {"run", "--vmm", "qemu"}, {"run", "--vmm", "qemu", "--name", "box"}, {"run", "--vmm", "qemu", "-d"}} {
		tmp := t.TempDir()
		cmd := exec.Command(os.Args[0], append(args, pkg)...)
		cmd.Env = append(os.Environ(), "GOSV_TEST_MAIN=1", "PATH="+dir+":/bin:/usr/bin", "TMPDIR="+tmp, "XDG_STATE_HOME="+home)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait := func(what string, done func() bool) {
			t.Helper()
			for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%v: %s", args, what)
				}
			}
		}
		wait("nothing is built", func() bool { return os.Remove(building) == nil })
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGINT {
			t.Errorf("%v: %v", args, cmd.ProcessState)
		}
		wait("something is left", func() bool { // the other process of one in the background takes a while
			left, _ := filepath.Glob(filepath.Join(home, "gosv", "*", "*"))
			temps, _ := filepath.Glob(filepath.Join(tmp, "*"))
			return len(left)+len(temps) == 0
		})
	}
}

// Signals that are to be ignored, as nohup has it, end nothing.
func TestIgnoredSignal(t *testing.T) {
	dir := fakeQEMU(t, `echo up >$UP; printf "<%s>" "$(timeout 1 dd bs=1 count=9 2>/dev/null)"; say x3`)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	up := filepath.Join(dir, "up")
	var out strings.Builder
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$@"`, os.Args[0], "run", "--vmm", "qemu", "--accel", "tcg", program(t))
	cmd.Env = append(os.Environ(), "GOSV_TEST_MAIN=1", "PATH="+dir+":/bin:/usr/bin", "UP="+up)
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(up); err == nil {
			break
		}
	}
	cmd.Process.Signal(syscall.SIGHUP)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 3 || strings.Contains(out.String(), "t") {
		t.Errorf("exit code %d, the guest was sent %q", got, out.String())
	}
}

// roomy is a disk with room for so many bytes.
type roomy struct {
	strings.Builder
	room int
}

func (r *roomy) Write(p []byte) (int, error) {
	n := min(r.room, len(p))
	r.room -= n
	r.Builder.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// A full disk costs output, not the VM.
func TestLossyLog(t *testing.T) {
	disk := &roomy{room: 5}
	log := &lossyLog{w: disk}
	for i, text := range []string{"abc", "def", "ghi", "jkl"} {
		if i == 3 {
			disk.room = 1000
		}
		if n, err := log.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if got, want := disk.String(), "abcde\ngosv: 4 bytes are lost: no space left on device\njkl"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBaseName(t *testing.T) {
	for program, want := range map[string]string{"./examples/hello": "hello", "app.img": "app", "docker://x/y:z": "y:z", ".": "gosv", "/": "/"} {
		if got := baseName(program); got != want {
			t.Errorf("%s: %s", program, got)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 3 * time.Hour: "3 h", 72 * time.Hour: "3 days"} {
		if got := age(time.Now().Add(-d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

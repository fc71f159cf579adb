package state

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// This test binary plays a gosv that runs a VM until its input ends.
func TestMain(m *testing.M) {
	name := os.Getenv("GOSV_TEST_VM")
	if name == "sweep" {
		Sweep()
		os.Exit(0)
	}
	if name, remove := strings.CutPrefix(name, "remove "); remove {
		s, err := Open()
		if err == nil {
			_, err = s.acquire(name, toRemove)
		}
		os.Stdout.WriteString(fmt.Sprintln(err))
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	if name != "" {
		s, err := Open()
		if err != nil {
			panic(err)
		}
		name, foreground := strings.CutPrefix(name, "foreground ")
		r, err := s.Create(VM{Name: name, Command: []string{"prog"}, Started: time.Now(), Foreground: foreground})
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		if _, err := TempDir(); err != nil {
			panic(err)
		}
		if r.Log != nil {
			r.Log.WriteString("hello\n")
		}
		os.Stdout.WriteString("runs\n")
		bufio.NewReader(os.Stdin).ReadByte()
		if foreground {
			r.Discard()
		} else {
			r.End(7)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type vm struct {
	cmd  *exec.Cmd
	said string
	end  func()
}

func start(t *testing.T, name string) *vm {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GOSV_TEST_VM="+name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	return &vm{cmd, strings.TrimSpace(line), func() {
		in.Close()
		cmd.Wait()
	}}
}

func open(t *testing.T) *Store {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLife(t *testing.T) {
	s := open(t)
	first := start(t, "a")
	if vm, err := s.Get("a"); err != nil || vm.PID != first.cmd.Process.Pid || vm.Ended != nil {
		t.Errorf("%+v, %v", vm, err)
	}
	if second := start(t, "a"); !strings.Contains(second.said, "gosv stop a") {
		t.Errorf("a second one: %q", second.said)
	}
	if err := s.Remove("a"); err == nil || !strings.Contains(err.Error(), "gosv rm -f a") {
		t.Errorf("removed while it runs: %v", err)
	}
	first.end()
	if vm, err := s.Get("a"); err != nil || vm.PID != 0 || vm.Ended == nil || vm.Code != 7 {
		t.Errorf("%+v, %v", vm, err)
	}
	var log bytes.Buffer
	if err := s.CopyLog(&log, "a", true); err != nil || log.String() != "hello\n" {
		t.Errorf("%q, %v", log.String(), err)
	}
	if again := start(t, "a"); again.said != "runs" {
		t.Errorf("again: %q", again.said)
	} else {
		again.end()
	}
	if err := s.Remove("a"); err != nil {
		t.Error(err)
	}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// A VM whose gosv was killed does not run, and its temporary files go with the
// next command.
func TestKilled(t *testing.T) {
	s := open(t)
	v := start(t, "a")
	Sweep()
	if left := temps(t); len(left) != 1 {
		t.Errorf("of a running one %v is left", left)
	}
	v.cmd.Process.Kill()
	v.cmd.Wait()
	vms, err := s.List()
	if err != nil || len(vms) != 1 || vms[0].PID != 0 || vms[0].Ended != nil {
		t.Errorf("%+v, %v", vms, err)
	}
	Sweep()
	if left := temps(t); len(left) != 0 {
		t.Errorf("of a killed one %v is left", left)
	}
	if err := s.Remove("a"); err != nil {
		t.Error(err)
	}
}

// A VM in the foreground is known while it runs; of one that was killed, or had no time to
// be described, nothing is left.
func TestForeground(t *testing.T) {
	s := open(t)
	start(t, "a").end() // in the background, and replaced
	v := start(t, "foreground a")
	if err := os.MkdirAll(s.path("half-made"), 0o700); err != nil {
		t.Fatal(err)
	}
	Sweep()
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].PID != v.cmd.Process.Pid {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.CopyLog(nil, "a", false); err == nil || !strings.Contains(err.Error(), "terminal") {
		t.Error(err)
	}
	if second := start(t, "a"); !strings.Contains(second.said, "gosv stop a") {
		t.Errorf("a second one: %q", second.said)
	}
	v.cmd.Process.Kill()
	v.cmd.Wait()
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("a killed one: %+v, %v", all, err)
	}
	Sweep()
	if left, err := os.ReadDir(s.path("")); err != nil || len(left) != 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}

func temps(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestNames(t *testing.T) {
	s := open(t)
	for _, name := range []string{"", ".", "..", "a/b", "-a", strings.Repeat("a", 64), "a b", "ä"} {
		if _, err := s.Create(VM{Name: name}); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
		if _, err := s.Get(name); !errors.Is(err, ErrNoVM) {
			t.Errorf("get %q: %v", name, err)
		}
		if err := s.Remove(name); !errors.Is(err, ErrNoVM) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if err := s.CopyLog(nil, "none", false); !errors.Is(err, ErrNoVM) {
		t.Error(err)
	}
}

// Many VMs that nobody has named begin and end at once, while others look and sweep: each gets a name
// that no other has, running or not, and in the end nothing is left.
func TestUnnamed(t *testing.T) {
	s := open(t)
	ended, err := s.CreateUnnamed("a b/ä:", VM{})
	if err != nil || !regexp.MustCompile(`^ab-[a-z2-7]{4}$`).MatchString(ended.Name) {
		t.Fatalf("%+v, %v", ended, err)
	}
	var names sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r, err := s.CreateUnnamed("", VM{Foreground: true})
				if err != nil {
					t.Error(err)
					return
				}
				if _, other := names.LoadOrStore(r.Name, true); other {
					t.Errorf("a second %s", r.Name)
				}
				names.Delete(r.Name)
				if err := r.RunsOn("x"); err != nil {
					t.Error(err)
				}
				if err := r.Discard(); err != nil {
					t.Error(err)
				}
				r.lock.Close()
			}
		})
		wg.Go(func() {
			for range 20 {
				v := exec.Command(os.Args[0])
				v.Env = append(os.Environ(), "GOSV_TEST_VM=sweep")
				if out, err := v.CombinedOutput(); err != nil {
					t.Errorf("%s %v", out, err)
				}
			}
		})
	}
	wg.Wait()
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].Name != ended.Name {
		t.Errorf("%+v, %v", all, err)
	}
}

// Who is about to remove a VM that has ended does not run it, and nobody else does meanwhile.
func TestRemover(t *testing.T) {
	s := open(t)
	start(t, "a").end()
	remover := start(t, "remove a")
	if vm, err := s.Get("a"); err != nil || vm.PID != 0 || remover.said != "<nil>" {
		t.Errorf("%+v, %v, the other one: %s", vm, err, remover.said)
	}
	if second := start(t, "a"); second.said == "runs" {
		t.Error("it runs")
	}
	remover.end()
	runs := start(t, "a")
	if other := start(t, "remove a"); runs.said != "runs" || other.said != errHeld.Error() {
		t.Errorf("%s while another one removes it: %s", runs.said, other.said)
	}
}

// A description that is broken does not hide the others.
func TestBroken(t *testing.T) {
	s := open(t)
	for _, name := range []string{"a", "b"} {
		start(t, name).end()
	}
	if err := os.WriteFile(s.path("a", description), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if len(all) != 1 || all[0].Name != "b" || err == nil || !strings.Contains(err.Error(), "gosv rm a") {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.Remove("a"); err != nil {
		t.Error(err)
	}
}

// Whatever else lies among the VMs hides none, and can be removed.
func TestJunk(t *testing.T) {
	s := open(t)
	start(t, "a").end()
	for _, err := range []error{
		os.WriteFile(s.path("file"), nil, 0o600),
		os.MkdirAll(s.path("directory", description), 0o700),
		os.MkdirAll(s.path("locked", lock), 0o700),
		os.Symlink("nowhere", s.path("link")),
		os.MkdirAll(s.path("lost"), 0o700),
		os.Symlink("/nowhere/lock", s.path("lost", lock)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	Sweep()
	all, err := s.List()
	if len(all) != 1 || all[0].Name != "a" || err == nil || !strings.Contains(err.Error(), "gosv rm directory") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, %v", all, err)
	}
	for _, name := range []string{"file", "directory", "locked", "link", "lost"} {
		if _, err := s.Get(name); err == nil {
			t.Errorf("%s is a VM", name)
		}
		if err := s.Remove(name); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(s.path("")); err != nil || len(left) != 1 {
		t.Errorf("%v is left (%v)", left, err)
	}
}

// A relative $XDG_STATE_HOME is none.
func TestRelativePlace(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "here")
	if s, err := place(); err != nil || s.dir != filepath.Join(home, ".local", "state", "gosv") {
		t.Errorf("%+v, %v", s, err)
	}
}

// What a killed gosv build has left goes, what another one is making stays.
func TestHalfImages(t *testing.T) {
	s := open(t)
	path, err := s.ImagePath("app")
	if err != nil {
		t.Fatal(err)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprintf("%s.%d.tmp", path, gone.Process.Pid)
	for _, name := range []string{path, Half(path), left} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Sweep()
	for name, stays := range map[string]bool{path: true, Half(path): true, left: false} {
		if _, err := os.Stat(name); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

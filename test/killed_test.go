package test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// processes are the command lines of this machine's processes that have marker
// in them.
func processes(t *testing.T, marker string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(marker)) {
			all = append(all, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return all
}

// TestKilledGosv: gosv ended by SIGKILL at any moment leaves no process, no open
// port, and after the next command no file.
func TestKilledGosv(t *testing.T) {
	t.Parallel()
	times := 5
	if *stress {
		times = 100
	}
	const marker = "name-of-vms-to-be-killed"
	tmp := t.TempDir()
	env := append(os.Environ(), "TMPDIR="+tmp, "XDG_STATE_HOME="+t.TempDir())
	img := filepath.Join(t.TempDir(), "httpd.img")
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	port := freePort(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	argv := append([]string{"run", "--name", marker, "-p", fmt.Sprintf("%d:80", port)}, microvm...)
	for i := range times {
		cmd := exec.Command(gosv, append(argv, img)...)
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		eventually(t, func() error { // a process takes a moment to die
			if left := processes(t, marker); left != nil {
				return fmt.Errorf("seed %d, time %d: %v is left", seed, i, left)
			}
			return nil
		})
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatalf("seed %d, time %d: %v", seed, i, err)
		}
		l.Close()
		command(t, nil, "", env, gosv, "ps")
		left, err := filepath.Glob(filepath.Join(tmp, "gosv-run-*"))
		if err == nil && left != nil {
			err = errors.New("there are files")
		}
		if err != nil {
			t.Fatalf("seed %d, time %d: %v %v", seed, i, left, err)
		}
	}
}

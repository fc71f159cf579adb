package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gosv/internal/vmm"
)

// processes are the ids and command lines of this machine's processes that have marker
// in them.
func processes(t *testing.T, marker string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(marker)) {
			all = append(all, filepath.Base(filepath.Dir(f))+" "+strings.ReplaceAll(string(b), "\x00", " "))
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
	tmp := t.TempDir()
	marker := filepath.Dir(tmp) // of this test
	home := t.TempDir()
	env := append(os.Environ(), "TMPDIR="+tmp, "XDG_STATE_HOME="+home)
	img := filepath.Join(t.TempDir(), "httpd.img")
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	port := freePort(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	argv := append([]string{"run", "-p", fmt.Sprintf("%d:80", port)}, microvm...)
	for i := range times {
		argv := argv[:len(argv):len(argv)]
		if i%2 == 0 {
			argv = append(argv, "--name", "box")
		}
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
		for _, pattern := range []string{filepath.Join(tmp, "gosv-run-*"), filepath.Join(home, "gosv", "vms", "*")} {
			if left, err := filepath.Glob(pattern); err != nil || left != nil {
				t.Fatalf("seed %d, time %d: %v is left (%v)", seed, i, left, err)
			}
		}
	}
}

// TestKilledOnFirecracker: the same there, where the network is more than a port: a TAP device
// of gosv's own in a namespace, or one of the user's, which is to stay as it is.
func TestKilledOnFirecracker(t *testing.T) {
	t.Parallel()
	times, seconds := 3, 120
	if *stress {
		times, seconds = 100, 1500
	}
	b := newBox(t, "firecracker")
	img := filepath.Join(t.TempDir(), "httpd.img")
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	web, hello := b.add(img), b.add(cProgram(t, musl, "hello"))
	run := vmm.Quote(append([]string{"/box/gosv", "run", "--name", "web"}, firecracker...))
	out := b.run(t, seconds, fmt.Sprintf(`export HOME=/home
mkdir -p /home; touch /tmp/log
tunctl -t tap0 >/dev/null && ip addr add 172.16.0.1/24 dev tap0 && ip link set tap0 up || exit 1
everything() { ls /tmp /home/.local/state/gosv/vms; netstat -lntux | grep -v '^Active\|^Proto'; ip -o link | cut -d ' ' -f 1,2; ip route; mount; ls /run; }
/box/gosv ps >/dev/null; everything >/before
for way in '-p 8080:80' '--net tap=tap0,gw=172.16.0.1,ip=172.16.0.2/24'; do
	reached=0
	for i in $(seq %d); do
		ms=$(( (RANDOM * 32768 + RANDOM) %% 3000 ))
		%s $way %s >/tmp/log 2>&1 & gosv=$!
		usleep ${ms}000; grep -q listening /tmp/log && reached=$((reached+1))
		kill -9 $gosv; wait $gosv 2>/dev/null
		for j in $(seq 500); do ps | grep -q '[f]irecracker' || break; usleep 10000; done
		ps | grep '[f]irecracker'
		/box/gosv ps >/tmp/log; everything >/after; cmp /before /after || { echo "after $ms ms, $way:"; diff /before /after; }
	done
	%s $way %s 2>&1 </dev/null
	echo "$reached of them served when they were killed"
done
exit 0
`, times, run, web, run, hello))
	served := regexp.MustCompile(`(\d+) of them served when they were killed\n`)
	t.Logf("%d times by each way, user-mode network and TAP: %q", times, served.FindAllString(out, -1))
	if out, want := served.ReplaceAllString(out, ""), strings.Repeat("hello, world\n", 2); out != want {
		t.Errorf("%s\nwant %s", out, want)
	}
}

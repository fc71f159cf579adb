package test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// givenPorts are those that freePort has returned.
var givenPorts sync.Map

// freePort is a port of this machine that nobody uses, by TCP or by UDP, and nobody gets before the caller uses it: it is below those that
// Linux itself chooses (ip_local_port_range, 32768 and on), and no other test's.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		at := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", at)
		if err != nil {
			continue
		}
		l.Close()
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			continue
		}
		u.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// zeros are n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// eventually calls f until it succeeds.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	for end := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestWebServer: the example, reached from here through a port of ours.
func TestWebServer(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	vm, call := background(t, []string{"-p", fmt.Sprintf("%d:80", port), "--console", "hvc0"}, "../examples/httpd")
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	// QEMU's network refuses for the guest until it listens.
	var greeting []byte
	eventually(t, func() error {
		r, err := http.Get(url)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		greeting, err = io.ReadAll(r.Body)
		return err
	})
	if string(greeting) != "Hello from "+vm+"\n" {
		t.Errorf("%q", greeting)
	}
	const n = 2_000_000
	r, err := http.Get(fmt.Sprintf("%s/bytes/%d", url, n))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, r.Body)
	r.Body.Close()
	if err != nil || got != n {
		t.Errorf("%d bytes of %d came: %v", got, n, err)
	}
	if r, err = http.Post(url+"/count", "text/plain", zeros(n)); err != nil {
		t.Fatal(err)
	}
	counted, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(counted) != fmt.Sprintln(n) {
		t.Errorf("%q came there: %v", counted, err)
	}
	if r := call("netstat", vm); !strings.Contains(r.stdout, "[::]:80") || !strings.Contains(r.stdout, "LISTEN") {
		t.Errorf("%+v", r)
	}
	if r := call("logs", vm); !strings.Contains(r.stdout, "listening at :80") {
		t.Errorf("%+v", r)
	}
	expect(t, call("stop", vm), vm+"\n")
	if _, err := http.Get(url); err == nil {
		t.Error("its port is still open")
	}
}

// TestUnprivileged: who is not root has the same on Firecracker, by a user namespace, and is told
// what is missing for that; a killed gosv leaves nothing.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	img := t.TempDir() + "/httpd.img"
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	web, hello := b.add(img), b.add(cProgram(t, musl, "hello"))
	out := b.run(t, 150, strings.Join([]string{
		"mkdir -p /home/user; chown 1000:1000 /home/user; chmod 1777 /tmp; echo user:x:1000:1000::/home/user:/bin/sh >>/etc/passwd",
		"cat >/box/inside <<'END'",
		"export HOME=/home/user; cd; exec 2>&1",
		"run='/box/gosv run --vmm firecracker --firecracker-cpu-config /box/cpu.json'",
		"fetch() { for i in $(seq 100); do wget -q -O - http://127.0.0.1:8080/ 2>/dev/null && break; usleep 100000; done; }",
		"case $1 in",
		"all)",
		"	$run -p 80:80 " + hello,
		"	$run -p 8080:80 " + web + " >/dev/null 2>&1 & gosv=$!; fetch; /box/gosv ps | tail -n 1 | cut -c 1-6",
		"	kill -TERM $gosv; wait $gosv; echo ended $?",
		"	$run -p 8080:80 " + web + " >/dev/null 2>&1 & gosv=$!; fetch; kill -9 $gosv; wait $gosv 2>/dev/null; usleep 500000",
		"	ps | grep '[f]irecracker'; /box/gosv ps; ls /tmp $HOME/.local/state/gosv/vms;;",
		"*) $run -p 8080:80 " + hello + "; echo $?;;",
		"esac",
		"END",
		"inside() { su -s /bin/sh user -c \"sh /box/inside $1\"; }",
		"chmod 600 /dev/kvm /dev/net/tun; inside kvm",
		"chmod 666 /dev/kvm; inside tun",
		"chmod 666 /dev/net/tun; inside all",
		"echo 0 >/proc/sys/user/max_user_namespaces; inside namespaces",
		"exit 0",
	}, "\n"))
	want := `gosv: no access to /dev/kvm: add yourself to its group (usermod -aG kvm $USER, and log in again)
125
gosv: user-mode network: /dev/net/tun: permission denied (it is usually everybody's: chmod 666 /dev/net/tun)
125
gosv: -p: port 127.0.0.1:80 of the host cannot be had: bind: permission denied (below net.ipv4.ip_unprivileged_port_start, 1024 if nobody has set that, ports are root's)
Hello from gosv
httpd-
ended 143
Hello from gosv
NAME   PROGRAM   VMM   STATUS   PORTS
/home/user/.local/state/gosv/vms:

/tmp:
gosv: user-mode network: a namespace for it: no space left on device: there are no more to be had: sysctl user.max_user_namespaces and user.max_net_namespaces
125
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// TestWebServerFirecracker: the same on Firecracker, whose network is gosv's own.
func TestWebServerFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	img := t.TempDir() + "/httpd.img"
	expect(t, command(t, nil, "", nil, gosv, "build", "-o", img, "../examples/httpd"), "")
	out := b.run(t, 150, strings.Join([]string{
		"cd /box; export HOME=/tmp",
		"./gosv run -d --name web --vmm firecracker --firecracker-cpu-config /box/cpu.json -p 8080:80 " + b.add(img),
		"busybox wget -q -O - http://127.0.0.1:8080/",
		"busybox wget -q -O - http://127.0.0.1:8080/bytes/300000 | wc -c",
		"./gosv netstat web | grep -c LISTEN",
		"(for i in $(seq 60); do sleep 1; busybox wget -q -O /dev/null http://127.0.0.1:8080/; done) & ./gosv tcpdump -c 1 web src port 80 2>/dev/null | sed 's/.* IP //; s/2[.]2[.][0-9]*/2.2.X/; s/, .*//'",
		"kill $!; ./gosv stop web; ./gosv ps; ip link | grep -c tap; exit 0",
	}, "\n"))
	if want := "web\nHello from gosv\n300000\n1\n10.0.2.15.80 > 10.0.2.2.X: Flags [S.]\nweb\nNAME   PROGRAM   VMM   STATUS   PORTS\n0\n"; !strings.Contains(strings.ReplaceAll(out, "\r", ""), want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// freePort is a port of this machine that nobody uses now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
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

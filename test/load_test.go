package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gosv/internal/vmm"
)

// A server is programs/serve in a VM.
type server struct {
	t    *testing.T
	call func(args ...string) result
	port map[int]int // here, by the VM's
}

func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	return startServerWith(t, nil, flags...)
}

// startServerWith is startServer with more in gosv's own environment.
func startServerWith(t *testing.T, env []string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, port: map[int]int{}}
	for p := 80; p <= 85; p++ {
		s.port[p] = freePort(t)
		kind := ""
		if p == 83 || p == 84 {
			kind = "/udp"
		}
		flags = append(flags, "-p", fmt.Sprintf("%d:%d%s", s.port[p], p, kind))
	}
	s.call = inBackgroundWith(t, env, microvm, flags, goProgram(t, "test/programs/serve")).call
	eventually(t, s.answers)
	return s
}

func (s *server) dial(network string, port int) net.Conn {
	s.t.Helper()
	c, err := net.Dial(network, fmt.Sprintf("127.0.0.1:%d", s.port[port]))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *server) url(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", s.port[80], path)
}

// answers says whether it answers a request by a connection of its own.
func (s *server) answers() error {
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(s.url("/"))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "hello\n" {
		return fmt.Errorf("%q, %v", b, err)
	}
	return nil
}

// check is that it still answers, by TCP and by UDP, when things are as said.
func (s *server) check(when string) {
	s.t.Helper()
	if err := s.answers(); err != nil {
		s.t.Fatalf("%s: %v; it says %+v", when, err, s.call("logs", "vm"))
	}
	c := s.dial("udp", 84)
	defer c.Close()
	buf := make([]byte, 100)
	for range 100 { // datagrams get lost
		c.Write([]byte("ping"))
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(buf); err == nil && string(buf[:n]) == "ping" {
			return
		}
	}
	s.t.Fatalf("%s: no answer to a datagram", when)
}

// kernelMemory is what the kernel takes, in bytes.
func (s *server) kernelMemory() int {
	s.t.Helper()
	r := s.call("cat", "vm", "/proc/gosv/memory")
	m := regexp.MustCompile(`kernel_total (\d+)`).FindStringSubmatch(r.stdout)
	if m == nil {
		s.t.Fatal(r)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// connections are how many the VM has, in whatever state.
func (s *server) connections() int {
	s.t.Helper()
	r := s.call("netstat", "vm")
	if r.code != 0 || !strings.Contains(r.stdout, "LISTEN") {
		s.t.Fatal(r)
	}
	n := 0
	for line := range strings.Lines(r.stdout) {
		if strings.HasPrefix(line, "tcp") && !strings.Contains(line, "LISTEN") {
			n++
		}
	}
	return n
}

// TestFloods: peers that do not read, whose data the program does not read, who send
// packets that nobody reads, and who are slow, all at once: the VM's memory is not
// enough for them, but it lives, and answers others.
func TestFloods(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-m", "48")
	const many = 200
	var open []net.Conn
	connect := func(port int) net.Conn {
		c := s.dial("tcp", port)
		open = append(open, c)
		return c
	}
	for range many {
		c := connect(81)
		go c.Write(make([]byte, 1<<20))
	}
	s.check("data that the program does not read")
	for range many {
		connect(82).(*net.TCPConn).SetReadBuffer(4096)
	}
	s.check("data that the peers do not read")
	u := s.dial("udp", 83)
	for i := range 50_000 {
		u.Write(make([]byte, i%2))
	}
	u.Close()
	s.check("datagrams that the program does not read")
	for range many {
		io.WriteString(connect(80), "GET / HTTP/1.1\r\nHost: ")
	}
	s.check("slow clients")
	for _, c := range open {
		c.Close()
	}
	s.check("after all")
	if r := s.call("logs", "vm"); r.stdout+r.stderr != "" {
		t.Errorf("%+v", r)
	}
}

// TestFull: a server that has taken nearly all memory itself gets more connections than there is memory for, and when
// these have gone it still answers.
func TestFull(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	_, call := background(t, []string{"-m", "32", "-p", fmt.Sprintf("%d:85", port)}, cProgram(t, glibc, "full"), "4000")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	echo := func() error {
		c := dial()
		defer c.Close()
		c.SetDeadline(time.Now().Add(bound))
		io.WriteString(c, "hello")
		var got [5]byte
		if _, err := io.ReadFull(c, got[:]); err != nil {
			return err
		}
		return nil
	}
	eventually(t, echo)
	open := make([]net.Conn, 600)
	for i := range open {
		open[i] = dial()
		open[i].Write(make([]byte, 500))
	}
	for _, c := range open {
		c.Close()
	}
	if err := echo(); err != nil {
		t.Errorf("%v; it says %+v", err, call("logs", "vm"))
	}
}

// TestFloodsFirecracker: SYNs from everywhere and malformed frames, by a wire of its own: the VM has as much memory
// as an idle server needs, and answers others meanwhile and afterwards.
func TestFloodsFirecracker(t *testing.T) {
	t.Parallel()
	if !*stress {
		t.Skip("SKIPPED: it takes minutes: make stress runs it")
	}
	b := newBox(t, "firecracker")
	out := b.run(t, 900, fmt.Sprintf(`export HOME=/tmp
tunctl -t tap0 >/dev/null && ip addr add 172.16.0.1/24 dev tap0 && ip link set tap0 up || exit 1
/box/gosv run -d --name vm -m 24 --net tap=tap0,gw=172.16.0.1,ip=172.16.0.2/24 %s %s
ask() { wget -q -O - http://172.16.0.2/; }
until ask >/dev/null 2>&1; do usleep 100000; done
mac=$(sed -n 's/^172.16.0.2 .* \(..:..:..:..:..:..\) .*/\1/p' /proc/net/arp)
%s tap0 $mac 172.16.0.2 20000 & flood=$!
while kill -0 $flood 2>/dev/null; do [ "$(ask)" = hello ] || echo no answer; usleep 500000; done
ask
/box/gosv logs vm
exit 0
`, vmm.Quote(firecracker), b.add(goProgram(t, "test/programs/serve")), b.add(cProgram(t, glibc, "flood"))))
	if want := "vm\nsent\nhello\n"; out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// TestTransfer: what is sent comes, both ways.
func TestTransfer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const size = 64 << 20
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	r, err := http.Post(s.url("/up"), "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	r.Body.Close()
	if want := fmt.Sprintf("%d %x <nil>\n", size, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))); err != nil || string(got) != want {
		t.Errorf("it has got %q (%v), not %q", got, err, want)
	}
	if r, err = http.Get(s.url(fmt.Sprintf("/down/%d", size))); err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got, err = io.ReadAll(r.Body); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came: %v", len(got), err)
	}
}

// gigabyte is a shell script that has a server send SIZE bytes and take as many others. Their SHA-256 is to
// be data's, and the others' as it was sent and as it came the same.
const gigabyte = `set -e
dir=$(mktemp -d)
curl -sS $URL/down/$SIZE | sha256sum
mkfifo $dir/copy
sha256sum <$dir/copy & sum=$!
head -c $SIZE /dev/urandom | tee $dir/copy | curl -sS -T - -X POST $URL/sum
wait $sum
rm -r $dir
`

// checkGigabyte looks at what it has printed.
func checkGigabyte(t *testing.T, out string, size int64) {
	t.Helper()
	down := sha256.New()
	io.CopyN(down, rand.NewChaCha8([32]byte{}), size)
	if m := regexp.MustCompile(`^([0-9a-f]{64})  -\n([0-9a-f]{64})  -\n([0-9a-f]{64})  -\n$`).FindStringSubmatch(out); m == nil || m[2] != m[3] {
		t.Errorf("the checksums are\n%s", out)
	} else if want := fmt.Sprintf("%x", down.Sum(nil)); m[1] != want {
		t.Errorf("the checksum of what it sends is %s, not %s", m[1], want)
	}
}

// TestGigabyte: a gigabyte each way, with equal checksums; an eighth of it in the box, which is slow.
func TestGigabyte(t *testing.T) {
	t.Parallel()
	if !*stress {
		t.Skip("SKIPPED: it takes minutes: make stress runs it")
	}
	const size, boxSize = 1 << 30, 128 << 20
	t.Run("QEMU", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-m", "32", "--timeout", "20m")
		r := commandWithin(t, 20*time.Minute, nil, "", append(os.Environ(), "URL="+s.url(""), fmt.Sprintf("SIZE=%d", size)), "sh", "-c", gigabyte)
		checkGigabyte(t, r.stdout+r.stderr, size)
	})
	t.Run("Firecracker", func(t *testing.T) {
		t.Parallel()
		b := newBox(t, "firecracker")
		b.files = append(b.files, "/usr/bin/curl")
		out := b.run(t, 1500, fmt.Sprintf("export HOME=/tmp URL=http://127.0.0.1:8080 SIZE=%d\n/box/gosv run -d --name vm -m 32 -p 8080:80 %s %s\n", boxSize, vmm.Quote(firecracker), b.add(goProgram(t, "test/programs/serve")))+gigabyte)
		checkGigabyte(t, strings.TrimPrefix(out, "vm\n"), boxSize)
	})
}

// TestEcho: with the buffers of both ends full in both directions, as soon as one reads all
// goes on.
func TestEcho(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const size = 5 << 20
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	for i := range 6 {
		c := s.dial("tcp", 85)
		c.SetDeadline(time.Now().Add(bound))
		go func() {
			c.Write(data)
			c.(*net.TCPConn).CloseWrite()
		}()
		time.Sleep(time.Duration(i) * 20 * time.Millisecond)
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back: %v", len(got), err)
		}
		c.Close()
	}
}

// TestManyConnections: two thousand at once, each of which works.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const many = 2000
	open := make([]net.Conn, many)
	for i := range open {
		open[i] = s.dial("tcp", 85)
		fmt.Fprintf(open[i], "%9d\n", i)
	}
	for i, c := range open {
		var got [10]byte
		c.SetReadDeadline(time.Now().Add(bound))
		if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != fmt.Sprintf("%9d\n", i) {
			t.Fatalf("connection %d: %q, %v; it says %+v", i, got, err, s.call("logs", "vm"))
		}
	}
	s.check("besides the others")
	for _, c := range open {
		c.Close()
	}
	eventually(t, func() error {
		if n := s.connections(); n > 10 { // of check
			return fmt.Errorf("%d connections are left", n)
		}
		return nil
	})
}

// TestTenThousand: so many connections at once, each of which is answered when all are open.
func TestTenThousand(t *testing.T) {
	t.Parallel()
	if !*stress {
		t.Skip("SKIPPED: it takes minutes: make stress runs it")
	}
	const memory = "384" // MiB, of which net/http takes 230 and the kernel 70
	const answered = "web together "
	t.Run("QEMU", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-m", memory, "--timeout", "20m")
		r := commandWithin(t, 15*time.Minute, nil, "", nil, goProgram(t, "bench/ask"), s.url(""), "together", "10000")
		if r.code != 0 || !strings.HasPrefix(r.stdout, answered) {
			t.Error(r)
		}
		s.check("after all")
	})
	t.Run("Firecracker", func(t *testing.T) {
		t.Parallel()
		b := newBox(t, "firecracker")
		b.memory = 3000
		out := b.run(t, 1200, fmt.Sprintf(`export HOME=/tmp
ulimit -n 30000
tunctl -t tap0 >/dev/null && ip addr add 172.16.0.1/24 dev tap0 && ip link set tap0 up || exit 1
/box/gosv run -d -m %s --net tap=tap0,gw=172.16.0.1,ip=172.16.0.2/24 %s %s
%s http://172.16.0.2 first 1 together 10000
exit 0
`, memory, vmm.Quote(firecracker), b.add(goProgram(t, "test/programs/serve")), b.add(goProgram(t, "bench/ask"))))
		if !strings.Contains(out, answered) {
			t.Error(out)
		}
	})
}

// resident is how much memory of the host's the gosv takes that runs the server.
func (s *server) resident() int {
	s.t.Helper()
	for _, p := range processes(s.t, fmt.Sprintf("%d:80", s.port[80])) {
		pid, _, _ := strings.Cut(p, " ")
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if m := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindSubmatch(status); err == nil && m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			return n << 10
		}
	}
	s.t.Fatal("no gosv")
	return 0
}

// TestLoad: requests and connections leave nothing behind, nor do those who send half a request, nothing,
// or read nothing.
func TestLoad(t *testing.T) {
	t.Parallel()
	kept, alone := 500, 100
	if *stress {
		kept, alone = 25_000, 25_000
	}
	// With more memory the collectors let more garbage lie, in the VM and in gosv.
	s := startServerWith(t, []string{"GOGC=10"}, "-m", "32", "--timeout", "1h")
	// Who closes a connection first has to remember it for a while: that is us here.
	requests := func(count int) error {
		client := http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for range count {
			r, err := client.Get(s.url("/"))
			if err != nil {
				return err
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return nil
	}
	load := func() {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				err := requests(kept)
				for i := 0; i < alone && err == nil; i++ {
					err = requests(1)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		for range 25 {
			for port, what := range map[int]string{80: "GET / HTTP/1.1\r\nHost: ", 82: "", 85: "what comes back"} {
				c := s.dial("tcp", port)
				defer c.Close()
				io.WriteString(c, what)
			}
		}
		all.Wait()
	}
	if err := requests(kept); err != nil {
		t.Fatal(err)
	}
	host := s.resident()
	load()
	before := s.kernelMemory()
	load()
	load()
	const noise = 4 << 20 // garbage, which is not collected before there are as many bytes of it
	if after := s.kernelMemory(); after > before+noise {
		t.Errorf("the kernel takes %d bytes, and after twice the load %d", before, after)
	}
	eventually(t, func() error { // it has had many megabytes for those who did not read, and collects them when it needs some more
		after := s.resident()
		if after <= host+4*noise {
			return nil
		}
		err := fmt.Errorf("gosv takes %d bytes, and after the load %d", host, after)
		for range 50 {
			err = errors.Join(err, requests(1))
		}
		return err
	})
	eventually(t, func() error {
		if n := s.connections(); n > 4 { // of what came before
			return fmt.Errorf("%d connections are left", n)
		}
		return nil
	})
}

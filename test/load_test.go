package test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A server is programs/serve in a VM.
type server struct {
	t    *testing.T
	call func(args ...string) result
	port map[int]int // here, by the VM's
}

func startServer(t *testing.T, flags ...string) *server {
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
	_, s.call = background(t, flags, goProgram(t, "test/programs/serve"))
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
		c.SetReadDeadline(time.Now().Add(bound / 100))
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

// TestLoad: requests and connections leave nothing behind.
func TestLoad(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-m", "32") // with more, the collector lets more garbage lie
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
				err := requests(500)
				for i := 0; i < 100 && err == nil; i++ {
					err = requests(1)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	load()
	before := s.kernelMemory()
	load()
	load()
	const noise = 4 << 20 // garbage, which is not collected before there are as many bytes of it
	if after := s.kernelMemory(); after > before+noise {
		t.Errorf("the kernel takes %d bytes, and after twice the load %d", before, after)
	}
	eventually(t, func() error {
		if n := s.connections(); n > 4 { // of what came before
			return fmt.Errorf("%d connections are left", n)
		}
		return nil
	})
}

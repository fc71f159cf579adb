package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gosv/internal/vmm"
)

// withNetwork is the kernel with a network, for machines whose network device gosv
// does not know of.
func withNetwork(m machine) machine {
	return append(m[:len(m):len(m)], "--kernel", filepath.Join(root, "internal", "image", "kernels", "gosv-net.elf"))
}

// wire is the other end of a network device of QEMU's: a datagram is a frame.
type wire struct {
	t    *testing.T
	conn *net.UnixConn
	vm   string
}

// newWire returns a wire, and QEMU's flags for a netdev "wire" at its end.
func newWire(t *testing.T) (*wire, machine) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire") // without commas, and short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "vm")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: here, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t, c, there}, machine{"--vmm-arg=-netdev",
		"--vmm-arg=dgram,id=wire,local.type=unix,local.path=" + there + ",remote.type=unix,remote.path=" + here}
}

const (
	ethernetHeader = 14
	experiments    = 0x88b5 // the protocol of programs/c/frames.c
)

// next returns the next frame of frames.c; the machine's own business passes by.
func (w *wire) next() []byte {
	buf := make([]byte, 70000)
	w.conn.SetReadDeadline(time.Now().Add(bound))
	for {
		n, err := w.conn.Read(buf)
		if err != nil {
			w.t.Error(err)
			return nil
		}
		if n >= ethernetHeader && binary.BigEndian.Uint16(buf[12:]) == experiments {
			return buf[:n]
		}
	}
}

func (w *wire) send(frame []byte) {
	if _, err := w.conn.WriteTo(frame, &net.UnixAddr{Name: w.vm, Net: "unixgram"}); err != nil {
		w.t.Error(err)
	}
}

// talk exchanges frames with frames.c.
func (w *wire) talk() {
	const rounds, ahead, largest = 100, 8, 1514
	hello := w.next()
	if hello == nil {
		return
	}
	if string(bytes.TrimRight(hello[ethernetHeader:], "\x00")) != "hello" || !bytes.Equal(hello[:6], []byte{255, 255, 255, 255, 255, 255}) {
		w.t.Errorf("the first frame is %x", hello)
	}
	r := rand.New(rand.NewSource(1))
	var sent [][]byte
	for i := range rounds + ahead {
		if i < rounds {
			f := make([]byte, 60+r.Intn(largest-59))
			r.Read(f[ethernetHeader:])
			copy(f, hello[6:12])
			copy(f[6:], "\x02to vm\x88\xb5")
			w.send(f)
			sent = append(sent, f)
		}
		if i < ahead {
			continue
		}
		want := sent[i-ahead]
		copy(want, want[6:12])
		copy(want[6:], hello[6:12])
		for k := range want[ethernetHeader:] {
			want[ethernetHeader+k] ^= 0xff
		}
		got := w.next()
		if got == nil {
			return
		}
		if !bytes.Equal(got, want) {
			w.t.Errorf("answer %d has %d bytes, not %d, or others", i-ahead, len(got), len(want))
		}
	}
	end := append(bytes.Clone(hello[6:12]), "\x02to vm\x88\xb5end"...)
	w.send(append(end, make([]byte, 60-len(end))...))
}

// TestNet: frames of all sizes to and fro, on every transport, with all that the device
// can, without large frames' buffers, and with nothing of it.
func TestNet(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "frames")
	features := [][]string{
		nil,
		{"mrg_rxbuf=off"},
		{"mrg_rxbuf=off", "csum=off", "guest_csum=off", "status=off", "event_idx=off", "indirect_desc=off", "host_mtu=1400"},
	}
	eachTransport(t, func(t *testing.T, tr *transport, cpus string) {
		for i, with := range features {
			w, flags := newWire(t)
			m := append(withNetwork(tr.with("net", append(with[:len(with):len(with)], "netdev=wire", "mac=02:00:00:00:00:07")...)), flags...)
			talked := make(chan struct{})
			go func() {
				w.talk()
				close(talked)
			}()
			mtu := []int{1500, 1500, 1400}[i]
			expect(t, run(t, append(m, "-c", cpus), options{}, prog), fmt.Sprintf("index 2, type 1, address 02:00:00:00:00:07, MTU %d, flags 0x1043\nover\n", mtu))
			w.conn.Close()
			<-talked
		}
	})
}

// TestNetLink: a cable is pulled out, and put in again.
func TestNetLink(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "linkstate")
	for i, tr := range transports {
		if i != 0 && tr.name != "legacy mmio" && tr.name != "q35, modern" {
			continue // the way to a change of the configuration is an interrupt's, which others test
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			_, flags := newWire(t)
			dir, err := os.MkdirTemp("", "monitor")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			l, err := net.Listen("unix", filepath.Join(dir, "monitor"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			m := append(withNetwork(tr.with("net", "netdev=wire", "id=nic")), flags...)
			m = append(m, "--vmm-arg=-chardev", "--vmm-arg=socket,id=monitor,path="+l.Addr().String(), "--vmm-arg=-mon", "--vmm-arg=monitor")
			go func() { // off and on again, until the program has seen it and ends
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				go io.Copy(io.Discard, c)
				for i := 0; err == nil; i++ {
					_, err = fmt.Fprintf(c, "set_link nic %s\n", []string{"off", "on"}[i%2])
					time.Sleep(200 * time.Millisecond)
				}
			}()
			expect(t, run(t, m, options{}, prog), "in\nout\nin\n")
		})
	}
}

// TestNetAdmin: a program changes addresses, routes, neighbors and devices, and hears of it.
func TestNetAdmin(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can make a TAP device and become somebody else")
	}
	same(t, options{flags: []string{"--net", "user"}}, cProgram(t, glibc, "netadmin"))
}

// TestIPv6: a server's clients over IPv6 are Linux's, at a TAP device in a network namespace; a megabyte comes and goes.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can make a TAP device")
	}
	busybox := busybox(t)
	server := vmm.Quote([]string{gosv, "run", "--timeout", bound.String(), "--net", "tap=tap0,ip=fd00::2/64", goProgram(t, "test/programs/serve")})
	script := "set -e; ip() { " + busybox + ` ip "$@"; }
` + busybox + ` tunctl -t tap0 >/dev/null
echo 0 >/proc/sys/net/ipv6/conf/tap0/accept_dad
ip addr add fd00::1/64 dev tap0
ip link set tap0 up
` + server + ` & vm=$!
get() { curl -sgf --max-time 60 "$@"; }
for i in $(seq 500); do get http://[fd00::2]/ && break; sleep 0.2; done
for i in 1 2 3; do get http://[fd00::2]/ http://[fd00::2]/; done
get http://[fd00::2]/down/1000000 | wc -c
head -c 1000000 /dev/zero | get --data-binary @- http://[fd00::2]/up
kill $vm
wait $vm || true
`
	want := strings.Repeat("hello\n", 7) + "1000000\n" + fmt.Sprintf("1000000 %x <nil>\n", crc32.Checksum(make([]byte, 1000000), crc32.MakeTable(crc32.Castagnoli)))
	if got := onHost(t, "unshare", "-n", "sh", "-c", script); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestNetFirecracker: a TAP device, by MMIO and by PCI; over IPv6, too.
func TestNetFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	run := vmm.Quote(append([]string{"/box/gosv", "run", "--timeout", "60s", "--net", "tap=tap0,gw=172.16.0.1,ip=172.16.0.2/24,ip=fd00::2/64"}, firecracker...))
	script := `
tunctl -t tap0 >/dev/null && ip addr add 172.16.0.1/24 dev tap0 || exit 1
echo 0 >/proc/sys/net/ipv6/conf/tap0/accept_dad; ip addr add fd00::1/64 dev tap0 && ip link set tap0 up || exit 1
mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=9k count=1 2>/dev/null; httpd -h /tmp/www
`
	want := ""
	for _, kind := range []string{"-c 1", "-c 4 --vmm-arg=--enable-pci"} {
		script += "echo " + kind + "\n" +
			// A ping whose second is over while it prints its last line does so again, in a signal's handler.
			run + " " + kind + " /bin/busybox ping -c 3 172.16.0.1 </dev/null 2>&1 | grep received | uniq\n" +
			run + " " + kind + " /bin/busybox wget -q -O - http://172.16.0.1/file </dev/null >/tmp/got; cmp /tmp/got /tmp/www/file && echo same\n" +
			run + " " + kind + " /bin/busybox wget -q -O - http://[fd00::1]/file </dev/null >/tmp/got; cmp /tmp/got /tmp/www/file && echo the same by IPv6\n"
		want += kind + "\n3 packets transmitted, 3 packets received, 0% packet loss\nsame\nthe same by IPv6\n"
	}
	if got := b.run(t, 150, script+"exit 0\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

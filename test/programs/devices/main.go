// Devices is the host's side of test/programs/c/devices.c, which moves data by a virtio
// device of each kind: it runs that in a virtual machine of QEMU's, to write, looks for what
// has come, and runs another one that reads it.
//
//	devices [-bus device|pci] [-options LIST] [-kinds LIST] GOSV PROGRAM GOSV-RUN-FLAG...
//
// It prints the kinds for which all three have the same bytes, and to the standard error
// what the first machine says there.
package main

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

func main() {
	h := &host{}
	flag.StringVar(&h.bus, "bus", "device", "what devices are at: device, or pci")
	flag.StringVar(&h.options, "options", "", "of each device")
	kinds := flag.String("kinds", "blk,scsi,net,rng,console,vsock", "of devices")
	flag.Parse()
	if err := h.run(strings.Split(*kinds, ","), flag.Args()); err != nil {
		fmt.Println("devices:", err)
		os.Exit(1)
	}
}

// A host has what the machine's devices lead to.
type host struct {
	bus, options string
	dir          string
	argv         []string    // of QEMU
	reading      atomic.Bool // the second machine runs
}

// has says whether the host has what a machine says that it moved.
type has func(said string) bool

var setups = map[string]func(*host) (has, error){
	"blk": (*host).blk, "scsi": (*host).scsi, "net": (*host).net, "rng": (*host).rng, "console": (*host).console, "vsock": (*host).vsock,
}

func (h *host) run(kinds, args []string) (err error) {
	if len(args) < 2 {
		return fmt.Errorf("no gosv, or no program")
	}
	if h.dir, err = os.MkdirTemp("", "devices"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	var parts []has
	for _, k := range kinds {
		setup := setups[k]
		if setup == nil {
			return fmt.Errorf("%s: no such kind", k)
		}
		has, err := setup(h)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		parts = append(parts, has)
	}
	for _, mode := range [][]string{{"write", "7"}, {"read", "0"}} {
		h.reading.Store(mode[0] == "read")
		argv := append([]string{"run", "--verbose", "--timeout", "2m"}, args[2:]...)
		for _, a := range h.argv {
			argv = append(argv, "--vmm-arg="+a)
		}
		cmd := exec.Command(args[0], append(append(append(argv, args[1]), mode...), kinds...)...)
		var said, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &log
		err := cmd.Run()
		if mode[0] == "write" || err != nil {
			os.Stderr.Write(log.Bytes())
		}
		if err != nil {
			return fmt.Errorf("%s: %w; %s", mode[0], err, said.Bytes())
		}
		lines := strings.Split(said.String(), "\n")
		for i, has := range parts {
			if i >= len(lines) || !strings.HasPrefix(lines[i], kinds[i]+" ") || !has(lines[i][len(kinds[i])+1:]) {
				return fmt.Errorf("%s: %s: the host has something else than the machine says: %q", mode[0], kinds[i], lines)
			}
		}
	}
	fmt.Println(strings.Join(kinds, " "))
	return nil
}

// device adds a virtio device to the machine.
func (h *host) device(kind string, options ...string) {
	options = append([]string{kind + "-" + h.bus}, options...)
	if h.options != "" {
		options = append(options, h.options)
	}
	h.add("-device", strings.Join(options, ","))
}

func (h *host) add(argv ...string) { h.argv = append(h.argv, argv...) }

// The sums of devices.c.

func sum(p []byte) (s uint32) {
	for _, b := range p {
		s = (s ^ uint32(b)) * 16777619
	}
	return s
}

func line(p []byte) string { return fmt.Sprintf("%d bytes: %08x", len(p), sum(p)) }

// noise makes a file.
func (h *host) noise(name string, size int) (path string, content []byte, err error) {
	path, content = filepath.Join(h.dir, name), make([]byte, size)
	rand.Read(content)
	return path, content, os.WriteFile(path, content, 0o644)
}

// disk makes the image of a disk, whose end is not that of a page.
func (h *host) disk(name string) (has, error) {
	path, _, err := h.noise(name, 1<<20+512)
	h.add("-drive", "if=none,format=raw,id="+name+",file="+path)
	return func(said string) bool {
		p, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		const parts = 4
		want := fmt.Sprintf("%d bytes:", len(p))
		for i, part := 0, len(p)/parts&^4095; i < parts; i++ {
			end := (i + 1) * part
			if i == parts-1 {
				end = len(p)
			}
			want += fmt.Sprintf(" %08x", sum(p[i*part:end]))
		}
		return said == want
	}, err
}

func (h *host) blk() (has, error) {
	h.device("virtio-blk", "drive=blk")
	return h.disk("blk")
}

func (h *host) scsi() (has, error) {
	h.device("virtio-scsi", "id=scsi")
	h.add("-device", "scsi-hd,bus=scsi.0,drive=hd")
	return h.disk("hd")
}

// rng has more bytes than a machine takes. 32 of them, it does not matter which, seed
// the kernel's own generator.
func (h *host) rng() (has, error) {
	const seed, size = 32, 3000
	path, noise, err := h.noise("noise", 64<<10)
	h.add("-object", "rng-random,id=noise,filename="+path)
	h.device("virtio-rng", "rng=noise")
	return func(said string) bool {
		for at := range size + 1 {
			rest := append(bytes.Clone(noise[:at]), noise[at+seed:]...)
			if said == line(rest[:size]) {
				return true
			}
		}
		return false
	}, err
}

// stream is bytes that a machine sends in pieces, each of which is answered, or gets.
type stream struct {
	h    *host
	size int // of a piece
	kept []byte
}

func (s *stream) has(said string) bool { return said == line(s.kept) }

func (s *stream) serve(c io.ReadWriter) error {
	if s.h.reading.Load() {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err
		}
		_, err := c.Write(s.kept)
		return err
	}
	for {
		p := make([]byte, s.size)
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		s.kept = append(s.kept, p...)
		if _, err := c.Write([]byte("k")); err != nil {
			return err
		}
	}
}

// listen calls f for each connection to a Unix socket, whose path it returns.
func (h *host) listen(name string, f func(*net.UnixConn)) (path string, err error) {
	path = filepath.Join(h.dir, name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				f(c)
				c.Close()
			}()
		}
	}()
	return path, nil
}

func (h *host) console() (has, error) {
	s := &stream{h: h, size: 16 << 10}
	path, err := h.listen("hvc", func(c *net.UnixConn) {
		s.serve(c)
		io.Copy(io.Discard, c) // QEMU does not read on when we close it
	})
	h.device("virtio-serial")
	h.add("-chardev", "socket,id=hvc,path="+path, "-device", "virtconsole,chardev=hvc")
	return s.has, err
}

// net is a wire: a datagram is a frame.
func (h *host) net() (has, error) {
	const header, smallest, window = 15, 60, 8
	here, there := filepath.Join(h.dir, "here"), net.UnixAddr{Name: filepath.Join(h.dir, "there"), Net: "unixgram"}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: here, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	nic := []string{"netdev=wire", "mac=02:00:00:00:00:07"}
	if h.bus == "pci" {
		nic = append(nic, "romfile=") // of the firmware's network boot
	}
	h.device("virtio-net", nic...)
	h.add("-netdev", "dgram,id=wire,local.type=unix,local.path="+there.Name+",remote.type=unix,remote.path="+here)
	var kept [][]byte
	go func() {
		next := 0 // frame that the second machine gets
		for {
			p := make([]byte, 2048)
			n, err := c.Read(p)
			if err != nil {
				return
			}
			if n < smallest || p[12] != 0x88 || p[13] != 0xb5 { // the machine's own business
				continue
			}
			p = p[:n]
			copy(p, p[6:12])
			copy(p[6:], "\x02host\x02")
			if p[header-1] == 'w' {
				if kept = append(kept, p); len(kept)%window == 0 {
					c.WriteTo(p[:smallest], &there)
				}
				continue
			}
			for end := min(next+window, len(kept)); next < end; next++ { // it waits for more
				c.WriteTo(kept[next], &there)
			}
		}
	}()
	return func(said string) bool {
		var all []byte
		for _, p := range kept {
			all = append(all, p[header:]...)
		}
		return said == line(all)
	}, nil
}

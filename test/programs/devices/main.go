// Devices is the host's side of test/programs/c/devices.c, which moves data by a virtio
// device of each kind: it runs that in a virtual machine, to write, looks for what has come, and
// runs another one that reads it.
//
//	devices [-bus device|pci] [-options LIST] [-kinds LIST] GOSV PROGRAM GOSV-RUN-FLAG...
//	devices -tap NAME -kinds LIST GOSV PROGRAM GOSV-RUN-FLAG...
//
// The machine is one of QEMU's, or with -tap one of Firecracker's, whose network device that is.
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
	flag.StringVar(&h.tap, "tap", "", "the TAP device of a Firecracker's machine")
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
	tap          string // not "": of Firecracker
	dir          string
	flags        []string    // of gosv run
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
		os.Remove(filepath.Join(h.dir, ports)) // which Firecracker leaves
		argv := append(append([]string{"run", "--verbose", "--timeout", "2m"}, args[2:]...), h.flags...)
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

// device adds a virtio device to QEMU's machine.
func (h *host) device(kind string, options ...string) {
	options = append([]string{kind + "-" + h.bus}, options...)
	if h.options != "" {
		options = append(options, h.options)
	}
	h.add("-device", strings.Join(options, ","))
}

// add adds arguments of QEMU's.
func (h *host) add(argv ...string) {
	for _, a := range argv {
		h.flags = append(h.flags, "--vmm-arg="+a)
	}
}

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
func (h *host) disk(name string) (path string, _ has, err error) {
	path, _, err = h.noise(name, 1<<20+512)
	return path, func(said string) bool {
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
	path, has, err := h.disk("blk")
	if h.tap != "" {
		h.flags = append(h.flags, "--disk", path)
		return has, err
	}
	h.add("-drive", "if=none,format=raw,id=blk,file="+path)
	h.device("virtio-blk", "drive=blk")
	return has, err
}

func (h *host) scsi() (has, error) {
	path, has, err := h.disk("hd")
	h.add("-drive", "if=none,format=raw,id=hd,file="+path)
	h.device("virtio-scsi", "id=scsi")
	h.add("-device", "scsi-hd,bus=scsi.0,drive=hd")
	return has, err
}

// rng has more bytes than a machine takes. 32 of them, it does not matter which, seed
// the kernel's own generator. Of Firecracker's bytes is known that they are not zeros.
func (h *host) rng() (has, error) {
	const seed, size = 32, 3000
	if h.tap != "" {
		h.flags = append(h.flags, "--rng")
		zeros := line(make([]byte, size))
		return func(said string) bool { return len(said) == len(zeros) && said != zeros }, nil
	}
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
	h            *host
	pieces, size int
	kept         []byte
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
	for range s.pieces {
		p := make([]byte, s.size)
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		s.kept = append(s.kept, p...)
		if _, err := c.Write([]byte("k")); err != nil {
			return err
		}
	}
	return nil
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
	s := &stream{h: h, pieces: 12, size: 16 << 10}
	path, err := h.listen("hvc", func(c *net.UnixConn) {
		s.serve(c)
		io.Copy(io.Discard, c) // QEMU does not read on when we close it
	})
	h.device("virtio-serial")
	h.add("-chardev", "socket,id=hvc,path="+path, "-device", "virtconsole,chardev=hvc")
	return s.has, err
}

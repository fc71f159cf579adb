package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// hvcMachines are some of those on which gosv makes a virtio console itself.
var hvcMachines = map[string]machine{
	"microvm":     microvm,
	"legacy":      legacyMMIO("microvm"),
	"q35, 4 CPUs": append(qemuMachine("q35"), "-c", "4"),
}

// TestVirtioConsole: the same comes out as by the serial port, and in order.
func TestVirtioConsole(t *testing.T) {
	t.Parallel()
	in := make([]byte, 1<<20)
	for i := range in {
		in[i] = byte(i * i >> 3)
	}
	for name, m := range hvcMachines {
		m := append(m[:len(m):len(m)], "--console", "hvc0")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, m, options{stdin: in}, busybox(t), "cat")
			if !bytes.Equal([]byte(r.stdout), in) || r.code != 0 || r.stderr != "" {
				t.Errorf("%d bytes in, %d out, equal: %v, exit code %d, stderr %s", len(in), len(r.stdout), r.stdout == string(in), r.code, r.stderr)
			}
		})
	}
	m := append(microvm[:len(microvm):len(microvm)], "--console", "hvc0")
	t.Run("input", func(t *testing.T) {
		t.Parallel()
		expect(t, run(t, m, options{stdin: in}, busybox(t), "sha256sum"), fmt.Sprintf("%x  -\n", sha256.Sum256(in)))
	})
	t.Run("streams", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, glibc, "streams")
		compare(t, run(t, m, options{}, prog), runHost(t, options{}, prog))
	})
	t.Run("exit code", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, musl, "end")
		compare(t, run(t, m, options{}, prog, "exit", "7"), runHost(t, options{}, prog, "exit", "7"))
	})
	t.Run("input ignored", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, glibc, "hello")
		compare(t, run(t, m, options{stdin: in}, prog), runHost(t, options{}, prog))
	})
}

// TestHVC0: a virtio console that is not the console is a file, on every transport.
func TestHVC0(t *testing.T) {
	t.Parallel()
	const total, chunk = 200_000, 20_000 // at a time: QEMU drops what its reader is too slow for
	prog := cProgram(t, musl, "hvc")
	eachTransport(t, func(t *testing.T, tr *transport, cpus string) {
		dir, err := os.MkdirTemp("", "hvc") // without commas, and short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		l, err := net.Listen("unix", filepath.Join(dir, "hvc"))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c, err := l.Accept()
			if err != nil {
				return // the VM did not start
			}
			defer c.Close()
			for i := range total / chunk {
				want, got := bytes.Repeat([]byte{byte(i), 0xff, 0x10, '\n'}, chunk/4), make([]byte, chunk)
				c.Write(want)
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("chunk %d: %v, or something else comes back", i, err)
					return
				}
			}
		}()
		m := append(tr.with("serial"), "--vmm-arg=-chardev", "--vmm-arg=socket,id=hvc,path="+l.Addr().String(),
			"--vmm-arg=-device", "--vmm-arg=virtconsole,chardev=hvc", "-c", cpus)
		expect(t, run(t, m, options{}, prog, fmt.Sprint(total)), "0 rows of 0\nover\n")
		l.Close()
		<-ended
	})
}

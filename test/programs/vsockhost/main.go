// Vsockhost is the host's side of test/programs/c/vsockpeer.c, by the Unix sockets
// that Firecracker and vhost-device-vsock make of a guest's ports:
//
//	vsockhost serve PATH            what the guest connects to: PATH is the socket's, with _PORT
//	vsockhost echo PATH PORT BYTES  connects to the guest, which answers with what it gets
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("vsockhost:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		os.Remove(args[1])
		l, err := net.Listen("unix", args[1])
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				if err := serve(c); err != nil {
					fmt.Println("vsockhost:", err)
				}
				c.Close()
			}()
		}
	case len(args) == 4 && args[0] == "echo":
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return echo(args[1], args[2], n)
	}
	return fmt.Errorf("no such use")
}

// stream is the bytes of which byte i has a known value.
type stream struct{ at, end uint64 }

func (s *stream) Read(p []byte) (int, error) {
	n := min(uint64(len(p)), s.end-s.at)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range n {
		p[i] = byte((s.at+i)*7 + (s.at+i)>>9)
	}
	s.at += n
	return int(n), nil
}

func serve(c net.Conn) error {
	var what [1]byte
	if _, err := io.ReadFull(c, what[:]); err != nil {
		return err
	}
	const checked = 16 << 20 // more is for speed
	buf := make([]byte, 256<<10)
	want := make([]byte, len(buf))
	switch what[0] {
	case 'S': // Firecracker does not tell that a guest will send no more
		var all uint64
		if err := binary.Read(c, binary.LittleEndian, &all); err != nil {
			return err
		}
		s := stream{end: all}
		total := uint64(0)
		for total < all {
			n, err := c.Read(buf)
			if all <= checked {
				io.ReadFull(&s, want[:n])
				if !bytes.Equal(buf[:n], want[:n]) {
					return fmt.Errorf("around byte %d something else than the guest sent arrives", total)
				}
			}
			total += uint64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		return binary.Write(c, binary.LittleEndian, total)
	case 'G':
		var n uint64
		if err := binary.Read(c, binary.LittleEndian, &n); err != nil {
			return err
		}
		s := stream{end: n}
		if n > checked {
			for ; n > 0; n -= min(n, uint64(len(buf))) {
				if _, err := c.Write(buf[:min(n, uint64(len(buf)))]); err != nil {
					return err
				}
			}
			return nil
		}
		_, err := io.CopyBuffer(struct{ io.Writer }{c}, &s, buf)
		return err
	case 'E':
		for {
			n, err := c.Read(buf)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the guest wants %q", what)
}

// echo sends n bytes to a guest's port and compares what comes back.
func echo(path, port string, n int) error {
	var c net.Conn
	var r *bufio.Reader
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var err error
		var line string
		if c, err = net.Dial("unix", path); err == nil {
			fmt.Fprintf(c, "CONNECT %s\n", port)
			r = bufio.NewReader(c)
			if line, err = r.ReadString('\n'); err == nil && line[:2] == "OK" {
				break
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no connection: %v %s", err, line)
		}
	}
	go func() {
		binary.Write(c, binary.LittleEndian, uint64(n))
		io.Copy(c, &stream{end: uint64(n)}) // and no CloseWrite: Firecracker would end both directions
	}()
	got, err := io.ReadAll(io.LimitReader(r, int64(n)+1))
	if err != nil {
		return err
	}
	want := make([]byte, n)
	io.ReadFull(&stream{end: uint64(n)}, want)
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes come back of %d, or others", len(got), n)
	}
	fmt.Println("all came back")
	return nil
}

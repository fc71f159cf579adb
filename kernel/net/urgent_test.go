//go:build netstack

package net

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// connected returns both ends of a connection between two machines.
func connected(t *testing.T, tso bool) (c, s *user) {
	a, b := newCable(1), newCable(2)
	a.tso, b.tso = tso, tso
	a.send, b.send = b.receive, a.receive
	server, client := start(t, "10.0.0.1/24", a), start(t, "10.0.0.2/24", b)
	return dial(t, client, listen(t, server, 80, 4), 80)
}

// TestUrgent: urgent bytes between data of many sizes are where they were sent, and not among
// the data, whatever the devices do with the segments.
func TestUrgent(t *testing.T) {
	for _, tso := range []bool{false, true} {
		c, s := connected(t, tso)
		next := make(chan bool, 1)
		sizes := []int{1, 2, 1447, 1448, 1449, 5000, 70_000, 200_000}
		go func() {
			for i, n := range sizes {
				c.sendAll(bytes.Repeat([]byte{'d'}, n))
				urgent := &memory{[]byte{'d', byte('A' + i)}}
				for urgent.Len() > 0 {
					if err := c.await(func() errno.Errno {
						_, err := c.Send(&socket.Message{Data: urgent, Flags: msgOOB})
						return err
					}); err != 0 {
						t.Error(err)
						return
					}
				}
				<-next // a second one would take its place
			}
			c.sendAll([]byte("end"))
		}()
		buf := make([]byte, 16<<10)
		receive := func(flags uintptr, room []byte) int {
			n := 0
			if err := s.await(func() (err errno.Errno) {
				n, err = s.Receive(&socket.Message{Data: &memory{room}, Flags: flags})
				if flags&msgOOB != 0 && err == errno.EINVAL { // not announced yet
					err = errno.EAGAIN
				}
				return err
			}); err != 0 {
				t.Fatal(err)
			}
			return n
		}
		for i, size := range sizes {
			for got := 0; got < size+1; {
				n := receive(0, buf)
				if got += n; !bytes.Equal(buf[:n], bytes.Repeat([]byte{'d'}, n)) || got > size+1 {
					t.Fatalf("%d: %d bytes before the mark, not %d, or others", i, got, size+1)
				}
			}
			if n := receive(msgOOB, buf); n != 1 || buf[0] != byte('A'+i) {
				t.Errorf("%d: %d bytes, %q", i, n, buf[:n])
			}
			if at, err := s.AtMark(); !at || err != 0 {
				t.Errorf("%d: not at the mark, %v", i, err)
			}
			next <- true
		}
		if got := s.receiveAll(3); string(got) != "end" {
			t.Errorf("the end is %q", got)
		}
	}
}

// TestFilter: of what a connection's filter takes only a part, the rest is sent again.
func TestFilter(t *testing.T) {
	three := []byte{6, 0, 0, 0, 32 + 3, 0, 0, 0} // BPF_RET|BPF_K, behind a header with a timestamp
	c, s := connected(t, true)
	if err := s.SetOption(unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, three); err != 0 {
		t.Fatal(err)
	}
	c.sendAll([]byte("foobar"))
	for _, want := range []string{"foo", "bar"} {
		if got := s.receiveAll(1); string(got) != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

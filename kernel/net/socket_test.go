package net

import (
	"testing"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
	"gosv/kernel/socket/sockettest"
)

// startSockets is start, for tests of sockets that wait.
func startSockets(t *testing.T) *Network {
	n := start(t, "")
	ino := uint64(0)
	n.config.NewIno = func() uint64 { ino++; return ino }
	return n
}

// TestSocketWaits: a server and its client on the loopback device, whose calls wait.
func TestSocketWaits(t *testing.T) {
	n := startSockets(t)
	open := func(p *sockettest.Program) socket.Socket {
		s, err := n.Socket(p, socket.AFInet, socket.Stream, 0)
		if err != 0 {
			t.Fatal(err)
		}
		return s
	}
	p := sockettest.NewProgram()
	server := open(p)
	server.Bind(p, addr4Of(127, 0, 0, 1, 0))
	server.Listen(p, 1)
	addr, _ := server.Address(false)
	done := make(chan errno.Errno, 1)
	go func() {
		p := sockettest.NewProgram()
		s, err := server.Accept(p, 0)
		if err == 0 {
			_, err = s.Send(p, sockettest.Envelope([]byte("hello"), 0))
			s.Close()
		}
		done <- err
	}()
	client := open(p)
	if err := client.Connect(p, addr, 0); err != 0 {
		t.Fatal("connect: ", err)
	}
	b := make([]byte, 100)
	got, err := client.Receive(p, sockettest.Envelope(b, socket.MsgWaitall))
	if string(b[:got]) != "hello" || err != 0 {
		t.Errorf("received %q, %v", b[:got], err)
	}
	if err := <-done; err != 0 {
		t.Error("the server: ", err)
	}
	server.Close()
	client.Close()
	refused := open(p)
	if err := refused.Connect(p, addr, 0); err != errno.ECONNREFUSED {
		t.Error("connect to nobody: ", err)
	}
	if err := refused.Connect(p, addr, 0); err != errno.ECONNREFUSED {
		t.Error("once more: ", err)
	}
}

// TestCapabilities: what is not for everybody (capabilities(7)).
func TestCapabilities(t *testing.T) {
	n, p := startSockets(t), sockettest.NewProgram()
	p.May = func(uint) bool { return false }
	for _, c := range []struct {
		family, kind int32
		want         errno.Errno
	}{
		{socket.AFInet, socket.Stream, 0}, {socket.AFInet, socket.Raw, errno.EPERM}, {socket.AFInet6, socket.Raw, errno.EPERM},
		{socket.AFPacket, socket.Dgram, errno.EPERM}, {afNetlink, socket.Raw, 0}, {afNetlink, socket.Dgram, 0},
	} {
		if _, err := n.Socket(p, c.family, c.kind, 0); err != c.want {
			t.Errorf("family %d, kind %d: %v, want %v", c.family, c.kind, err, c.want)
		}
	}
	s, _ := n.Socket(p, socket.AFInet, socket.Stream, 0)
	if err := s.Bind(p, addr4Of(127, 0, 0, 1, 80)); err != errno.EACCES {
		t.Error("port 80: ", err)
	}
}

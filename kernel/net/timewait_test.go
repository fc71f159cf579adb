package net

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
)

// TestTimeWaitAnswers: a connection that was closed first here acknowledges its peer's FIN as
// often as that comes, is not ended by a reset, is listed, and makes way for a new one.
func TestTimeWaitAnswers(t *testing.T) {
	const port = 5000 // of a peer that is none of netstack's
	near, far := newCable(1), newCable(2)
	segments := make(chan header.TCP, 99)
	near.send = func(f nic.Frame) {
		const tcpAt = header.EthernetMinimumSize + header.IPv4MinimumSize
		if b := f.Parts[0]; header.Ethernet(b).Type() == header.IPv4ProtocolNumber && header.TCP(b[tcpAt:]).DestinationPort() == port {
			segments <- header.TCP(b[tcpAt:])
			return
		}
		far.receive(f)
	}
	far.send = near.receive
	server := startWith(t, plenty, "10.0.0.1/8", near)
	startWith(t, plenty, "10.0.0.2/8", far)
	l := listen(t, server, 80, 10)
	send := func(flags header.TCPFlags, seq, ack uint32) {
		near.receive(nic.Frame{Parts: [][]byte{tcpFrame(clientIP, port, 80, flags, seq, ack, nil)}, ChecksumValid: true})
	}
	// next is the next segment with these flags.
	next := func(flags header.TCPFlags) header.TCP {
		t.Helper()
		for {
			select {
			case s := <-segments:
				if s.Flags()&^header.TCPFlagPsh == flags {
					return s
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing with flags %v came", flags)
			}
		}
	}
	const syn, ack, fin, rst = header.TCPFlagSyn, header.TCPFlagAck, header.TCPFlagFin, header.TCPFlagRst
	seq := uint32(1000)
	for round := range 3 {
		send(syn, seq, 0)
		s := next(syn | ack)
		if s.AckNumber() != seq+1 {
			t.Fatalf("round %d: the SYN %d is acknowledged with %d", round, seq, s.AckNumber())
		}
		first := s.SequenceNumber()
		send(ack, seq+1, first+1)
		c := &user{t: t, woken: make(chan bool, 1)}
		if err := l.await(func() (err errno.Errno) {
			c.Endpoint, err = l.Accept(2, c.wake)
			return err
		}); err != 0 {
			t.Fatal(err)
		}
		c.Close()
		next(fin | ack)
		send(ack, seq+1, first+2)
		for range 3 {
			send(fin|ack, seq+1, first+2)
			if s := next(ack); s.AckNumber() != seq+2 || s.SequenceNumber() != first+2 {
				t.Errorf("round %d: FIN is answered with %d, %d", round, s.SequenceNumber(), s.AckNumber())
			}
			send(rst, seq+2, 0)
		}
		listed := 0
		for _, e := range server.stack.RegisteredEndpoints() {
			if e, ok := e.(interface{ State() uint32 }); ok && tcp.EndpointState(e.State()) == tcp.StateTimeWait {
				listed++
			}
		}
		if listed != 1 {
			t.Errorf("round %d: %d connections in TIME-WAIT", round, listed)
		}
		send(ack, seq+1, first+2) // old data's
		if s := next(ack); s.AckNumber() != seq+2 {
			t.Errorf("round %d: what is old is answered with %d", round, s.AckNumber())
		}
		seq += 100_000
	}
	l.Close()
}

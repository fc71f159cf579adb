package network

import (
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// peer is one of a connection that is made of segments by hand.
type peer struct {
	t    *testing.T
	link *channel.Endpoint
	here header.TCPFields // of the next segment
}

// send sends a segment with so many bytes, and returns the next one that comes back.
func (p *peer) send(flags header.TCPFlags, options []byte, size int) header.TCP {
	p.t.Helper()
	length := header.TCPMinimumSize + len(options) + size
	b := make([]byte, header.IPv4MinimumSize+length)
	from, to := tcpip.AddrFrom4(Guest.Addr().As4()), tcpip.AddrFrom4(Gateway.As4())
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(tcp.ProtocolNumber), SrcAddr: from, DstAddr: to})
	ip.SetChecksum(^ip.CalculateChecksum())
	s := header.TCP(ip.Payload())
	p.here.Flags, p.here.DataOffset = flags, uint8(header.TCPMinimumSize+len(options))
	s.Encode(&p.here)
	copy(s[header.TCPMinimumSize:], options)
	in := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	p.link.InjectInbound(ipv4.ProtocolNumber, in)
	in.DecRef()
	p.here.SeqNum += uint32(size)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if out := p.link.Read(); out != nil {
			defer out.DecRef()
			v := out.ToView()
			answer := header.TCP(header.IPv4(v.AsSlice()).Payload())
			p.here.AckNum = answer.SequenceNumber()
			return append(header.TCP(nil), answer...)
		}
	}
	p.t.Fatal("nothing comes back")
	return nil
}

// TestLastOfWindow: what was sent into a window is taken, though its rest is meanwhile too
// small to be told.
func TestLastOfWindow(t *testing.T) {
	if os.Getenv("GOSV_TEST_NETSTACK") != "mended" {
		t.Skip("SKIPPED: netstack as it is refuses; make testnet runs this with what is mended")
	}
	link := channel.New(64, MTU, "")
	u, err := newUser(noChecksums{link})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	const port = 80
	l, err := gonet.ListenTCP(u.stack, tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(Gateway.As4()), Port: port}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &peer{t, link, header.TCPFields{SrcPort: 1234, DstPort: port, SeqNum: 1000, WindowSize: 65535}}
	answer := p.send(header.TCPFlagSyn, []byte{header.TCPOptionMSS, 4, 5, 180, header.TCPOptionWS, 3, 0, header.TCPOptionNOP}, 0)
	scale := header.ParseSynOptions(answer.Options(), true).WS
	p.here.SeqNum++
	p.here.AckNum = answer.SequenceNumber() + 1
	edge := p.here.SeqNum + uint32(answer.WindowSize()) // the SYN's is not scaled
	const mss, last = 1400, 1
	for edge-p.here.SeqNum > mss+last {
		ack := p.here.AckNum
		answer = p.send(header.TCPFlagAck, nil, mss)
		p.here.AckNum = ack
		edge = max(edge, answer.AckNumber()+uint32(answer.WindowSize())<<scale)
	}
	ack := p.here.AckNum
	answer = p.send(header.TCPFlagAck, nil, int(edge-p.here.SeqNum-last))
	p.here.AckNum = ack
	if answer.WindowSize() != 0 {
		t.Fatalf("the window is told as %d", answer.WindowSize())
	}
	answer = p.send(header.TCPFlagAck, nil, last)
	if answer.AckNumber() != p.here.SeqNum {
		t.Errorf("of %d bytes %d are taken", p.here.SeqNum, answer.AckNumber())
	}
}

// noChecksums is a link on which nobody makes them.
type noChecksums struct{ *channel.Endpoint }

func (noChecksums) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

//go:build netstack

package tcp

import (
	"io"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/waiter"
)

// outOfBand is an endpoint's urgent data, nil if there never were any, and whether they are to
// be read in line (SO_OOBINLINE).
type outOfBand struct {
	atomic.Pointer[urgent]
	inline atomic.Bool
}

// urgent is what an endpoint knows of urgent data (RFC 9293 section 3.8.5), which are a byte, as
// on Linux: the one before that which the urgent pointer is about. There is one once such data
// have been sent or received. It is changed under the endpoint's mu.
type urgent struct {
	state  urgentState
	octet  byte         // that has come
	at     seqnum.Value // its place in the stream, the mark
	sent   seqnum.Value // where the last urgent byte ends that was sent
	urging bool         // it is not acknowledged, as far as is known
}

type urgentState uint8

const (
	noMark    urgentState = iota
	announced             // the byte is to come
	there                 // it can be read
	taken                 // and has been read; the mark is still ahead
)

// urgency returns what e knows of urgent data, from now on something.
//
// +checklocks:e.mu
func (e *Endpoint) urgency() *urgent {
	u := e.urgent.Load()
	if u == nil {
		u = new(urgent)
		e.urgent.Store(u)
	}
	return u
}

// WriteUrgent sends the byte that p is as urgent data. It makes a segment of its own.
func (e *Endpoint) WriteUrgent(p tcpip.Payloader) tcpip.Error {
	e.LockUser()
	defer e.UnlockUser()
	s, n, err := e.queueSegment(p, tcpip.WriteOptions{})
	if n == 0 || err != nil {
		return err
	}
	s.urgent = header.TCPFlagUrg
	e.sndQueueInfo.sndQueueMu.Lock()
	end := e.snd.SndUna.Add(seqnum.Size(e.sndQueueInfo.SndBufUsed))
	e.sndQueueInfo.sndQueueMu.Unlock()
	u := e.urgency()
	u.sent, u.urging = end, true
	e.sendData(s)
	return nil
}

// urges says whether there are urgent data to send, or on their way: nothing is kept back
// then to be sent with what follows.
//
// +checklocks:s.ep.mu
func (s *sender) urges() bool {
	u := s.ep.urgent.Load()
	if u == nil || !u.urging {
		return false
	}
	u.urging = s.SndUna.LessThan(u.sent)
	return u.urging
}

// urgentPointer is what a segment with these flags has: such data are its first byte.
func urgentPointer(flags header.TCPFlags) uint16 {
	return uint16(flags & header.TCPFlagUrg / header.TCPFlagUrg)
}

// receiveUrgent looks for urgent data in a segment that was received.
//
// +checklocks:e.mu
func (e *Endpoint) receiveUrgent(s *segment) {
	if s.flags.Contains(header.TCPFlagUrg) {
		e.mark(s.sequenceNumber, header.TCP(s.pkt.TransportHeader().Slice()).UrgentPointer())
	}
	u := e.urgent.Load()
	if u == nil || u.state != announced {
		return
	}
	if at := int(s.sequenceNumber.Size(u.at)); at < s.payloadSize() {
		if b, ok := s.pkt.Data().PullUp(at + 1); ok {
			u.octet, u.state = b[at], there
			e.waiterQueue.Notify(waiter.EventPri | waiter.ReadableEvents)
		}
	}
}

// mark takes note of an urgent pointer in a segment with that sequence number.
//
// +checklocks:e.mu
func (e *Endpoint) mark(at seqnum.Value, pointer uint16) {
	if pointer != 0 {
		at.UpdateForward(seqnum.Size(pointer - 1))
	}
	u := e.urgency()
	if at.LessThan(e.rcv.RcvNxt) || u.state != noMark && at.LessThanEq(u.at) {
		return
	}
	e.waiterQueue.Notify(waiter.EventPri)
	if u.state != noMark && e.ahead(u) == 0 && e.receiveBufferUsed() > 0 && !e.urgent.inline.Load() {
		e.skipByte() // the old one's, which nobody will leave out any more
	}
	u.state, u.at = announced, at
}

// ahead is how many bytes of the stream come before the mark: less than none if it has been
// passed.
//
// +checklocks:e.mu
func (e *Endpoint) ahead(u *urgent) int {
	next := e.rcv.RcvNxt
	if e.rcv.closed {
		next-- // FIN's
	}
	return int(int32(u.at-next)) + e.receiveBufferUsed()
}

// skipByte takes a byte out of what can be read.
//
// +checklocks:e.mu
func (e *Endpoint) skipByte() {
	e.readLocked(&tcpip.LimitedWriter{W: io.Discard, N: 1}, tcpip.ReadOptions{})
}

// readUrgent reads up to the mark, or from it on, without the urgent byte unless that is to be
// in line.
//
// +checklocks:e.mu
func (e *Endpoint) readUrgent(u *urgent, dst io.Writer, opts tcpip.ReadOptions) (n int, err tcpip.Error) {
	if u.state == noMark {
		return e.readLocked(dst, opts)
	}
	switch ahead := e.ahead(u); {
	case ahead > 0:
		return e.readLocked(&tcpip.LimitedWriter{W: dst, N: int64(ahead)}, opts)
	case ahead < 0 || e.urgent.inline.Load() || e.receiveBufferUsed() == 0:
		n, err = e.readLocked(dst, opts)
	case e.receiveBufferUsed() == 1:
		if !opts.Peek {
			e.skipByte()
		}
		err = &tcpip.ErrWouldBlock{}
		if e.rcv.closed {
			err = &tcpip.ErrClosedForReceive{}
		}
	case opts.Peek:
		if n, err = e.readLocked(&behind{dst, 1}, opts); n > 0 {
			n--
		}
	default:
		e.skipByte()
		n, err = e.readLocked(dst, opts)
	}
	if e.ahead(u) < 0 {
		u.state = noMark
	}
	return n, err
}

// behind writes what comes after so many bytes.
type behind struct {
	io.Writer
	skip int
}

func (b *behind) Write(p []byte) (int, error) {
	k := min(b.skip, len(p))
	b.skip -= k
	if k == len(p) {
		return k, nil
	}
	n, err := b.Writer.Write(p[k:])
	return n + k, err
}

// ReadUrgent returns the urgent byte: ErrInvalidEndpointState if there is none, or it has been
// read, or it is in line; ErrWouldBlock if it is yet to come.
func (e *Endpoint) ReadUrgent(peek bool) (byte, tcpip.Error) {
	u := e.urgent.Load()
	if u == nil || e.urgent.inline.Load() {
		return 0, &tcpip.ErrInvalidEndpointState{}
	}
	e.LockUser()
	defer e.UnlockUser()
	switch {
	case u.state == there:
		if !peek {
			u.state = taken
		}
		return u.octet, nil
	case u.state != announced:
		return 0, &tcpip.ErrInvalidEndpointState{}
	case e.rcv.closed || !e.EndpointState().connected():
		return 0, &tcpip.ErrClosedForReceive{}
	}
	return 0, &tcpip.ErrWouldBlock{}
}

// SetOutOfBandInline sets SO_OOBINLINE.
func (e *Endpoint) SetOutOfBandInline(on bool) { e.urgent.inline.Store(on) }

// Mark says how many bytes can be read before the mark, -1 if there is none ahead.
func (e *Endpoint) Mark() int {
	u := e.urgent.Load()
	if u == nil {
		return -1
	}
	e.LockUser()
	defer e.UnlockUser()
	if u.state == noMark {
		return -1
	}
	return max(-1, e.ahead(u))
}

// Urges corrects what is ready: an urgent byte can be read; that there is nothing else is no
// reason to read the stream.
func (e *Endpoint) Urges(ready waiter.EventMask) waiter.EventMask {
	u := e.urgent.Load()
	if u == nil {
		return ready
	}
	e.LockUser()
	defer e.UnlockUser()
	if u.state == there {
		ready |= waiter.EventPri
	}
	if u.state != noMark && e.ahead(u) == 0 && e.receiveBufferUsed() <= 1 && !e.rcv.closed && e.EndpointState().connected() && !e.urgent.inline.Load() {
		ready &^= waiter.ReadableEvents
	}
	return ready
}

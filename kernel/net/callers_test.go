package net

import (
	"bytes"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

func keeps(s *callers, e *device, frame []byte) bool {
	f := nic.Frame{Parts: [][]byte{frame}, ChecksumValid: true}
	var h headers
	h.read(&f)
	return s.keeps(e, &f, &h)
}

// TestCallers: the last ones who connect before the program listens are delivered then, others and later ones
// at once.
func TestCallers(t *testing.T) {
	var got [][]byte
	e := &device{}
	e.in.deliver = func(v *buffer.View, _ bool) { got = append(got, bytes.Clone(v.AsSlice())) }
	var s callers
	var sent [][]byte
	for port := range uint16(10) {
		sent = append(sent, tcpFrame(clientIP, 1000+port, 80, header.TCPFlagSyn, 1, 0, nil))
		if !keeps(&s, e, sent[port]) {
			t.Fatal("a SYN is not kept")
		}
	}
	if got != nil {
		t.Error("a SYN is delivered")
	}
	s.end()
	slices.Reverse(got)
	if !slices.EqualFunc(got, sent[len(sent)-mostKept:], bytes.Equal) {
		t.Errorf("of % x\nwere delivered % x", sent, got)
	}
	if keeps(&s, e, sent[0]) {
		t.Error("a SYN is kept after the program has listened")
	}
}

// TestCallersFrames: nothing else waits, nor more than a few.
func TestCallersFrames(t *testing.T) {
	var s callers
	defer s.over.Store(true) // there is no device to deliver to
	frame := func(flags header.TCPFlags) []byte { return tcpFrame(clientIP, 1000, 80, flags, 1, 0, nil) }
	syn6, _ := largeSegment(6, 0, nil, header.TCPFlagSyn)
	const version = header.EthernetMinimumSize
	lie := bytes.Clone(syn6)
	lie[version] = 0
	for _, f := range [][]byte{
		frame(header.TCPFlagSyn | header.TCPFlagAck), frame(header.TCPFlagAck), frame(header.TCPFlagRst),
		make([]byte, 60), frame(header.TCPFlagSyn)[:40], make([]byte, 20), lie, syn6[:len(syn6)-1],
	} {
		if keeps(&s, nil, f) {
			t.Errorf("%x is kept", f)
		}
	}
	for range 10 {
		if !keeps(&s, nil, frame(header.TCPFlagSyn)) || !keeps(&s, nil, syn6) {
			t.Fatal("a SYN is not kept")
		}
	}
	if len(s.kept) != mostKept {
		t.Error(len(s.kept), "are kept")
	}
}

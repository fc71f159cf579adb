package net

import (
	"bytes"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// TestCallers: the last ones who connect before the program listens are delivered then, others and later ones
// at once.
func TestCallers(t *testing.T) {
	var got [][]byte
	e := &device{}
	e.in.deliver = func(v *buffer.View) { got = append(got, bytes.Clone(v.AsSlice())) }
	var s callers
	var sent [][]byte
	for port := range uint16(10) {
		sent = append(sent, tcpFrame(clientIP, 1000+port, 80, header.TCPFlagSyn, 1, 0, nil))
		if !s.keeps(e, &nic.Frame{Parts: [][]byte{sent[port]}, ChecksumValid: true}) {
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
	if s.keeps(e, &nic.Frame{Parts: [][]byte{sent[0]}}) {
		t.Error("a SYN is kept after the program has listened")
	}
}

// TestCallersFrames: nothing else waits, nor more than a few.
func TestCallersFrames(t *testing.T) {
	var s callers
	defer s.over.Store(true) // there is no device to deliver to
	frame := func(flags header.TCPFlags) *nic.Frame {
		return &nic.Frame{Parts: [][]byte{tcpFrame(clientIP, 1000, 80, flags, 1, 0, nil)}}
	}
	for _, f := range []*nic.Frame{
		frame(header.TCPFlagSyn | header.TCPFlagAck), frame(header.TCPFlagAck), frame(header.TCPFlagRst),
		{Parts: [][]byte{make([]byte, 60)}}, {Parts: [][]byte{frame(header.TCPFlagSyn).Parts[0][:40]}}, {Parts: [][]byte{make([]byte, 20)}},
	} {
		if s.keeps(nil, f) {
			t.Errorf("%x is kept", f.Parts[0])
		}
	}
	s6 := make([]byte, 14+40+20)
	s6[12], s6[13], s6[14+6], s6[14+40+13] = 0x86, 0xdd, 6, 2
	for range 10 {
		if !s.keeps(nil, frame(header.TCPFlagSyn)) || !s.keeps(nil, &nic.Frame{Parts: [][]byte{s6}}) {
			t.Fatal("a SYN is not kept")
		}
	}
	if len(s.kept) != mostKept {
		t.Error(len(s.kept), "are kept")
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The kernel with a network is built from gVisor's netstack without what a kernel
// never uses: the code for checkpoints, which is a tenth of it, and packages that
// there are smaller ones for in netstackDir. The go command is told that the whole
// module lies there: what does not, by -overlay.

const (
	netstackModule = "gvisor.dev/gvisor"
	netstackDir    = "kernel/net/netstack"
	checkpoints    = "_state_autogen.go" // what the names of their files end with
)

// An edit is a change of a file of netstack's: what an expression matches, which must be one
// place, becomes another text, in which $1 is what its first group matches.
type edit struct{ file, match, text string }

// edits are the kernel's. A function that is named _ is not compiled: there is another one
// in netstackDir.
var edits = []edit{
	{"pkg/tcpip/tcpip.go", `func InitStatCounters\(`, "func _("},
	{"pkg/tcpip/network/hash/hash.go", `func RandN32\(`, "func _("},

	{"pkg/tcpip/stack/iptables.go", `func DefaultTables\(`, "func _("},
	{"pkg/tcpip/stack/iptables.go", `\) CheckPrerouting\(pkt `, ") _(pkt "},
	{"pkg/tcpip/stack/iptables.go", `\) CheckInput\(pkt `, ") _(pkt "},
	{"pkg/tcpip/stack/iptables.go", `\) CheckForward\(pkt `, ") _(pkt "},
	{"pkg/tcpip/stack/iptables.go", `\) CheckOutput\(pkt `, ") _(pkt "},
	{"pkg/tcpip/stack/iptables.go", `\) CheckPostrouting\(pkt `, ") _(pkt "},
	{"pkg/tcpip/stack/iptables.go", `\) OriginalDst\(epID `, ") _(epID "},

	// The kernel brings its own source of random numbers: see kernel/net.
	{"pkg/tcpip/stack/stack.go", `(?s)var v int64\n.*?rand\.NewSource\(v\)\}`, `panic("no random numbers")`},
	{"pkg/tcpip/stack/stack.go", `(?m)^\t"encoding/binary"$`, ""},

	// The ICMPv6 messages whose rate is limited are those of errors, of which there are
	// four, not 127.
	{"pkg/tcpip/network/ipv6/ipv6.go", `i < header\.ICMPv6EchoRequest;`, "i <= header.ICMPv6ParamProblem;"},

	// Package net has a resolver behind it, and is there for the name of a type.
	{"pkg/tcpip/tcpip.go", `(?m)^\t"net"$`, ""},
	{"pkg/tcpip/tcpip.go", `net\.HardwareAddr\b`, "[]byte"},

	// Memory need not be cleared that is for data, but for headers, whose fields are not all
	// set: those and netstack's own messages are shorter than this.
	{"pkg/buffer/chunk.go", `clear\(c\.data\)`, "if len(c.data) <= 2048 { clear(c.data) }"},

	{"pkg/tcpip/tcpip.go", `func \(mt MonotonicTime\) Add\(`, "func (mt MonotonicTime) _("},
	{"pkg/tcpip/tcpip.go", `func \(mt MonotonicTime\) Sub\(`, "func (mt MonotonicTime) _("},

	// All counters, 1.2 KB of pointers, were copied to increment one.
	{"pkg/tcpip/stack/route.go", `\) Stats\(\) tcpip\.Stats \{\n\treturn r\.outgoingNIC\.stack\.Stats\(\)`, ") Stats() *tcpip.Stats {\n\treturn &r.outgoingNIC.stack.stats"},
	{"pkg/tcpip/transport/tcp/connect.go", `\te\.route\.ConfirmReachable\(\)`, "\te.confirmReachable()"},

	// What packets are made of, in less instructions.
	{"pkg/refs/refs_map.go", `func Register\(`, "func _("},
	{"pkg/refs/refs_map.go", `func Unregister\(`, "func _("},
	{"pkg/tcpip/stack/packet_buffer.go", `view := pk\.headerView\(typ\)\n\treturn view\.AsSlice\(\)\n`, "return pk.headerBytes(typ)\n"},
	{"pkg/tcpip/stack/packet_buffer.go", `view := pk\.headerView\(typ\)\n\treturn view\.AsSlice\(\), true`, "return pk.headerBytes(typ), true"},
	{"pkg/tcpip/stack/packet_buffer.go", `view := h\.pk\.headerView\(h\.typ\)\n\treturn view\.AsSlice\(\)`, "return h.pk.headerBytes(h.typ)"},
	{"pkg/tcpip/stack/packet_buffer.go", `view, ok := d\.pk\.buf\.PullUp\(d\.pk\.dataOffset\(\), size\)`,
		"if b := d.pk.buf.Front(d.pk.dataOffset(), size); b != nil {\n\t\treturn b, true\n\t}\n\tview, ok := d.pk.buf.PullUp(d.pk.dataOffset(), size)"},
	{"pkg/tcpip/stack/packet_buffer.go", `var pkPool = sync\.Pool`, "var pkPool = sync.FreeList"},
	{"pkg/buffer/view.go", `var viewPool = sync\.Pool`, "var viewPool = sync.FreeList"},
	{"pkg/buffer/chunk.go", `var chunkPools \[numPools\]sync\.Pool`, "var chunkPools [numPools]sync.FreeList"},
	{"pkg/buffer/chunk.go", `\) \*sync\.Pool \{`, ") *sync.FreeList {"},
	{"pkg/buffer/chunk.go", `chunkPools\[i\]\.New = `, "chunkPools[i].Size = max(1, 16<<10/chunkSize)\n\t\tchunkPools[i].New = "},
	{"pkg/tcpip/transport/tcp/segment.go", `var segmentPool = sync\.Pool`, "var segmentPool = sync.FreeList"},
	{"pkg/tcpip/transport/tcp/connect.go", `var optionPool = sync\.Pool`, "var optionPool = sync.FreeList"},

	// TCP segments have a short way from the device to their endpoint.
	{"pkg/tcpip/stack/transport_demuxer.go", `\trawEndpoints \[\]RawTransportEndpoint\n`, "\trawEndpoints []RawTransportEndpoint\n\tknown *known\n"},
	{"pkg/tcpip/stack/transport_demuxer.go", `\tepsByNIC, ok := eps\.endpoints\[id\]\n\tif !ok \{\n\t\treturn\n`, "\teps.forget(&id)\n\tepsByNIC, ok := eps.endpoints[id]\n\tif !ok {\n\t\treturn\n"},
	{"pkg/tcpip/stack/transport_demuxer.go", `\tepsByNIC, ok := eps\.endpoints\[id\]\n\tif !ok \{\n\t\tepsByNIC =`, "\teps.forget(&id)\n\tepsByNIC, ok := eps.endpoints[id]\n\tif !ok {\n\t\tepsByNIC ="},
	{"pkg/tcpip/stack/transport_demuxer.go", `\teps\.rawEndpoints = append\(eps\.rawEndpoints, ep\)`, "\teps.forgetAll()\n\teps.rawEndpoints = append(eps.rawEndpoints, ep)"},
	{"pkg/tcpip/transport/tcp/dispatcher.go", `\(j jenkinsHasher\) hash\(`, "(j jenkinsHasher) _("},

	{"pkg/tcpip/stack/packet_buffer.go", `\toffset := d\.pk\.dataOffset\(\)\n\td\.pk\.buf\.SubApply`,
		"\toffset := d.pk.dataOffset()\n\tif b := d.pk.buf.Front(offset, d.Size()); b != nil {\n\t\tdone, err = dst.Write(b)\n\t\tif !peek {\n\t\t\td.pk.buf.TrimFront(int64(done))\n\t\t}\n\t\treturn done, err\n\t}\n\td.pk.buf.SubApply"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `\) Read\(dst io\.Writer, opts tcpip\.ReadOptions\) \(tcpip\.ReadResult, tcpip\.Error\) \{\n\te\.LockUser\(\)\n\tdefer e\.UnlockUser\(\)\n`, ") readLocked(dst io.Writer, opts tcpip.ReadOptions) (int, tcpip.Error) {\n"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `return tcpip\.ReadResult\{\}, err`, "return 0, err"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `return tcpip\.ReadResult\{\}, &tcpip`, "return 0, &tcpip"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `return tcpip\.ReadResult\{\n\t\tCount: done,\n\t\tTotal: done,\n\t\}, nil`, "return done, nil"},

	// Filters of sockets: see stack/socketfilter.go.
	{"pkg/tcpip/socketops.go", `type SocketOptions struct \{`, "type SocketOptions struct {\n\tmoreOptions"},
	{"pkg/tcpip/transport/packet/endpoint.go", `pkt \*stack\.PacketBuffer\) bool \{\n`, "pkt *stack.PacketBuffer) bool {\n\tfrom := stack.FromLink\n\tif ep.cooked {\n\t\tfrom = stack.FromNetwork\n\t}\n\tkept := pkt.Filter(&ep.ops, from, nicID, netProto)\n\tif kept == 0 {\n\t\treturn false\n\t}\n"},
	{"pkg/tcpip/transport/packet/endpoint.go", `(\t\}\n)\trcvdPkt\.data = `, "$1\tpktBuf.Truncate(int64(kept))\n\trcvdPkt.data = "},
	{"pkg/tcpip/transport/raw/endpoint.go", `wasEmpty := e\.rcvBufSize == 0\n`, "kept := pkt.FilterRaw(&e.ops, e.transProto)\n\t\tif kept == 0 {\n\t\t\treturn false\n\t\t}\n\t\twasEmpty := e.rcvBufSize == 0\n"},
	{"pkg/tcpip/transport/raw/endpoint.go", `packet\.data = stack`, "combinedBuf.Truncate(int64(kept))\n\t\tpacket.data = stack"},
	{"pkg/tcpip/transport/icmp/endpoint.go", `\te\.rcvMu\.Lock\(\)\n\n\t// Drop the packet`, "\tkept := pkt.Filter(&e.ops, stack.FromTransport, pkt.NICID, pkt.NetworkProtocolNumber)\n\tif kept == 0 {\n\t\treturn\n\t}\n\te.rcvMu.Lock()\n\n\t// Drop the packet"},
	{"pkg/tcpip/transport/icmp/endpoint.go", `\tpacket\.data = stack\.`, "\tpktBuf.Truncate(int64(kept))\n\tpacket.data = stack."},
	{"pkg/tcpip/transport/udp/endpoint.go", `\te\.rcvMu\.Lock\(\)\n\t// Drop the packet if our buffer is not`, "\tkept := pkt.Filter(&e.ops, stack.FromTransport, pkt.NICID, pkt.NetworkProtocolNumber)\n\tif kept == 0 {\n\t\treturn\n\t}\n\te.rcvMu.Lock()\n\t// Drop the packet if our buffer is not"},
	{"pkg/tcpip/transport/udp/endpoint.go", `pkt: pkt\.Clone\(\),\n\t\}\n\te\.rcvList`, "pkt: pkt.CloneUpTo(kept),\n\t}\n\te.rcvList"},
	{"pkg/tcpip/transport/tcp/dispatcher.go", `\tep\.stack\.Stats\(\)\.TCP\.ValidSegmentsReceived`, "\tif !ep.passes(s.pkt) {\n\t\treturn\n\t}\n\tep.stack.Stats().TCP.ValidSegmentsReceived"},

	// Raw sockets have protocols that netstack does not know: see stack/rawprotocols.go.
	{"pkg/tcpip/stack/transport_demuxer.go", `\tprotocol +map\[protocolIDs\]\*transportEndpoints\n`, "\tprotocol map[protocolIDs]*transportEndpoints\n\tunknown unknownProtocols\n"},
	{"pkg/tcpip/stack/transport_demuxer.go", `(?s)(\) deliverRawPacket\(.*?\n\teps, ok := )d\.protocol\[protocolIDs\{pkt\.NetworkProtocolNumber, protocol\}\]`, "${1}d.raw(protocolIDs{pkt.NetworkProtocolNumber, protocol})"},
	{"pkg/tcpip/stack/transport_demuxer.go", `d\.protocol\[(protocolIDs\{netProto, transProto\})\](\n\tif !ok \{\n\t\treturn &tcpip\.ErrNotSupported)`, "d.newRaw($1)$2"},
	{"pkg/tcpip/stack/transport_demuxer.go", `d\.protocol\[(protocolIDs\{netProto, transProto\})\](\n\tif !ok \{\n\t\tpanic)`, "d.raw($1)$2"},
	{"pkg/tcpip/stack/nic.go", `n\.stats\.unknownL4ProtocolRcvdPacketCounts\.Increment\(uint64\(protocol\)\)\n`, "if n.stack.demux.isRaw(protocolIDs{pkt.NetworkProtocolNumber, protocol}) {\n\t\t\treturn TransportPacketHandled, false\n\t\t}\n\t\tn.stats.unknownL4ProtocolRcvdPacketCounts.Increment(uint64(protocol))\n"},

	{"pkg/tcpip/transport/raw/endpoint.go", `p\.Len\(\) > int\(ctx\.MTU\(\)\)`, "p.Len() > longest(ctx.PacketInfo().NetProto, ctx.MTU(), e.ops.GetHeaderIncluded())"},

	// Of IPv6 they are given what comes after extension headers, of which 253 is none, and when it has been put together.
	{"pkg/tcpip/network/ipv6/ipv6.go", `\te\.dispatcher\.DeliverRawPacket\(h\.TransportProtocol\(\), pkt\)\n`, ""},
	{"pkg/tcpip/network/ipv6/ipv6.go", `\tstats\.PacketsDelivered\.Increment\(\)\n`, "\te.dispatcher.DeliverRawPacket(proto, pkt)\n\tstats.PacketsDelivered.Increment()\n"},
	{"pkg/tcpip/header/ipv6_extension_headers.go", `(?s)\tcase IPv6ExperimentExtHdrIdentifier:\n.*?(\tcase IPv6NoNextHeaderIdentifier:)`, "$1"},

	// Errors have the precedence of network control (RFC 1812 section 4.3.2.5).
	{"pkg/tcpip/network/ipv4/icmp.go", `stack\.DefaultTOS`, "origIPHdr[1]&0x1e | 0xc0"},

	// A socket may be bound to an address that the machine has not (IP_FREEBIND).
	{"pkg/tcpip/transport/tcp/endpoint.go", `(CheckLocalAddress\(addr\.NIC, netProto, addr\.Addr\)\n\t\tif nic == 0) \{`, "$1 && !e.ops.BindsAny() {"},
	{"pkg/tcpip/transport/internal/network/endpoint.go", `(CheckLocalAddress\(nicID, netProto, addr\.Addr\)\n\t\tif nicID == 0) \{`, "$1 && !e.ops.BindsAny() {"},

	// Urgent data: see tcp/urgent.go.
	{"pkg/tcpip/transport/tcp/segment.go", `type segment struct \{`, "type segment struct {\n\turgent header.TCPFlags // URG, or nothing"},
	{"pkg/tcpip/transport/tcp/rcv.go", `r\.lastRcvdAckTime = s\.rcvdTime\n`, "r.lastRcvdAckTime = s.rcvdTime\n\tif s.flags&header.TCPFlagUrg != 0 || r.ep.urgent.Load() != nil {\n\t\tr.ep.receiveUrgent(s)\n\t}\n"},
	{"pkg/tcpip/transport/tcp/snd.go", `nSeg != nil && nSeg\.payloadSize\(\) != 0;`, "nSeg != nil && nSeg.payloadSize() != 0 && nSeg.urgent|seg.urgent == 0;"},
	{"pkg/tcpip/transport/tcp/snd.go", `if !nextTooBig && seg\.payloadSize\(\) < available \{`, "if !nextTooBig && seg.payloadSize() < available && !s.urges() {"},
	{"pkg/tcpip/transport/tcp/snd.go", `seg\.sequenceNumber = s\.SndNxt\n\t\tseg\.flags = header\.TCPFlagAck \| header\.TCPFlagPsh\n`, "seg.sequenceNumber = s.SndNxt\n\t\tseg.flags = header.TCPFlagAck | header.TCPFlagPsh | seg.urgent\n"},
	{"pkg/tcpip/transport/tcp/connect.go", `Flags:      tf\.flags,`, "Flags:      tf.flags,\n\t\tUrgentPointer: urgentPointer(tf.flags),"},

	// And so have those that are sent.
	{"pkg/tcpip/stack/nic.go", `type nic struct \{`, "type nic struct {\n\tsegments4, segments6 *Segments"},
	{"pkg/tcpip/transport/tcp/connect.go", `\) sendRaw\(pkt`, ") sendAny(pkt"},
	{"pkg/tcpip/transport/tcp/connect.go", `func sendTCP\(`, "func sendLong("},
	{"pkg/tcpip/transport/tcp/connect.go", `\ttf\.opts = makeSynOptions\(opts\)\n`, "\ttf.opts = makeSynOptions(opts)\n\ttf.df = e.pmtud != tcpip.PMTUDiscoveryDont\n"},
	{"pkg/tcpip/transport/tcp/snd.go", `\(s \*sender\) sendSegmentFromPacketBuffer\(`, "(s *sender) _("},
	{"pkg/tcpip/transport/tcp/endpoint.go", `\) readFromPayloader\(p tcpip`, ") readFromAny(p tcpip"},

	// Acknowledgements wait for the answer.
	{"pkg/tcpip/transport/tcp/endpoint.go", `type Endpoint struct \{`, "type Endpoint struct {\n\tdelayed delayedACK\n\turgent outOfBand\n\tconfirmed tcpip.MonotonicTime\n\tparts parts"},
	{"pkg/tcpip/transport/tcp/protocol.go", `type protocol struct \{`, "type protocol struct {\n\tdelayed delayedACKs"},
	{"pkg/tcpip/transport/tcp/connect.go", `if e\.rcv\.RcvNxt != e\.snd\.MaxSentAck \{`, "if e.rcv.RcvNxt != e.snd.MaxSentAck && !e.delayACK() {"},

	// A probe for a lost tail waits at least two jiffies longer than two round trips, as on
	// Linux (TCP_TIMEOUT_MIN): else a client that takes its time is sent all twice.
	{"pkg/tcpip/transport/tcp/rack.go", `pto = s\.rtt\.TCPRTTState\.SRTT \* 2\n`, "pto = s.rtt.TCPRTTState.SRTT*2 + 8*time.Millisecond\n"},

	// What a connection consists of is one object, and what it asks the protocol for none:
	// see netstackDir's tcp/connection.go.
	{"pkg/tcpip/transport/tcp/endpoint.go", `limRdr:        &io\.LimitedReader\{\},`, ""},
	{"pkg/tcpip/transport/tcp/endpoint.go", `txHash:        s\.InsecureRNG\(\)\.Uint32\(\),`, ""},
	{"pkg/tcpip/transport/tcp/endpoint.go", `(?s)var ss tcpip\.TCPSendBufferSizeRangeOption\n.*?e\.maxSynRetries = uint8\(synRetries\)\n\t\}`, "e.takeDefaults()"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `timerHandler\(e, e\.keepaliveTimerExpired\)`, "e, onKeepalive"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `\) maxReceiveBufferSize\(\) int`, ") _() int"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `\) maybeEnableSACKPermitted\(`, ") _("},
	{"pkg/tcpip/transport/tcp/connect.go", `\) getTimeWaitDuration\(`, ") _("},
	{"pkg/tcpip/transport/tcp/connect.go", `func generateSecureISN\(`, "func _("},
	{"pkg/tcpip/transport/tcp/connect.go", `(?s)var sackEnabled tcpip\.TCPSACKEnabled\n.*?sackEnabled = false\n\t\}`, "sackEnabled := h.ep.protocol.sacks()"},
	{"pkg/tcpip/transport/tcp/protocol.go", `\) tsOffset\(`, ") _("},
	{"pkg/tcpip/transport/tcp/protocol.go", `delayed delayedACKs`, "delayed delayedACKs\n\troutes lastRoute"},
	{"pkg/tcpip/transport/tcp/accept.go", `(?s)var alwaysUseSynCookies tcpip\.TCPAlwaysUseSynCookies\n.*?\n\t\t\t\}\n`, "alwaysUseSynCookies := e.protocol.cookies()\n"},
	{"pkg/tcpip/transport/tcp/accept.go", `(?m)^\t"fmt"$`, ""},
	{"pkg/tcpip/transport/tcp/accept.go", `route, err := l\.stack\.FindRoute\(.*\)`, "route, err := l.protocol.routes.find(l.stack, s.pkt.NICID, s.id.LocalAddress, s.id.RemoteAddress, s.pkt.NetworkProtocolNumber)"},
	{"pkg/tcpip/transport/tcp/accept.go", `\[\]tcpip\.NetworkProtocolNumber\{s\.pkt\.NetworkProtocolNumber\}\n\tn\.ops`, "only(s.pkt.NetworkProtocolNumber)\n\tn.ops"},
	{"pkg/tcpip/transport/tcp/snd.go", `(?s)var minRTO tcpip\.TCPMinRTOOption\n.*?ep\.snd\.maxRetries = uint32\(maxRetries\)`, "ep.snd.takeDefaults()"},
	{"pkg/tcpip/transport/tcp/snd.go", `ep\.snd = &sender\{`, "ep.snd = &ep.parts.sender\n\t*ep.snd = sender{"},
	{"pkg/tcpip/transport/tcp/snd.go", `set: make\(map\[\*segment\]struct\{\}\),`, ""},
	{"pkg/tcpip/transport/tcp/snd.go", `if _, ok := s\.writeList\.set\[seg\]; !ok \{`, "if !s.writeList.has(seg) {"},
	{"pkg/tcpip/transport/tcp/snd.go", `\) Remove\(seg \*segment\)`, ") _(seg *segment)"},
	{"pkg/tcpip/transport/tcp/snd.go", `\) PushBack\(seg \*segment\)`, ") _(seg *segment)"},
	{"pkg/tcpip/transport/tcp/snd.go", `\) InsertAfter\(before, seg \*segment\)`, ") _(before, seg *segment)"},
	{"pkg/tcpip/transport/tcp/snd.go", `timerHandler\(ep\.snd\.ep, ep\.snd\.retransmitTimerExpired\)`, "ep, onResend"},
	{"pkg/tcpip/transport/tcp/snd.go", `timerHandler\(ep\.snd\.ep, ep\.snd\.rc\.reorderTimerExpired\)`, "ep, onReorder"},
	{"pkg/tcpip/transport/tcp/snd.go", `timerHandler\(ep\.snd\.ep, ep\.snd\.probeTimerExpired\)`, "ep, onProbe"},
	{"pkg/tcpip/transport/tcp/snd.go", `timerHandler\(ep\.snd\.ep, ep\.snd\.corkTimerExpired\)`, "ep, onCork"},
	{"pkg/tcpip/transport/tcp/endpoint_state.go", `timerHandler\(e, e\.keepaliveTimerExpired\)`, "e, onKeepalive"},
	{"pkg/tcpip/transport/tcp/endpoint_state.go", `timerHandler\(e, e\.snd\.retransmitTimerExpired\)`, "e, onResend"},
	{"pkg/tcpip/transport/tcp/endpoint_state.go", `timerHandler\(e, e\.snd\.rc\.reorderTimerExpired\)`, "e, onReorder"},
	{"pkg/tcpip/transport/tcp/endpoint_state.go", `timerHandler\(e, e\.snd\.probeTimerExpired\)`, "e, onProbe"},
	{"pkg/tcpip/transport/tcp/endpoint_state.go", `timerHandler\(e, e\.snd\.corkTimerExpired\)`, "e, onCork"},
	{"pkg/tcpip/transport/tcp/rcv.go", `return &receiver\{`, "ep.parts.receiver = receiver{"},
	{"pkg/tcpip/transport/tcp/rcv.go", `lastRcvdAckTime: ep\.stack\.Clock\(\)\.NowMonotonic\(\),\n\t\}`, "lastRcvdAckTime: ep.stack.Clock().NowMonotonic(),\n\t}\n\treturn &ep.parts.receiver"},
	{"pkg/tcpip/transport/tcp/cubic.go", `return &cubicState\{`, "s.ep.parts.cubic = cubicState{"},
	{"pkg/tcpip/transport/tcp/cubic.go", `s: s,\n\t\}`, "s: s,\n\t}\n\treturn &s.ep.parts.cubic"},
	{"pkg/tcpip/transport/tcp/sack_scoreboard.go", `if s\.ranges\.Len\(\) >= maxSACKBlocks \{`, "if s.ranges == noBlocks {\n\t\ts.Reset()\n\t}\n\tif s.ranges.Len() >= maxSACKBlocks {"},
	{"pkg/tcpip/transport/tcp/snd.go", `ep\.snd\.ep\.scoreboard = NewSACKScoreboard\(`, "ep.initScoreboard("},
	{"pkg/tcpip/transport/tcp/sack_recovery.go", `return &sackRecovery\{s: s\}`, "s.ep.parts.recovery.s = s\n\treturn &s.ep.parts.recovery"},
	{"pkg/tcpip/transport/tcp/accept.go", `startHandshake\(s, opts, &waiter\.Queue\{\}, `, "startHandshake(s, opts, nil, "},
	{"pkg/tcpip/transport/tcp/accept.go", `createConnectingEndpoint\(s, rcvdSynOptions, &waiter\.Queue\{\}\)`, "createConnectingEndpoint(s, rcvdSynOptions, nil)"},
	{"pkg/tcpip/transport/tcp/accept.go", `isn := generateSecureISN\(.*\)`, "const isn = 0 // newHandshake makes it"},
	{"pkg/tcpip/transport/tcp/connect.go", `h\.resetToSynRcvd\(isn, irs, opts`, "h.resetToSynRcvd(h.iss, irs, opts"},
	{"pkg/tcpip/transport/tcp/connect.go", `h\.ep\.route\.ConfirmReachable\(\)`, "h.ep.protocol.routes.confirm(h.ep.route, rcvd)"},
	{"pkg/tcpip/transport/tcp/connect.go", `timerHandler\(e, h\.retransmitHandlerLocked\)`, "e.handshakeExpired"},

	{"pkg/tcpip/transport/tcp/dispatcher.go", `cleanup\(\)\n\t\t\treturn\n\t\t\}\n\t\}`, "cleanup()\n\t\t\treturn\n\t\t}\n\t\tep.h = nil\n\t}"},

	// One in TIME-WAIT that the program has closed is a small record: see tcp/timewait.go.
	{"pkg/tcpip/transport/tcp/dispatcher.go", `timeWaitDuration := ep\.getTimeWaitDuration\(\)`, "if ep.closed {\n\t\tep.retire()\n\t\treturn\n\t}\n\ttimeWaitDuration := ep.getTimeWaitDuration()"},
	{"pkg/tcpip/transport/tcp/dispatcher.go", `ep := stackEP\.\(\*Endpoint\)\n`, "ep, ok := stackEP.(*Endpoint)\n\tif !ok {\n\t\tstackEP.(*timeWait).receivePacket(id, clock, pkt)\n\t\treturn\n\t}\n"},
	{"pkg/tcpip/transport/tcp/accept.go", `tcpEP := newEP\.\(\*Endpoint\)\n`, "tcpEP, ok := newEP.(*Endpoint)\n\t\t\t\tif !ok {\n\t\t\t\t\tnewEP.(*timeWait).receive(s)\n\t\t\t\t\treturn nil\n\t\t\t\t}\n"},
	{"pkg/tcpip/transport/tcp/connect.go", `if ep := ep\.\(\*Endpoint\); ep\.enqueueSegment\(s\) \{`, "if t, ok := ep.(*timeWait); ok {\n\t\tt.receive(s)\n\t} else if ep := ep.(*Endpoint); ep.enqueueSegment(s) {"},
	{"pkg/tcpip/transport/tcp/endpoint.go", `(?s)tcpEP := transEP\.\(\*Endpoint\)\n(.*?)\n\t\t\t\t// Now try`, "if t, ok := transEP.(*timeWait); ok {\n\t\t\t\t\tif !t.makeWay() {\n\t\t\t\t\t\treturn false, nil\n\t\t\t\t\t}\n\t\t\t\t} else {\n\t\t\t\ttcpEP := transEP.(*Endpoint)\n$1\n\t\t\t\t}\n\t\t\t\t// Now try"},

	// Who is closed and still there is of interest to a sandbox that is saved.
	{"pkg/tcpip/tcpip.go", `\tdanglingEndpoints\[e\] = struct\{\}\{\}`, ""},

	// Nor is there a map for each ID: see stack/registered.go.
	{"pkg/tcpip/stack/transport_demuxer.go", `type endpointsByNIC struct \{`, "type endpointsByNIC struct {\n\tfirst firstNIC"},
	{"pkg/tcpip/stack/transport_demuxer.go", `endpoints: make\(map\[tcpip\.NICID\]\*multiPortEndpoint\),`, ""},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) transportEndpoints\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) handlePacket\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) handleError\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) registerEndpoint\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) checkEndpoint\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `\(epsByNIC \*endpointsByNIC\) unregisterEndpoint\(`, "(epsByNIC *endpointsByNIC) _("},
	{"pkg/tcpip/stack/transport_demuxer.go", `(?s)mpep, ok := epsByNIC\.endpoints\[nicID\]\n.*?\n\t\t\}\n\t\}\n\n\tep := mpep`, "mpep := epsByNIC.match(nicID)\n\tif mpep == nil {\n\t\tepsByNIC.mu.RUnlock()\n\t\treturn nil\n\t}\n\tep := mpep"},

	{"pkg/tcpip/header/ipv6.go", `"crypto/sha256"`, `sha256 "gosv/kernel/net/siphash"`},
	{"pkg/tcpip/transport/tcp/connect.go", `"crypto/sha256"`, `sha256 "gosv/kernel/net/siphash"`},
	{"pkg/tcpip/transport/tcp/protocol.go", `"crypto/sha256"`, `sha256 "gosv/kernel/net/siphash"`},
	{"pkg/tcpip/transport/tcp/accept.go", `"crypto/sha1"`, `sha1 "gosv/kernel/net/siphash"`},
}

// mends are of faults, and for the host's netstack, too.
var mends = []edit{
	// A socket keeps as many bytes as its receive buffer has, but what a packet takes besides
	// its data did not count: some hundred thousand empty datagrams to a socket that nobody
	// reads took all memory. On Linux all counts (skb->truesize).
	{"pkg/tcpip/transport/udp/endpoint.go", `rcvBufSize \+= pkt\.Data\(\)\.Size\(\)`, "rcvBufSize += pkt.MemSize()"},
	{"pkg/tcpip/transport/udp/endpoint.go", `rcvBufSize -= p\.pkt\.Data\(\)\.Size\(\)`, "rcvBufSize -= p.pkt.MemSize()"},
	{"pkg/tcpip/transport/icmp/endpoint.go", `rcvBufSize \+= packet\.data\.Data\(\)\.Size\(\)`, "rcvBufSize += packet.data.MemSize()"},
	{"pkg/tcpip/transport/icmp/endpoint.go", `rcvBufSize -= p\.data\.Data\(\)\.Size\(\)`, "rcvBufSize -= p.data.MemSize()"},
	{"pkg/tcpip/transport/raw/endpoint.go", `rcvBufSize \+= packet\.data\.Data\(\)\.Size\(\)`, "rcvBufSize += packet.data.MemSize()"},
	{"pkg/tcpip/transport/raw/endpoint.go", `rcvBufSize -= pkt\.data\.Data\(\)\.Size\(\)`, "rcvBufSize -= pkt.data.MemSize()"},
	{"pkg/tcpip/transport/packet/endpoint.go", `rcvBufSize \+= rcvdPkt\.data\.Size\(\)`, "rcvBufSize += rcvdPkt.data.MemSize()"},
	{"pkg/tcpip/transport/packet/endpoint.go", `rcvBufSize -= packet\.data\.Size\(\)`, "rcvBufSize -= packet.data.MemSize()"},

	// A segment that goes from one endpoint's queue to another's, as the first data of a connection that a SYN cookie
	// has made, counted for both, and for the first for ever: a listening socket that had some hundred of those took no
	// more data, and so no connection whose acknowledgement came with them.
	{"pkg/tcpip/transport/tcp/segment.go", `\tcase recvQ:\n\t\tep\.update`, "\tcase recvQ:\n\t\tif s.ep != nil {\n\t\t\ts.ep.updateReceiveMemUsed(-s.segMemSize())\n\t\t}\n\t\tep.update"},

	// A window whose rest is less than a unit of its scale is told as none, but what was sent
	// before is in it, and so are the acknowledgements that are sent after that. To take them
	// for unacceptable is the end of a connection both of whose buffers are full: each side
	// waits for the other to read, and neither hears what the other has taken.
	{"pkg/tcpip/transport/tcp/rcv.go", `advertisedWindowSize := scaledWindowSize << r\.RcvWndScale`, "advertisedWindowSize := min(r.rcvWnd, math.MaxUint16<<r.RcvWndScale)"},
}

// kernelNetstack is netstack for the kernel. Of package log nothing remains; of others
// only files of the same name are replaced.
func kernelNetstack(dir string, files overlay, roots ...string) (modfile string, err error) {
	omit := func(pkg, name string) bool { return pkg == "pkg/log" || strings.HasSuffix(name, checkpoints) }
	return netstack(dir, netstackDir, omit, slices.Concat(edits, mends), files, roots...)
}

// netstack adds the module's files that roots (arguments of go list) link to an overlay as if
// they were in place, and returns the name of a go.mod in dir that leads there. What omit is
// true for is left out.
func netstack(dir, place string, omit func(pkg, name string) bool, changes []edit, files overlay, roots ...string) (modfile string, err error) {
	out, err := goList(append([]string{"-deps", "-json=Dir,GoFiles,SFiles,Module"}, roots...)...)
	if err != nil {
		return "", err
	}
	type module struct {
		Path, Dir, GoMod string
		Main             bool
	}
	var from, to module
	var assembled []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir             string
			GoFiles, SFiles []string
			Module          module
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return "", fmt.Errorf("go list: %w", err)
		}
		if p.Module.Main {
			to = p.Module
		}
		if p.Module.Path != netstackModule {
			continue
		}
		from = p.Module
		part, err := filepath.Rel(from.Dir, p.Dir)
		if err != nil {
			return "", err
		}
		if len(p.SFiles) > 0 {
			assembled = append(assembled, filepath.Join(place, part))
		}
		for _, name := range append(p.GoFiles, p.SFiles...) {
			if !omit(part, name) {
				files[filepath.Join(place, part, name)] = filepath.Join(p.Dir, name)
			}
		}
	}
	if from.Dir == "" || to.Dir == "" {
		return "", fmt.Errorf("%v has no netstack", roots)
	}
	for _, pkg := range assembled { // the assembler runs in its package's directory
		if err := os.MkdirAll(filepath.Join(to.Dir, pkg), 0o755); err != nil {
			return "", err
		}
	}
	files[filepath.Join(place, "go.mod")] = from.GoMod
	for name, source := range files {
		if filepath.IsAbs(name) {
			continue
		}
		delete(files, name)
		name = filepath.Join(to.Dir, name)
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) { // or it is ours
			files[name] = source
		}
	}
	if err := editAll(dir, filepath.Join(to.Dir, place), changes, files); err != nil {
		return "", err
	}
	mod, err := os.ReadFile(to.GoMod)
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(strings.TrimSuffix(to.GoMod, ".mod") + ".sum")
	if err != nil {
		return "", err
	}
	mod = fmt.Appendf(mod, "\nreplace %s => ./%s\n", netstackModule, place)
	modfile = filepath.Join(dir, "go.mod")
	return modfile, errors.Join(os.WriteFile(modfile, mod, 0o644), os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
}

// editAll makes the edits, in copies of the files of netstack, which is at root, in dir.
func editAll(dir, root string, changes []edit, files overlay) error {
	edited := map[string]string{}
	for _, e := range changes {
		name := filepath.Join(root, e.file)
		text, ok := edited[name]
		if !ok {
			b, err := os.ReadFile(files[name])
			if err != nil {
				return fmt.Errorf("netstack's %s: %w", e.file, err)
			}
			text = string(b)
		}
		match := regexp.MustCompile(e.match)
		at := match.FindAllStringSubmatchIndex(text, -1)
		if len(at) != 1 {
			return fmt.Errorf("netstack's %s has %d places that match %s, not one", e.file, len(at), e.match)
		}
		edited[name] = text[:at[0][0]] + string(match.ExpandString(nil, e.text, text, at[0])) + text[at[0][1]:]
	}
	for name, text := range edited {
		f, err := os.CreateTemp(dir, "*.go")
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		files[name] = f.Name()
	}
	return nil
}

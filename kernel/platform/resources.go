package platform

// Resource descriptors (ACPI 6.5, 6.4): a tag, with the size in it or behind it,
// and that many bytes.
const (
	tagEnd         = 0x0f // small tags are these bits 3 to 6, the size bits 0 to 2
	tagMemory      = 0x85
	tagFixedMemory = 0x86
	tagDWordSpace  = 0x87
	tagWordSpace   = 0x88
	tagInterrupt   = 0x89
	tagQWordSpace  = 0x8a
)

// resource is something that a device has and that is of interest.
type resource struct {
	kind        kind
	start, size uint64
	line        Line // of an interrupt
}

type kind uint8

const (
	memory kind = iota
	buses       // of a host bridge
	interrupt
)

// eachResource calls f for the resources in a data object, a buffer of
// descriptors, as far as those are sound.
func eachResource(data []byte, f func(resource)) {
	if len(data) == 0 || data[0] != opBuffer {
		return
	}
	_, n := packageLength(data[1:])
	b := data[1+n:]
	size, k := integer(b)
	if n == 0 || k == 0 {
		return
	}
	b = b[k:]
	if size < uint64(len(b)) {
		b = b[:size]
	}
	for len(b) > 0 {
		tag, n, head := b[0], int(b[0]&7), 1
		if tag&0x80 != 0 {
			if len(b) < 3 {
				return
			}
			n, head = int(b[1])|int(b[2])<<8, 3
		} else {
			tag = tag >> 3 & 0xf
		}
		if tag == tagEnd || n > len(b)-head {
			return
		}
		if r, ok := decode(tag, b[head:head+n]); ok {
			f(r)
		}
		b = b[head+n:]
	}
}

// decode decodes a descriptor's bytes.
func decode(tag byte, b []byte) (r resource, ok bool) {
	u := func(at, n int) (v uint64) {
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[at+i])
		}
		return v
	}
	const memoryType, busType = 0, 2 // of an address space
	switch {
	case tag == tagFixedMemory && len(b) >= 9:
		r = resource{kind: memory, start: u(1, 4), size: u(5, 4)}
	case tag == tagMemory && len(b) >= 17:
		r = resource{kind: memory, start: u(1, 4), size: u(13, 4)}
	case tag == tagWordSpace && len(b) >= 13 && b[0] == busType:
		r = resource{kind: buses, start: u(5, 2), size: u(11, 2)}
	case tag == tagDWordSpace && len(b) >= 23 && b[0] == memoryType:
		r = resource{kind: memory, start: u(7, 4), size: u(19, 4)}
	case tag == tagQWordSpace && len(b) >= 43 && b[0] == memoryType:
		r = resource{kind: memory, start: u(11, 8), size: u(35, 8)}
	case tag == tagInterrupt && len(b) >= 6 && b[1] > 0:
		const edge, low = 1 << 1, 1 << 2
		r = resource{kind: interrupt, line: Line{GSI: uint32(u(2, 4)), Level: b[0]&edge == 0, Low: b[0]&low != 0}}
	default:
		return r, false
	}
	return r, true
}

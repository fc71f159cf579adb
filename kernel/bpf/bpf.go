// Package bpf is classic BPF, the machine of socket filters (bpf(4) of the BSDs, Linux's
// Documentation/networking/filter.rst): a program looks at a packet and says how many bytes
// of it its socket takes.
package bpf

import (
	_ "unsafe" // go:linkname

	"gosv/internal/le"
)

// random is for who wants a part of all packets.
//
//go:linkname random runtime.cheaprand
func random() uint32

// instruction is struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Size is an instruction's, in bytes, and Most how many a program may have (BPF_MAXINSNS).
const (
	Size = 8
	Most = 4096
)

// Program is one that has been checked: it ends.
type Program []instruction

// What an instruction's code is made of: a class, and what each class has besides.
const (
	classMask = 0x07
	ld        = 0x00
	ldx       = 0x01
	st        = 0x02
	stx       = 0x03
	alu       = 0x04
	jmp       = 0x05
	ret       = 0x06
	misc      = 0x07

	sizeMask = 0x18
	half     = 0x08
	octet    = 0x10

	modeMask = 0xe0
	imm      = 0x00
	abs      = 0x20
	ind      = 0x40
	mem      = 0x60
	length   = 0x80
	msh      = 0xa0

	opMask = 0xf0
	add    = 0x00
	sub    = 0x10
	mul    = 0x20
	div    = 0x30
	or     = 0x40
	and    = 0x50
	lsh    = 0x60
	rsh    = 0x70
	neg    = 0x80
	mod    = 0x90
	xor    = 0xa0

	ja   = 0x00
	jeq  = 0x10
	jgt  = 0x20
	jge  = 0x30
	jset = 0x40

	withX = 0x08
	retA  = 0x10
	txa   = 0x80
)

// codes are those that there are, by class.
const codes = "\x00\x20\x28\x30\x40\x48\x50\x60\x80" + "\x01\x61\x81\xb1" + "\x02" + "\x03" +
	"\x04\x0c\x14\x1c\x24\x2c\x34\x3c\x44\x4c\x54\x5c\x64\x6c\x74\x7c\x84\x94\x9c\xa4\xac" +
	"\x05\x15\x1d\x25\x2d\x35\x3d\x45\x4d" + "\x06\x16" + "\x07\x87"

// Offsets that are not into the packet (linux/filter.h): what else is known of it, its
// network header, its link header.
const (
	known       = 1<<32 - 0x1000
	fromNetwork = -0x100000
	fromLink    = -0x200000

	cells = 16
)

// What is known of a packet, behind known.
const (
	adProtocol   = 0
	adType       = 4
	adInterface  = 8
	adAttribute  = 12
	adNested     = 16
	adMark       = 20
	adQueue      = 24
	adHardware   = 28
	adHash       = 32
	adCPU        = 36
	adXorX       = 40
	adTag        = 44
	adTagPresent = 48
	adRandom     = 56
	adTagType    = 60
)

// Parse makes a program of an array of struct sock_filter. It returns nil where Linux
// returns EINVAL.
func Parse(b []byte) Program {
	n := len(b) / Size
	if len(b)%Size != 0 || n == 0 || n > Most {
		return nil
	}
	p := make(Program, n)
	for i := range p {
		w := b[i*Size:]
		p[i] = instruction{le.U16(w, 0), w[2], w[3], le.U32(w, 4)}
		if !p[i].valid(n - i - 1) {
			return nil
		}
	}
	if p[n-1].code&classMask != ret || !p.stores() {
		return nil
	}
	return p
}

// valid checks an instruction that so many follow.
func (i *instruction) valid(left int) bool {
	for k := 0; ; k++ {
		if k == len(codes) {
			return false
		}
		if uint16(codes[k]) == i.code {
			break
		}
	}
	switch i.code & classMask {
	case alu:
		op := i.code & opMask
		return i.code&withX != 0 || !(i.k == 0 && (op == div || op == mod) || i.k > 31 && (op == lsh || op == rsh))
	case jmp:
		if i.code == jmp|ja {
			return uint64(i.k) < uint64(left)
		}
		return int(i.jt) < left && int(i.jf) < left
	case ld:
		if i.code&modeMask == abs && i.k >= known {
			switch at := i.k - known; at {
			case adTagPresent, adRandom, adTagType:
			default:
				return at <= adTag && at%4 == 0
			}
		}
	}
	return !i.touches() || i.k < cells
}

// touches says whether an instruction is about a cell of the memory.
func (i *instruction) touches() bool {
	switch i.code {
	case st, stx, ld | mem, ldx | mem:
		return true
	}
	return false
}

// stores says whether every cell is stored to before it is loaded.
func (p Program) stores() bool {
	at := make([]uint16, len(p)) // cells that may not have been stored to when an instruction is reached
	missing := ^uint16(0)
	for pc := range p {
		i := &p[pc]
		missing |= at[pc]
		switch class := i.code & classMask; {
		case i.touches() && (class == st || class == stx):
			missing &^= 1 << i.k
		case i.touches() && missing>>i.k&1 != 0:
			return false
		case i.code == jmp|ja:
			at[pc+1+int(i.k)] |= missing
			missing = 0
		case class == jmp:
			at[pc+1+int(i.jt)] |= missing
			at[pc+1+int(i.jf)] |= missing
			missing = 0
		}
	}
	return true
}

// Packet is what a program looks at.
type Packet struct {
	Data          []byte // where loads count from
	Network, Link []byte // from these headers on; nil: there are none
	Protocol      uint16 // ETH_P_...
	Type          uint8  // PACKET_HOST ...
	Interface     uint32 // 0: there is none
	Hardware      uint16 // ARPHRD_... of that
	Mark, CPU     uint32
}

// Run returns how many bytes of a packet p takes. A load from outside it is the end.
func (p Program) Run(k *Packet) uint32 {
	var a, x uint32
	var m [cells]uint32
	for pc := 0; pc < len(p); pc++ {
		i := &p[pc]
		v := i.k // the operand
		switch class := i.code & classMask; class {
		case ld, ldx:
			ok := true
			switch i.code & modeMask {
			case mem:
				v = m[v%cells]
			case length:
				v = uint32(len(k.Data))
			case msh:
				v, ok = k.load(v, 1)
				v = v & 0xf * 4
			case ind:
				v, ok = k.load(v+x, i.size())
			case abs:
				if v >= known {
					v, ok = k.known(v-known, a, x)
				} else {
					v, ok = k.load(v, i.size())
				}
			}
			if !ok {
				return 0
			}
			if class == ldx {
				x = v
			} else {
				a = v
			}
		case st:
			m[v%cells] = a
		case stx:
			m[v%cells] = x
		case alu:
			if i.code&withX != 0 {
				v = x
			}
			var ok bool
			if a, ok = compute(i.code&opMask, a, v); !ok {
				return 0
			}
		case jmp:
			if i.code&withX != 0 {
				v = x
			}
			switch i.code & opMask {
			case ja:
				pc += int(v)
			case jeq:
				pc += i.jump(a == v)
			case jgt:
				pc += i.jump(a > v)
			case jge:
				pc += i.jump(a >= v)
			default:
				pc += i.jump(a&v != 0)
			}
		case ret:
			if i.code&retA != 0 {
				return a
			}
			return v
		case misc:
			if i.code&txa != 0 {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// jump is how far i goes.
func (i *instruction) jump(holds bool) int {
	if holds {
		return int(i.jt)
	}
	return int(i.jf)
}

// size is how many bytes i loads.
func (i *instruction) size() int {
	switch i.code & sizeMask {
	case half:
		return 2
	case octet:
		return 1
	}
	return 4
}

// compute does what an instruction of class alu does to a.
func compute(op uint16, a, v uint32) (_ uint32, ok bool) {
	switch op {
	case add:
		a += v
	case sub:
		a -= v
	case mul:
		a *= v
	case div, mod:
		if v == 0 {
			return 0, false
		}
		if op == div {
			a /= v
		} else {
			a %= v
		}
	case or:
		a |= v
	case and:
		a &= v
	case lsh:
		a <<= v & 31
	case rsh:
		a >>= v & 31
	case neg:
		a = -a
	case xor:
		a ^= v
	}
	return a, true
}

// load reads a big-endian number of so many bytes.
func (k *Packet) load(at uint32, size int) (v uint32, ok bool) {
	b, from := k.Data, int(int32(at))
	switch {
	case from >= 0:
	case from >= fromNetwork:
		b, from = k.Network, from-fromNetwork
	case from >= fromLink:
		b, from = k.Link, from-fromLink
	}
	if from < 0 || from+size > len(b) {
		return 0, false
	}
	for _, c := range b[from : from+size] {
		v = v<<8 | uint32(c)
	}
	return v, true
}

// known is what is known of the packet besides its bytes.
func (k *Packet) known(what, a, x uint32) (v uint32, ok bool) {
	switch what {
	case adProtocol:
		v = uint32(k.Protocol)
	case adType:
		v = uint32(k.Type)
	case adInterface, adHardware:
		if k.Interface == 0 {
			return 0, false
		}
		if v = k.Interface; what == adHardware {
			v = uint32(k.Hardware)
		}
	case adAttribute, adNested:
		v = k.attribute(a, x, what == adNested)
	case adMark:
		v = k.Mark
	case adCPU:
		v = k.CPU
	case adXorX:
		v = a ^ x
	case adRandom:
		v = random()
	}
	return v, true // none has a tag, a hash, or one of several queues
}

// attribute returns where the first attribute of a kind is (netlink(7)) among those from a
// place on, or in the one that is there: 0 if there is none.
func (k *Packet) attribute(at, kind uint32, nested bool) uint32 {
	const head, kindMask = 4, 0x3fff
	end := uint32(len(k.Data))
	if end < head || at > end-head {
		return 0
	}
	if nested {
		n := uint32(le.U16(k.Data, int(at)))
		if n > end-at {
			return 0
		}
		at, end = at+head, at+n
	}
	for at+head <= end {
		n := uint32(le.U16(k.Data, int(at)))
		if n < head || n > end-at {
			break
		}
		if uint32(le.U16(k.Data, int(at)+2)&kindMask) == kind {
			return at
		}
		at += (n + 3) &^ 3
	}
	return 0
}

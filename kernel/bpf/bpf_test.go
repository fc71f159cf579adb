package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	reference "golang.org/x/net/bpf"
)

// assemble makes what Parse takes.
func assemble(list ...reference.RawInstruction) (b []byte) {
	for _, i := range list {
		b = binary.LittleEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b
}

// TestReference: programs of random instructions and their results are those of another
// machine, where that is as Linux's.
func TestReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	packet := make([]byte, 64)
	for i := range packet {
		packet[i] = byte(r.Uint32())
	}
	taken, ended := 0, 0
	for n := range 300_000 {
		list := make([]reference.RawInstruction, 1+r.IntN(12))
		for i := range list {
			op := uint16(codes[r.IntN(len(codes))])
			k := uint32(r.IntN(70))
			if r.IntN(4) == 0 {
				k = r.Uint32() &^ (1 << 31) // none of Linux's extensions, which are others' there
			}
			if op&^sizeMask == ld|imm || op&^sizeMask == ldx|imm {
				k = uint32(r.IntN(8)) // for shifts
			}
			list[i] = reference.RawInstruction{Op: op, Jt: uint8(r.IntN(8)), Jf: uint8(r.IntN(8)), K: k}
		}
		list[len(list)-1].Op = ret
		if r.IntN(2) == 0 {
			list[len(list)-1].Op |= retA
		}
		p := Parse(assemble(list...))
		if p == nil {
			continue
		}
		taken++
		insts, _ := reference.Disassemble(list)
		vm, err := reference.NewVM(insts)
		if err != nil {
			t.Fatalf("%d: %v is not a program: %v", n, insts, err)
		}
		// There, a shift by more than 31 is not one by what is left modulo 32, the packet's length
		// does not get to X, and an offset may not wrap around.
		other := false
		for _, i := range list {
			other = other || i.Op == alu|lsh|withX || i.Op == alu|rsh|withX || i.Op == ldx|length || i.Op&^sizeMask == ld|ind
		}
		want, err := vm.Run(packet)
		if err != nil { // it knows no negation
			continue
		}
		if got := p.Run(&Packet{Data: packet}); int(got) != want && !other {
			t.Fatalf("%d: %v %v: %d, not %d", n, insts, list, got, want)
		}
		if want != 0 {
			ended++
		}
	}
	if taken < 10_000 || ended < 1000 {
		t.Errorf("%d programs, %d of which take something", taken, ended)
	}
}

// FuzzProgram: no program does anything but end.
func FuzzProgram(f *testing.F) {
	f.Add(assemble(reference.RawInstruction{Op: ld | ind, K: 1<<32 - 1}, reference.RawInstruction{Op: ret | retA}), []byte("packet"))
	f.Add(assemble(reference.RawInstruction{Op: ldx | msh, K: 1<<32 - 0x100000}, reference.RawInstruction{Op: st, K: 15}, reference.RawInstruction{Op: ld | mem, K: 15}, reference.RawInstruction{Op: ret}), []byte{})
	f.Add(assemble(reference.RawInstruction{Op: ld | imm, K: 4}, reference.RawInstruction{Op: ld | abs, K: known + adNested}, reference.RawInstruction{Op: ret | retA}), []byte{8, 0, 1, 0, 255, 255, 0, 0})
	f.Fuzz(func(t *testing.T, program, packet []byte) {
		if p := Parse(program); p != nil {
			p.Run(&Packet{Data: packet, Network: packet[len(packet)/2:]})
		}
	})
}

func TestParse(t *testing.T) {
	const k = 1<<32 - 1
	end := reference.RawInstruction{Op: ret, K: k}
	for name, list := range map[string][]reference.RawInstruction{
		"nothing":                    {},
		"no end":                     {{Op: ld | imm}},
		"no such instruction":        {{Op: alu | neg | withX}, end},
		"a large code":               {{Op: 0x106}},
		"a return of X":              {{Op: ret | withX}},
		"a jump too far":             {{Op: jmp | ja, K: 1}, end},
		"a jump far too far":         {{Op: jmp | ja, K: k}, end},
		"a branch too far":           {{Op: jmp | jeq, Jt: 1}, end},
		"another":                    {{Op: jmp | jeq, Jf: 1}, end},
		"a division by 0":            {{Op: alu | div}, end},
		"a remainder by 0":           {{Op: alu | mod}, end},
		"a shift by 32":              {{Op: alu | lsh, K: 32}, end},
		"a cell too many":            {{Op: st, K: 16}, end},
		"a load of nothing":          {{Op: ld | mem, K: 1}, end},
		"one after a jump past it":   {{Op: jmp | jeq, Jf: 1}, {Op: st}, {Op: ldx | mem}, end},
		"something unknown":          {{Op: ld | abs, K: known + 2}, end},
		"something unknown, further": {{Op: ld | abs, K: known + 64}, end},
	} {
		if Parse(assemble(list...)) != nil {
			t.Error(name)
		}
	}
	most := make([]reference.RawInstruction, Most)
	most[Most-1] = end
	if Parse(assemble(most...)) == nil || Parse(assemble(append(most, end)...)) != nil {
		t.Error("the longest program")
	}
	if Parse(append(assemble(end), 1)) != nil {
		t.Error("a part of an instruction")
	}
	if Parse(assemble(reference.RawInstruction{Op: jmp | jeq, Jf: 1}, reference.RawInstruction{Op: st}, end)) == nil ||
		Parse(assemble(reference.RawInstruction{Op: st}, reference.RawInstruction{Op: jmp | jset, Jt: 1}, reference.RawInstruction{Op: ld | imm}, reference.RawInstruction{Op: ld | mem}, end)) == nil {
		t.Error("good programs")
	}
}

// TestKnown: what is known of a packet besides its bytes, and offsets from its headers.
func TestKnown(t *testing.T) {
	packet := Packet{
		Data: []byte{9, 8, 12, 0, 1, 0, 4, 0, 2, 0, 4, 0, 3, 0}, Network: []byte{0x45, 1, 2, 3}, Link: []byte{5, 6},
		Protocol: 0x800, Type: 4, Interface: 2, Hardware: 1, Mark: 77, CPU: 3,
	}
	for _, c := range []struct {
		op         uint16
		k, a, x, v uint32
	}{
		{ld | abs, known + adProtocol, 0, 0, 0x800}, {ld | abs | half, known + adType, 0, 0, 4}, {ld | abs, known + adInterface, 0, 0, 2},
		{ld | abs | octet, known + adHardware, 0, 0, 1}, {ld | abs, known + adMark, 0, 0, 77}, {ld | abs, known + adCPU, 0, 0, 3},
		{ld | abs, known + adXorX, 6, 3, 5}, {ld | abs, known + adTagPresent, 6, 3, 0},
		{ld | abs, 1<<32 + fromNetwork, 0, 0, 0x45010203}, {ld | ind, 1 << 31, 0, 1<<31 + fromNetwork&(1<<31-1), 0}, {ld | abs | half, 1<<32 + fromLink, 0, 0, 0x506},
		{ld | abs, 1<<32 + fromLink, 0, 0, 0}, {ld | abs, 1 << 31, 0, 0, 0}, {ld | length, 0, 0, 0, 14},
		{ld | abs, known + adAttribute, 2, 1, 2}, {ld | abs, known + adAttribute, 2, 2, 0}, {ld | abs, known + adNested, 2, 2, 6},
		{ld | abs, known + adNested, 2, 3, 10}, {ld | abs, known + adNested, 2, 4, 0}, {ld | abs, known + adAttribute, 11, 1, 0},
		{alu | lsh | withX, 0, 1, 33, 2}, {alu | rsh | withX, 0, 4, 33, 2}, {alu | div | withX, 0, 4, 0, 0},
	} {
		p := Parse(assemble(reference.RawInstruction{Op: ldx | imm, K: c.x}, reference.RawInstruction{Op: ld | imm, K: c.a},
			reference.RawInstruction{Op: c.op, K: c.k}, reference.RawInstruction{Op: ret | retA}))
		if p == nil {
			t.Errorf("%#x %#x is not a program", c.op, c.k)
		} else if v := p.Run(&packet); v != c.v {
			t.Errorf("%#x %#x of %d, %d: %#x, not %#x", c.op, c.k, c.a, c.x, v, c.v)
		}
	}
}

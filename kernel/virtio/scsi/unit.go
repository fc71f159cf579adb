package scsi

import (
	"math"
	"sync"

	"gosv/kernel/block"
	"gosv/kernel/virtio"
)

// Operation codes (SPC-4, SBC-3).
const (
	opInquiry       = 0x12
	opModeSense6    = 0x1a
	opReadCapacity  = 0x25
	opRead10        = 0x28
	opWrite10       = 0x2a
	opSyncCache     = 0x35
	opUnmap         = 0x42
	opRead16        = 0x88
	opWrite16       = 0x8a
	opWriteSame16   = 0x93
	opServiceIn16   = 0x9e // with service action
	opReportLUNs    = 0xa0
	readCapacity16  = 0x10 // the service action
	modeCaching     = 0x08
	pageSerial      = 0x80
	pageBlockLimits = 0xb0
	pageProvision   = 0xb2

	typeDisk   = 0x00
	typeCDROM  = 0x05
	typeAbsent = 0x1f
)

// answerBytes is the room for what a unit answers to a question.
const answerBytes = 512

// unit is a logical unit, as block.Device.
type unit struct {
	host        *Host
	target, lun uint16
	disk        *block.Disk // nil until the system knows it
	model       string
	shift       uint // of a sector number to that of a block
	limits      block.Limits
	unmaps      bool // else it has WRITE SAME only
	zeros       virtio.Piece

	resizing sync.Mutex
}

// address is the unit's in the first form of section 5.6.6.1.
func (u *unit) address() [8]byte {
	return [8]byte{1, byte(u.target), byte(u.lun>>8) | 0x40, byte(u.lun)}
}

func put32(p []byte, v uint32) {
	p[0], p[1], p[2], p[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func put64(p []byte, v uint64) {
	put32(p, uint32(v>>32))
	put32(p[4:], uint32(v))
}

func get16(p []byte) uint16 { return uint16(p[0])<<8 | uint16(p[1]) }
func get32(p []byte) uint32 { return uint32(get16(p))<<16 | uint32(get16(p[2:])) }
func get64(p []byte) uint64 { return uint64(get32(p))<<32 | uint64(get32(p[4:])) }

// ask has the unit answer a command, and returns how that went. What it did not write
// of the answer is zero.
func (u *unit) ask(s block.Sleeper, cdb ...byte) ([]byte, result) {
	answers, results := u.host.ask(s, []*unit{u}, cdb)
	return answers[0], results[0]
}

// ask asks several units the same at once.
func (h *Host) ask(s block.Sleeper, units []*unit, cdb []byte) (answers [][]byte, results []result) {
	piece, err := h.dev.Memory().Alloc(len(units) * answerBytes)
	commands, list := make([]command, len(units)), make([]*block.Awaited, len(units))
	for i, u := range units {
		c := &commands[i]
		copy(c.cdb[:], cdb)
		c.result = result{response: responseFailure, residual: answerBytes} // until it is done
		c.Request = block.Request{Op: opCommand, Disk: u, Done: c, Segs: []block.Segment{{Addr: piece.Addr + uint64(i)*answerBytes, Len: answerBytes}}}
		list[i] = &c.Awaited
	}
	if err == nil {
		block.Await(s, h.requests.Submit, list...)
	}
	lost := err != nil
	for i := range commands {
		c, answer := &commands[i], make([]byte, answerBytes)
		if n := answerBytes - min(c.result.residual, answerBytes); n > 0 {
			copy(answer[:n], piece.Bytes[i*answerBytes:])
		}
		answers, results = append(answers, answer), append(results, c.result)
		lost = lost || c.Lost
	}
	if !lost {
		h.dev.Memory().Free(piece)
	}
	return answers, results
}

// probe asks the unit what it is; false if it is nothing that we know.
func (u *unit) probe(s block.Sleeper) (cd, ok bool) {
	const room = 96
	a, r := u.ask(s, opInquiry, 0, 0, 0, room)
	kind := a[0] & 0x1f
	if !r.good() || a[0]>>5 != 0 || kind != typeDisk && kind != typeCDROM {
		return false, false
	}
	cd = kind == typeCDROM
	u.model = text(a[16:32])
	u.limits = u.host.limits
	u.limits.Removable = a[1]&0x80 != 0
	if !u.readCapacity(s) && !cd { // a CD-ROM without a disc has none
		return false, false
	}
	u.limits.ReadOnly = cd
	u.readModes(s)
	if !cd {
		u.readProvisioning(s)
	}
	return cd, true
}

// readCapacity sets the size, and those of blocks.
func (u *unit) readCapacity(s block.Sleeper) bool {
	cdb := [16]byte{opServiceIn16, readCapacity16, 13: 32}
	a, r := u.ask(s, cdb[:]...)
	last, size, exponent, thin := get64(a), get32(a[8:]), a[13]&15, a[14]&0x80 != 0
	if !r.good() {
		var cdb [10]byte
		cdb[0] = opReadCapacity
		if a, r = u.ask(s, cdb[:]...); !r.good() {
			u.limits.LogicalBlock = block.SectorSize
			return false
		}
		last, size, exponent, thin = uint64(get32(a)), get32(a[4:]), 0, false
	}
	switch size {
	case 512:
		u.shift = 0
	case 1024, 2048, 4096:
		for u.shift = 1; block.SectorSize<<u.shift != size; u.shift++ {
		}
	default:
		return false // blocks of 520 bytes, or nonsense
	}
	l := &u.limits
	l.Sectors = min(last, math.MaxInt64/4096-1) + 1
	l.Sectors <<= u.shift
	l.LogicalBlock, l.PhysicalBlock = size, size<<exponent
	if l.PhysicalBlock > 1<<20 {
		l.PhysicalBlock = size
	}
	if thin {
		l.MaxDiscard = 1 // until readProvisioning knows better
	}
	return true
}

// readModes tells whether the unit has a cache of its own, and may be written.
func (u *unit) readModes(s block.Sleeper) {
	const all, room = 0x3f, 192
	for _, page := range []byte{modeCaching, all} {
		a, r := u.ask(s, opModeSense6, 0, page, 0, room)
		if !r.good() {
			continue
		}
		if a[2]&0x80 != 0 {
			u.limits.ReadOnly = true
		}
		for at, end := 4+int(a[3]), min(int(a[0])+1, room); at+3 <= end; at += 2 + int(a[at+1]) {
			if a[at]&0x3f == modeCaching {
				u.limits.Volatile = a[at+2]&4 != 0
				return
			}
		}
	}
}

// readProvisioning tells which blocks can be made to take no room, and how many at once.
func (u *unit) readProvisioning(s block.Sleeper) {
	l := &u.limits
	thin := l.MaxDiscard != 0
	l.MaxDiscard = 0
	limits, ok := u.page(s, pageBlockLimits)
	if !ok {
		return
	}
	scale := func(blocks uint64) uint32 {
		return uint32(min(blocks, math.MaxUint32>>u.shift&^7) << u.shift)
	}
	if provision, ok := u.page(s, pageProvision); thin && ok && provision[5]&0x80 != 0 {
		u.unmaps = true
		l.MaxDiscard = scale(uint64(get32(limits[20:])))
		l.DiscardAlign = min(get32(limits[28:]), 1<<20) * l.LogicalBlock
	}
	// Without a limit of its own WRITE SAME has that of its older form.
	most := get64(limits[36:])
	if most == 0 {
		most = 0xffff
	}
	zeros, err := u.host.dev.Memory().Alloc(block.PageSize)
	if err == nil {
		u.zeros = zeros
		l.MaxZeroes = scale(most)
	}
}

// page returns a page of vital product data.
func (u *unit) page(s block.Sleeper, code byte) ([]byte, bool) {
	a, r := u.ask(s, opInquiry, 1, code, 0, 255)
	return a, r.good() && a[1] == code
}

// Identity implements block.Device.
func (u *unit) Identity(s block.Sleeper) (model, serial string) {
	if a, ok := u.page(s, pageSerial); ok {
		serial = text(a[4 : 4+min(int(get16(a[2:])), 64)])
	}
	return u.model, serial
}

// text is a name without what is no printable ASCII.
func text(p []byte) string {
	var b []byte
	for _, c := range p {
		if c == 0 {
			break
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		b = append(b, c)
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// Limits implements block.Device.
func (u *unit) Limits() block.Limits { return u.limits }

// Submit implements block.Device.
func (u *unit) Submit(r *block.Request) {
	for q := r; q != nil; q = q.Next {
		q.Disk = u
	}
	u.host.requests.Submit(r)
}

// command is the one that does r.
func (u *unit) command(r *block.Request) (c [cdbSize]byte) {
	at, n := r.Sector>>u.shift, uint32(r.Count>>u.shift)
	long := at+uint64(n) > math.MaxUint32 || n > math.MaxUint16
	switch r.Op {
	case block.Read:
		c[0] = opRead10
		if long {
			c[0] = opRead16
		}
	case block.Write:
		c[0] = opWrite10
		if long {
			c[0] = opWrite16
		}
	case block.Flush:
		c[0] = opSyncCache
		return c
	case block.Discard:
		c[0], c[8] = opUnmap, parameterBytes
		return c
	case block.WriteZeroes:
		c[0], long = opWriteSame16, true
		if r.Unmap && u.unmaps {
			c[1] = 8
		}
	}
	if long {
		put64(c[2:], at)
		put32(c[10:], n)
		return c
	}
	put32(c[2:], uint32(at))
	c[7], c[8] = byte(n>>8), byte(n)
	return c
}

// changed is told that the unit has another size.
func (u *unit) changed() {
	go func() {
		u.resizing.Lock()
		defer u.resizing.Unlock()
		fresh := &unit{host: u.host, target: u.target, lun: u.lun}
		if u.disk != nil && fresh.readCapacity(block.NewSleeper()) && fresh.shift == u.shift {
			u.disk.Resize(fresh.limits.Sectors)
		}
	}()
}

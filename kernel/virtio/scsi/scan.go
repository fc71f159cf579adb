package scsi

import (
	"slices"
	"sync"

	"gosv/internal/le"
	"gosv/kernel/block"
	"gosv/kernel/virtio"
)

// scan looks for units, and tells the system of new ones and of those that are gone.
func (h *Host) scan(s block.Sleeper) {
	const atOnce = 64
	h.scanning.Lock()
	defer h.scanning.Unlock()
	var there []*unit
	for target := uint32(0); target <= h.maxTarget; target += atOnce {
		var firsts []*unit
		for t := target; t < target+atOnce && t <= h.maxTarget; t++ {
			firsts = append(firsts, &unit{host: h, target: uint16(t)})
		}
		cdb := [12]byte{opReportLUNs}
		put32(cdb[6:], answerBytes)
		answers, results := h.ask(s, firsts, cdb[:])
		for i, u := range firsts {
			switch r := results[i]; {
			case r.good():
				there = append(there, u.listed(answers[i])...)
			case r.response == responseOK: // there is somebody who does not know the question
				there = append(there, u)
			}
		}
	}
	h.mu.Lock()
	known := slices.Clone(h.units)
	h.mu.Unlock()
	for _, u := range known {
		if !slices.ContainsFunc(there, u.is) {
			h.remove(u)
		}
	}
	for _, u := range there {
		if !slices.ContainsFunc(known, u.is) {
			h.found(s, u)
		}
	}
}

func (u *unit) is(v *unit) bool { return u.target == v.target && u.lun == v.lun }

// listed returns the units in an answer to REPORT LUNS (SPC-4 6.33).
func (u *unit) listed(a []byte) (list []*unit) {
	n := min(int(get32(a)), answerBytes-8)
	for at := 8; at+8 <= 8+n; at += 8 {
		lun := get16(a[at:])
		switch lun >> 14 {
		case 0: // peripheral device addressing: the first byte is a bus
			if lun>>8 != 0 {
				continue
			}
		case 1: // flat space addressing
			lun &= 0x3fff
		default:
			continue
		}
		v := &unit{host: u.host, target: u.target, lun: lun}
		if uint32(lun) <= u.host.maxLUN && !slices.ContainsFunc(list, v.is) {
			list = append(list, v)
		}
	}
	return list
}

// found tells the system of u, if it is something that it wants to know.
func (h *Host) found(s block.Sleeper, u *unit) {
	cd, ok := u.probe(s)
	if !ok {
		return
	}
	u.disk = h.system.AddDisk(u, cd)
	h.mu.Lock()
	h.units = append(h.units, u)
	h.mu.Unlock()
}

func (h *Host) remove(u *unit) {
	h.mu.Lock()
	h.units = slices.DeleteFunc(h.units, u.is)
	h.mu.Unlock()
	h.system.RemoveDisk(u.disk)
}

// events is the queue of what happens (section 5.6.6.3), and its buffers.
type events struct {
	mu    sync.Mutex // above all others
	q     *virtio.Queue
	piece virtio.Piece
}

const (
	numEvents  = 8
	eventBytes = 16

	eventsMissed   = 0x80000000
	eventTransport = 1
	eventChange    = 3

	reasonReset   = 0
	reasonRescan  = 1
	reasonRemoved = 2
)

func (e *events) init(dev *virtio.Device) (err error) {
	e.piece, err = dev.Memory().Alloc(numEvents * eventBytes)
	return err
}

// offer gives all buffers to the device.
func (e *events) offer() {
	for i := range min(numEvents, e.q.Size()) {
		e.give(i)
	}
	e.q.Kick()
}

func (e *events) give(i int) {
	clear(e.piece.Bytes[i*eventBytes:][:eventBytes])
	e.q.Add(nil, []virtio.Buffer{e.piece.Buffer(i*eventBytes, eventBytes)}, i)
}

// eventUsed is called when something happened.
func (h *Host) eventUsed() {
	rescan := false
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	for {
		token, n, ok := h.events.q.Next()
		if !ok {
			break
		}
		i := token.(int)
		var ev [eventBytes]byte
		copy(ev[:n], h.events.piece.Bytes[i*eventBytes:])
		h.events.give(i)
		what, reason := le.U32(ev[:], 0), le.U32(ev[:], 12)
		switch what &^ eventsMissed {
		case eventTransport:
			rescan = rescan || reason == reasonRescan || reason == reasonRemoved
		case eventChange:
			if code := uint16(reason&0xff)<<8 | uint16(reason>>8&0xff); code == senseCapacityChanged {
				h.resized(uint16(ev[5]), uint16(ev[6]&0x3f)<<8|uint16(ev[7]))
			}
		}
		rescan = rescan || what&eventsMissed != 0
	}
	h.events.q.Kick()
	if rescan {
		go h.scan(block.NewSleeper())
	}
}

// resized is told that a unit has another size.
func (h *Host) resized(target, lun uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.units {
		if u.target == target && u.lun == lun {
			u.changed()
		}
	}
}

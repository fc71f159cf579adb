package scsi

import (
	"gosv/kernel/block"
	"gosv/kernel/errno"
)

// What the adapter says became of a command (section 5.6.6.1), and the unit
// (SAM-5 5.3.1).
const (
	responseOK        = 0
	responseOverrun   = 1
	responseAborted   = 2
	responseBadTarget = 3
	responseReset     = 4
	responseBusy      = 5
	responseFailure   = 9
	responseNone      = 0xff // the device wrote none

	statusGood           = 0x00
	statusCheckCondition = 0x02
	statusBusy           = 0x08
	statusTaskSetFull    = 0x28
)

// Sense keys, and additional codes as code << 8 | qualifier (SPC-4 4.5.6).
const (
	keyNone           = 0x0
	keyRecovered      = 0x1
	keyIllegalRequest = 0x5
	keyUnitAttention  = 0x6
	keyDataProtect    = 0x7
	keyAborted        = 0xb

	senseCapacityChanged = 0x2a09
	senseNoSpace         = 0x2707 // space allocation failed: write protect
	senseLUNsChanged     = 0x3f0e
)

// maxTries is how often a command is given again to a unit that was busy with
// something else.
const maxTries = 8

// result is what became of a command.
type result struct {
	response, status uint8
	key              uint8
	code             uint16
	residual         uint32
}

// result reads, each byte once, what the device wrote.
func (m *memory) result() result {
	r := result{response: m.response.response, status: m.response.status, residual: m.response.residual}
	if r.response != responseOK || r.status != statusCheckCondition {
		return r
	}
	s := m.response.sense
	n := min(m.response.senseLen, senseSize)
	switch {
	case n >= 14 && s[0]&0x7e == 0x70: // fixed format
		r.key, r.code = s[2]&15, uint16(s[12])<<8|uint16(s[13])
	case n >= 4 && s[0]&0x7e == 0x72: // descriptor format
		r.key, r.code = s[1]&15, uint16(s[2])<<8|uint16(s[3])
	default:
		r.key = 0xf // it says nothing of use
	}
	return r
}

// good says whether the command did what it was to do.
func (r result) good() bool {
	return r.response == responseOK && (r.status == statusGood || r.status == statusCheckCondition && r.key <= keyRecovered)
}

// again says whether the same command may have a better fate.
func (r result) again() bool {
	switch r.response {
	case responseAborted, responseReset, responseBusy:
		return true
	case responseOK:
		return r.status == statusBusy || r.status == statusTaskSetFull ||
			r.status == statusCheckCondition && (r.key == keyUnitAttention || r.key == keyAborted)
	}
	return false
}

// capacityChanged says whether the unit told, in passing, that it has another size.
func (r result) capacityChanged() bool {
	return r.status == statusCheckCondition && r.key == keyUnitAttention && r.code == senseCapacityChanged
}

// errno is what the one who asked for op is told.
func (r result) errno(op block.Op) errno.Errno {
	switch {
	case r.good():
		return 0
	case r.response != responseOK || r.status != statusCheckCondition:
		return errno.EIO
	case r.key == keyIllegalRequest && op != block.Read && op != block.Write:
		return errno.EOPNOTSUPP
	case r.key == keyDataProtect && r.code == senseNoSpace:
		return errno.ENOSPC
	}
	return errno.EIO
}

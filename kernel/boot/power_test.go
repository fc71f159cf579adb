package boot

import (
	"encoding/binary"
	"slices"
	"testing"
)

// fadt returns a FADT's body of n bytes with its header, fields set by edit.
func fadt(n int, edit func(b []byte)) []byte {
	b := make([]byte, 276)
	edit(b)
	return b[tableHeader:n]
}

func putGAS(b []byte, off int, space Space, bits byte, addr uint64) {
	b[off], b[off+gasBits] = byte(space), bits
	binary.LittleEndian.PutUint64(b[off+gasAddr:], addr)
}

func put32(b []byte, off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
func put64(b []byte, off int, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }

func powerOf(fadt, aml []byte) Power {
	m := make(image, 1<<20)
	m.table(0x2001, "FACP", fadt)
	m.table(0x3003, "DSDT", aml)
	m.roots(0xe0000, 0, 0x4003, 0x2001)
	return FindPower(m.memory(), 0)
}

const s5AML = "\x08_S5_\x12\x06\x04\x0a\x05\x00\x00\x00"

func TestFADT(t *testing.T) {
	const dsdt = 0x3003
	for name, c := range map[string]struct {
		size int
		edit func(b []byte)
		want Power
	}{
		"PM1a": {244, func(b []byte) { put32(b, fadtDSDT, dsdt); put32(b, fadtPM1aControl, 0x604) },
			Power{HasS5: true, S5Type: 5, PM1aControl: 0x604}},
		"ACPI 1": {116, func(b []byte) { put32(b, fadtDSDT, dsdt); put32(b, fadtPM1aControl, 0x604) },
			Power{HasS5: true, S5Type: 5, PM1aControl: 0x604}},
		"PM1a's long address wins": {244, func(b []byte) {
			put64(b, fadtXDSDT, dsdt)
			put32(b, fadtPM1aControl, 0x604)
			putGAS(b, fadtXPM1aControl, SystemIO, 16, 0xb004)
		}, Power{HasS5: true, S5Type: 5, PM1aControl: 0xb004}},
		"PM1a in memory": {244, func(b []byte) {
			put64(b, fadtXDSDT, dsdt)
			putGAS(b, fadtXPM1aControl, SystemMemory, 16, 0xb004)
		}, Power{HasS5: true, S5Type: 5}},
		"PM1a is no port": {244, func(b []byte) { put64(b, fadtXDSDT, dsdt); put32(b, fadtPM1aControl, 0x10000) },
			Power{HasS5: true, S5Type: 5}},
		"the long DSDT address wins": {276, func(b []byte) { put32(b, fadtDSDT, 0x2001); put64(b, fadtXDSDT, dsdt) },
			Power{HasS5: true, S5Type: 5}},
		"DSDT out of reach":   {276, func(b []byte) { put64(b, fadtXDSDT, top-7) }, Power{}},
		"DSDT is another":     {276, func(b []byte) { put64(b, fadtXDSDT, 0x2001) }, Power{}},
		"nothing":             {276, func(b []byte) {}, Power{}},
		"of a header only":    {36, func(b []byte) {}, Power{}},
		"cut before flags":    {112, func(b []byte) { put32(b, fadtFlags, fadtHWReduced) }, Power{}},
		"cut inside of flags": {115, func(b []byte) { put32(b, fadtFlags, fadtHWReduced) }, Power{}},
		"sleep control in memory": {276, func(b []byte) {
			put32(b, fadtFlags, fadtHWReduced)
			put32(b, fadtPM1aControl, 0x604)
			put64(b, fadtXDSDT, dsdt)
			putGAS(b, fadtSleepControl, SystemMemory, 8, 0xfea00200)
		}, Power{HWReduced: true, HasS5: true, S5Type: 5, SleepControl: Register{SystemMemory, 0xfea00200}}},
		"sleep control by a port": {268, func(b []byte) { // Cloud Hypervisor
			put32(b, fadtFlags, fadtHWReduced)
			put64(b, fadtXDSDT, dsdt)
			putGAS(b, fadtSleepControl, SystemIO, 8, 0x600)
		}, Power{HWReduced: true, HasS5: true, S5Type: 5, SleepControl: Register{SystemIO, 0x600}}},
		"sleep control in PCI space": {276, func(b []byte) {
			put32(b, fadtFlags, fadtHWReduced)
			putGAS(b, fadtSleepControl, 2, 8, 0x600)
		}, Power{HWReduced: true}},
		"sleep control of 32 bits": {276, func(b []byte) {
			put32(b, fadtFlags, fadtHWReduced)
			putGAS(b, fadtSleepControl, SystemIO, 32, 0x600)
		}, Power{HWReduced: true}},
		"sleep control is no port": {276, func(b []byte) {
			put32(b, fadtFlags, fadtHWReduced)
			putGAS(b, fadtSleepControl, SystemIO, 8, 0x10600)
		}, Power{HWReduced: true}},
		"sleep control cut off": {255, func(b []byte) {
			put32(b, fadtFlags, fadtHWReduced)
			putGAS(b, fadtSleepControl, SystemIO, 8, 0x600)
		}, Power{HWReduced: true}},
		"sleep control of a machine with PM1": {276, func(b []byte) { putGAS(b, fadtSleepControl, SystemIO, 8, 0x600) }, Power{}},
		"reset": {276, func(b []byte) {
			put32(b, fadtFlags, fadtResetSupported)
			putGAS(b, fadtReset, SystemIO, 8, 0xcf9)
			b[fadtResetValue] = 6
		}, Power{Reset: Register{SystemIO, 0xcf9}, ResetValue: 6}},
		"reset unsupported": {276, func(b []byte) { putGAS(b, fadtReset, SystemIO, 8, 0xcf9); b[fadtResetValue] = 6 }, Power{}},
		"reset cut off": {128, func(b []byte) {
			put32(b, fadtFlags, fadtResetSupported)
			putGAS(b, fadtReset, SystemIO, 8, 0xcf9)
		}, Power{}},
	} {
		if got := powerOf(fadt(c.size, c.edit), []byte(s5AML)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestS5(t *testing.T) {
	none := 99
	for aml, want := range map[string]int{
		s5AML:                                      5, // microvm, Cloud Hypervisor
		"\x08_S5_\x12\x06\x04\x00\x00\x00\x00":     0, // SeaBIOS
		"\x08_S5_\x12\x04\x01\x01":                 1,
		"\x08\\_S5_\x12\x04\x01\x0a\x07":           7,
		"\x08_S5_\x12\x05\x01\x0b\x05\x00":         5,
		"\x08_S5_\x12\x07\x01\x0c\x06\x00\x00\x00": 6,
		"\x08_S5_\x12\x46\x00\x04\x0a\x05\x00\x00": 5,    // a PkgLength of two bytes
		"\x08_S5_\x12\xc6\x00\x00\x00\x01\x0a\x05": 5,    // and of four
		"aa_S5_bb\x08_S5_\x12\x04\x01\x0a\x03":     3,    // the name alone is no definition
		"\x08_S5_\x11\x04\x01\x0a\x03":             none, // a buffer
		"\x10_S5_\x12\x04\x01\x0a\x03":             none, // a scope
		"_S5_\x12\x04\x01\x0a\x03":                 none,
		"\x08_S4_\x12\x04\x01\x0a\x03":             none,
		"\x08_S5_\x12\x04\x01\x0a\x08":             none, // more than three bits
		"\x08_S5_\x12\x05\x01\x0b\x05\x01":         none,
		"\x08_S5_\x12\x07\x01\x0c\x05\x00\x00\x01": none,
		"\x08_S5_\x12\x04\x01\x0d5\x00":            none, // a string
		"\x08_S5_\x12\x04\x01\xff":                 none, // Ones
		"\x08_S5_\x12\x02\x00":                     none, // an empty package
		"\x08_S5_\x12\x02\x00\x00":                 none,
		"\x08_S5_":                                 none, // cut off
		"\x08_S5_\x12":                             none,
		"\x08_S5_\x12\x04":                         none,
		"\x08_S5_\x12\x04\x01":                     none,
		"\x08_S5_\x12\x04\x01\x0a":                 none,
		"\x08_S5_\x12\x05\x01\x0b\x05":             none,
		"\x08_S5_\x12\x07\x01\x0c\x05\x00\x00":     none,
		"\x08_S5_\x12\xc6":                         none,
		"\x08_S5":                                  none,
		"":                                         none,
	} {
		p := powerOf(fadt(276, func(b []byte) { put64(b, fadtXDSDT, 0x3003) }), []byte(aml))
		got := none
		if p.HasS5 {
			got = int(p.S5Type)
		}
		if got != want {
			t.Errorf("%q: %d, want %d", aml, got, want)
		}
		// The same at memory's end, where nothing follows.
		m := make(image, 1<<20)
		at := uint64(len(m) - tableHeader - len(aml))
		m.table(at, "DSDT", []byte(aml))
		m.table(0x2001, "FACP", fadt(276, func(b []byte) { put64(b, fadtXDSDT, at) }))
		m.roots(0xe0000, 0, 0x4003, 0x2001)
		if end := FindPower(m.memory(), 0); end != p {
			t.Errorf("%q at memory's end: %+v, want %+v", aml, end, p)
		}
	}
	bad := func(m image, at uint64) Power { m[at] ^= 1; return FindPower(m.memory(), 0) }
	m := make(image, 1<<20)
	m.table(0x3003, "DSDT", []byte(s5AML))
	m.table(0x2001, "FACP", fadt(276, func(b []byte) { put64(b, fadtXDSDT, 0x3003) }))
	m.roots(0xe0000, 0, 0x4003, 0x2001)
	for _, at := range []uint64{0x3003 + 20, 0x2001 + 20, 0x4003 + 20} {
		if p := bad(slices.Clone(m), at); p.HasS5 {
			t.Errorf("%+v in spite of a checksum at %#x", p, at)
		}
	}
}

package platform

import "gosv/kernel/boot"

// AML, the byte code of DSDT and SSDT (ACPI 6.5, 20.2). It is not interpreted:
// what is looked for are devices whose ids and resources are constants, which
// they are on the machines that have no other way to tell.
const (
	opZero       = 0x00
	opOne        = 0x01
	opName       = 0x08
	opByte       = 0x0a
	opWord       = 0x0b
	opDWord      = 0x0c
	opString     = 0x0d
	opQWord      = 0x0e
	opScope      = 0x10
	opBuffer     = 0x11
	opPackage    = 0x12
	opVarPackage = 0x13
	opMethod     = 0x14
	opNotify     = 0x86
	opLEqual     = 0x93
	opArg0       = 0x68
	opOnes       = 0xff
	opExt        = 0x5b
	extDevice    = 0x82
)

// Ids of devices. Those that start with PNP are often packed into 32 bits.
const (
	idVirtioMMIO = "LNRO0005"
	idGenID      = "VM_Gen_Counter"
	idVMClock    = "VMCLOCK"
	idEvents     = "ACPI0013" // generic event device: interrupts whose method says what they mean
	idPCIe       = "PNP0A08"
	idPCI        = "PNP0A03"
	idLink       = "PNP0C0F"

	maxLinks   = 8
	maxWindows = 32
	maxEvents  = 64
	maxDepth   = 8   // of devices in devices
	maxString  = 256 // bytes
)

// device is a device object's constants, each as the data object in the code;
// nil if it has none.
type device struct {
	name                []byte // last segment
	end                 int    // offset of what follows the object
	hid, cid, crs, addr []byte
	cba                 uint64 // configuration base address of a PCI host bridge
}

// scan is a walk over a definition block.
type scan struct {
	*Machine
	code     []byte
	searches int    // of all of the code that may still be made
	events   []Line // of generic event devices
}

// readAML notes the devices of a definition block. table is all of it.
func (m *Machine) readAML(table []byte) {
	const header, maxSearches = 36, 4
	code := table[min(header, len(table)):]
	s := scan{Machine: m, code: code, searches: maxSearches}
	var open [maxDepth]device
	depth := 0
	for i := 0; i < len(code); {
		for depth > 0 && i >= open[depth-1].end {
			depth--
			s.addDevice(&open[depth])
		}
		b := code[i:]
		switch {
		case b[0] == opScope:
			i += 1 + skipHeader(b[1:])
		case b[0] == opExt && len(b) > 1 && b[1] == extDevice:
			size, n := packageLength(b[2:])
			name, k := nameString(b[2+n : 2+size])
			if n == 0 || k == 0 {
				i++
				break
			}
			if depth == len(open) {
				i += 2 + size
				break
			}
			open[depth] = device{name: name, end: i + 2 + size}
			depth++
			i += 2 + n + k
		case b[0] == opMethod:
			size, n := packageLength(b[1:])
			if depth > 0 {
				if v, ok := constantMethod(b[1+n:1+size], "_CBA"); ok {
					open[depth-1].cba = v
				}
			}
			i += 1 + size
		case b[0] == opName:
			name, n := nameString(b[1:])
			data := b[1+n:]
			data = data[:dataSize(data)]
			if n == 0 {
				data = nil
			} else if depth > 0 {
				open[depth-1].set(name, data)
			}
			i += 1 + n + len(data)
		default:
			i++
		}
	}
	for depth > 0 {
		depth--
		s.addDevice(&open[depth])
	}
	for _, l := range s.events {
		if m.GenID.HasLine && m.GenID.Line.GSI == l.GSI {
			m.GenID.Line = l
		}
		if m.Clock.HasLine && m.Clock.Line.GSI == l.GSI {
			m.Clock.Line = l
		}
	}
}

// set notes a constant of d, if it is one of interest.
func (d *device) set(name, data []byte) {
	switch string(name) {
	case "_HID":
		d.hid = data
	case "_CID":
		d.cid = data
	case "_CRS":
		d.crs = data
	case "ADDR":
		d.addr = data
	}
}

// addDevice notes what d is.
func (s *scan) addDevice(d *device) {
	m := s.Machine
	switch {
	case idIs(d.cid, idGenID):
		if s.searches--; s.searches < 0 {
			return
		}
		m.GenID.Addr = pair(d.addr)
		if m.GenID.Addr == 0 {
			m.GenID.Addr = qemuGenID(s.code)
		}
		if line, gpe := notifier(s.code, d.name); line >= 0 {
			m.GenID.Line, m.GenID.HasLine = Line{GSI: uint32(line)}, true
		} else if gpe >= 0 {
			m.GenID.GPE, m.GenID.HasGPE = uint8(gpe), true
		}
	case idIs(d.cid, idVMClock):
		if s.searches--; s.searches < 0 {
			return
		}
		eachResource(d.crs, func(r resource) {
			if r.kind == memory {
				m.Clock.Addr, m.Clock.Size = r.start, r.size
			}
		})
		if line, _ := notifier(s.code, d.name); line >= 0 {
			m.Clock.Line, m.Clock.HasLine = Line{GSI: uint32(line)}, true
		}
	case idIs(d.hid, idVirtioMMIO):
		var o MMIO
		wired := false
		eachResource(d.crs, func(r resource) {
			switch r.kind {
			case memory:
				o.Addr, o.Size = r.start, r.size
			case interrupt:
				o.Line, wired = r.line, true
			}
		})
		if wired {
			m.addMMIO(o)
		}
	case idIs(d.hid, idEvents):
		eachResource(d.crs, func(r resource) {
			if r.kind == interrupt && len(s.events) < maxEvents {
				s.events = append(s.events, r.line)
			}
		})
	case idIs(d.hid, idPCIe), idIs(d.hid, idPCI):
		e := ECAM{Addr: d.cba, Last: 0xff}
		eachResource(d.crs, func(r resource) {
			switch {
			case r.kind == memory && !m.IsRAM(r.start, r.size) && len(m.Windows) < maxWindows:
				m.Windows = append(m.Windows, boot.Range{Start: r.start, End: r.start + r.size})
			case r.kind == buses && r.start+r.size <= 0x100 && r.size > 0:
				e.First, e.Last = uint8(r.start), uint8(r.start+r.size-1)
			}
		})
		if e.Addr != 0 && len(m.ECAM) == 0 { // no MCFG, as on microvm
			m.addECAM(e)
		}
	case idIs(d.hid, idLink):
		eachResource(d.crs, func(r resource) {
			if r.kind == interrupt && len(m.Links) < maxLinks {
				m.Links = append(m.Links, r.line)
			}
		})
	}
}

// constantMethod decodes the inside of a method of that name that does nothing
// but return a constant.
func constantMethod(b []byte, name string) (v uint64, ok bool) {
	const opReturn, nameSize = 0xa4, 4
	if len(b) < nameSize+2 || string(b[:nameSize]) != name || b[nameSize+1] != opReturn {
		return 0, false
	}
	v, n := integer(b[nameSize+2:])
	return v, n != 0
}

// packageLength decodes the PkgLength that b begins with: size in bytes with
// itself, and its own size n; both are 0 if it is none, or b is shorter.
func packageLength(b []byte) (size, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	more := int(b[0] >> 6)
	if len(b) < 1+more {
		return 0, 0
	}
	size = int(b[0] & 0x3f)
	if more > 0 {
		size = int(b[0] & 0xf)
		for i := range more {
			size |= int(b[1+i]) << (4 + 8*i)
		}
	}
	if n = 1 + more; size < n || size > len(b) {
		return 0, 0
	}
	return size, n
}

// skipHeader is the size of the PkgLength and the name that b, the inside of a
// scope, begins with.
func skipHeader(b []byte) int {
	size, n := packageLength(b)
	if n == 0 {
		return 0
	}
	_, k := nameString(b[n:size])
	return n + k
}

// nameString decodes the NameString that b begins with: its last segment, and
// its size n, 0 if it is none.
func nameString(b []byte) (last []byte, n int) {
	i := 0
	for i < len(b) && (b[i] == '\\' || b[i] == '^') {
		i++
	}
	if i == len(b) {
		return nil, 0
	}
	segments := 1
	switch b[i] {
	case 0: // the root, or a parent
		return nil, i + 1
	case '.':
		segments = 2
		i++
	case '/':
		if i+1 == len(b) {
			return nil, 0
		}
		segments = int(b[i+1])
		i += 2
	}
	end := i + 4*segments
	if segments == 0 || end > len(b) {
		return nil, 0
	}
	for _, c := range b[i:end] {
		if c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return nil, 0
		}
	}
	return b[end-4 : end], end
}

// dataSize is the size of the data object that b begins with, 0 if it is none
// that is known.
func dataSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n := 0
	switch b[0] {
	case opBuffer, opPackage, opVarPackage:
		size, _ := packageLength(b[1:])
		if size == 0 {
			return 0
		}
		n = 1 + size
	case opString:
		n = 1
		for n < len(b) && n < maxString && b[n] != 0 {
			n++
		}
		if n == maxString {
			return 0
		}
		n++
	default:
		_, n = integer(b)
	}
	if n > len(b) {
		return 0
	}
	return n
}

// integer decodes the constant that b begins with, and its size, 0 if it is none.
func integer(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch b[0] {
	case opZero:
		return 0, 1
	case opOne:
		return 1, 1
	case opOnes:
		return ^uint64(0), 1
	case opByte:
		n = 2
	case opWord:
		n = 3
	case opDWord:
		n = 5
	case opQWord:
		n = 9
	}
	if n > len(b) {
		return 0, 0
	}
	for i := n - 1; i > 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, n
}

// idIs says whether a data object is that id.
func idIs(data []byte, id string) bool {
	if len(data) == 5 && data[0] == opDWord { // an EISA id
		const pnp, digits = "\x41\xd0", "0123456789ABCDEF"
		return id[:3] == "PNP" && string(data[1:3]) == pnp &&
			id[3] == digits[data[3]>>4] && id[4] == digits[data[3]&15] && id[5] == digits[data[4]>>4] && id[6] == digits[data[4]&15]
	}
	return len(data) == len(id)+2 && data[0] == opString && string(data[1:1+len(id)]) == id
}

// pair decodes a package of two numbers, the lower and the upper 32 bits of an
// address; 0 if it is none.
func pair(data []byte) uint64 {
	if len(data) == 0 || data[0] != opPackage {
		return 0
	}
	_, n := packageLength(data[1:])
	b := data[1+n:]
	if n == 0 || len(b) == 0 || b[0] != 2 {
		return 0
	}
	low, k := integer(b[1:])
	if k == 0 {
		return 0
	}
	high, j := integer(b[1+k:])
	if j == 0 || low>>32 != 0 || high>>32 != 0 {
		return 0
	}
	return high<<32 | low
}

// qemuGenID returns the address of QEMU's generation id: its table has it in
// the variable VGIA, which is 40 bytes before it, and a method that adds them.
func qemuGenID(code []byte) uint64 {
	const variable, offset = "VGIA", 40
	for i := 0; i+len(variable)+1 < len(code); i++ {
		if code[i] == opName && string(code[i+1:i+1+len(variable)]) == variable {
			if v, n := integer(code[i+1+len(variable):]); n != 0 && v != 0 {
				return v + offset
			}
		}
	}
	return 0
}

// notifier looks for what notifies the device of that name: the interrupt to
// which the generic event device's method answers with that, or the bit of the
// general purpose events; -1 if there is none.
func notifier(code, name []byte) (line, gpe int64) {
	for i := range code {
		if code[i] != opNotify {
			continue
		}
		target, n := nameString(code[i+1:])
		if n == 0 || string(target) != string(name) {
			continue
		}
		// If (LEqual (Arg0, line)) { Notify (name, 0x80) }
		for _, size := range [...]int{1, 2, 3, 5} {
			at := i - size - 2
			if at < 0 || code[at] != opLEqual || code[at+1] != opArg0 {
				continue
			}
			if v, n := integer(code[at+2 : i]); n == size && v <= 0xffffffff {
				return int64(v), -1
			}
		}
		// Method (_E05, flags) { Notify (name, 0x80) }
		if i >= 5 && code[i-5] == '_' && (code[i-4] == 'E' || code[i-4] == 'L') {
			high, ok1 := hexDigit(code[i-3])
			low, ok2 := hexDigit(code[i-2])
			if ok1 && ok2 {
				return -1, int64(high<<4 | low)
			}
		}
	}
	return -1, -1
}

func hexDigit(c byte) (v uint8, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

package platform

// readWords looks at the command line's words: pci=off, and
//
//	virtio_mmio.device=SIZE@ADDR:IRQ[:ID]
//
// for each device (Linux, drivers/virtio/virtio_mmio.c, whose numbers may be
// hexadecimal, octal or decimal and whose size may end in K, M or G). Words
// behind "--" count too: QEMU appends its words to whatever there is.
func (m *Machine) readWords(line []byte) {
	const device = "virtio_mmio.device="
	for len(line) > 0 {
		n := 0
		for n < len(line) && line[n] > ' ' {
			n++
		}
		switch word := line[:n]; {
		case string(word) == "pci=off":
			m.NoPCI = true
		case n > len(device) && string(word[:len(device)]) == device:
			d, ok := parseDevice(string(word[len(device):]))
			if !ok {
				m.warn("no size, address and interrupt in " + string(word[:min(n, 80)]) + ": ignored")
				break
			}
			d.Line = m.Legacy(d.Line.GSI)
			d.Line.Level = true // nobody says, and QEMU's keep it up until they are acknowledged
			m.addMMIO(d)
		}
		line = line[min(n+1, len(line)):]
	}
}

// parseDevice parses SIZE@ADDR:IRQ[:ID]. The interrupt is as the word has it.
func parseDevice(s string) (d MMIO, ok bool) {
	size, s, ok := cut(s, '@')
	if !ok || size == "" {
		return d, false
	}
	shift := 0
	switch size[len(size)-1] | 0x20 {
	case 'k':
		shift = 10
	case 'm':
		shift = 20
	case 'g':
		shift = 30
	}
	if shift != 0 {
		size = size[:len(size)-1]
	}
	addr, s, ok := cut(s, ':')
	if !ok {
		return d, false
	}
	irq, id, hasID := cut(s, ':')
	if d.Size, ok = number(size, 64-shift); !ok {
		return d, false
	}
	d.Size <<= shift
	if d.Addr, ok = number(addr, 64); !ok {
		return d, false
	}
	n, ok := number(irq, 32)
	if ok && hasID {
		_, ok = number(id, 32)
	}
	d.Line.GSI = uint32(n)
	return d, ok
}

// cut splits s around the first sep.
func cut(s string, sep byte) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// number parses a number of at most bits bits as C writes it.
func number(s string, bits int) (v uint64, ok bool) {
	base := uint64(10)
	switch {
	case len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x':
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	limit := ^uint64(0) >> (64 - bits)
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if c := s[i] | 0x20; c >= 'a' && c <= 'f' {
			d = uint64(c-'a') + 10
		}
		if d >= base || v > (limit-d)/base {
			return 0, false
		}
		v = v*base + d
	}
	return v, s != ""
}

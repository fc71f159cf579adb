package console

// decoder takes the host's escapes out of the input: DLE DLE is a DLE, DLE "."
// the end of input, DLE "w24x80;" a new size, DLE "c" the wish for a core dump, DLE "t" that the program shall end, DLE "a" that it has taken a part of the output, DLE "q" a path and NUL the wish to see a file, DLE SYN a SYN. A SYN without it
// only fills the line. A DLE before anything else is dropped.
type decoder struct {
	to     Receiver
	framed bool
	state  uint8
	size   [2]int // rows, columns of the size being read
	field  uint8
	path   []byte // of the file that the host wants to see
}

const (
	plain = iota
	escaped
	sizing
	asking

	dle = 0x10
	syn = 0x16
)

func (d *decoder) decode(p []byte) {
	if !d.framed {
		if len(p) > 0 {
			d.to.Input(p)
		}
		return
	}
	out := p[:0] // shorter than what it is made from, always
	flush := func() {
		if len(out) > 0 {
			d.to.Input(out)
			out = out[len(out):]
		}
	}
	for _, b := range p {
		switch d.state {
		case plain:
			switch b {
			case dle:
				d.state = escaped
			case syn:
			default:
				out = append(out, b)
			}
		case escaped:
			d.state = plain
			switch b {
			case dle, syn:
				out = append(out, b)
			case '.':
				flush()
				d.to.EndOfInput()
			case 'c':
				if dump != nil {
					dump()
				}
			case 't':
				if terminate != nil {
					terminate()
				}
			case 'a':
				acknowledged()
			case 'q':
				d.state, d.path = asking, d.path[:0]
			case 'w':
				d.state, d.size, d.field = sizing, [2]int{}, 0
			}
		case asking:
			const longest = 4096
			switch {
			case b != 0:
				d.path = append(d.path, b)
				if len(d.path) > longest {
					d.state = plain
				}
			default:
				d.state = plain
				if show != nil {
					show(string(d.path))
				}
			}
		case sizing:
			const largest = 1 << 15
			switch {
			case b >= '0' && b <= '9':
				d.size[d.field] = min(d.size[d.field]*10+int(b-'0'), largest)
			case b == 'x' && d.field == 0:
				d.field = 1
			default:
				d.state = plain
				if b == ';' && d.field == 1 && d.size[0] < largest && d.size[1] < largest {
					flush()
					d.to.Resize(d.size[0], d.size[1])
				}
			}
		}
	}
	flush()
}

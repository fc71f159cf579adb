package console

// decoder takes the host's escapes out of the input: DLE DLE is a DLE, DLE "."
// the end of input, DLE "w24x80;" a new size, DLE "c" the wish for a core dump, DLE "t" that the program shall end, DLE "a" that it has taken a part of the output, DLE "q" a path and NUL the wish to see a file,
// DLE "p", a length (u16, little endian) and as many bytes a plan of what to report, DLE SYN a SYN. A SYN without it
// only fills the line. A DLE before anything else is dropped.
type decoder struct {
	to     Receiver
	framed bool
	state  uint8
	size   [2]int // rows, columns of the size being read
	field  uint8
	said   []byte // a path or a plan, as far as it has come
}

const (
	plain = iota
	escaped
	sizing
	asking
	planning

	dle = 0x10
	syn = 0x16
)

// goOn makes d take the rest of an escape that has come to o so far.
func (d *decoder) goOn(o *decoder) {
	d.state, d.size, d.field, d.said = o.state, o.size, o.field, o.said
	o.state, o.said = plain, nil
}

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
				d.state, d.said = asking, d.said[:0]
			case 'p':
				d.state, d.said = planning, d.said[:0]
			case 'w':
				d.state, d.size, d.field = sizing, [2]int{}, 0
			}
		case asking:
			const longest = 4096
			switch {
			case b != 0:
				d.said = append(d.said, b)
				if len(d.said) > longest {
					d.state = plain
				}
			default:
				d.state = plain
				if show != nil {
					show(string(d.said))
				}
			}
		case planning:
			d.said = append(d.said, b)
			if n := len(d.said); n >= 2 && n == 2+int(d.said[0])+int(d.said[1])<<8 {
				d.state = plain
				if plan != nil {
					plan(append([]byte(nil), d.said[2:]...))
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

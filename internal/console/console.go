// Package console is the host's end of the serial line: it takes the guest's
// control strings out of its output, and puts escapes into its input
// (docs/contracts.md).
package console

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
)

// Demux distributes what the guest sends. It is an io.Writer for all of it.
type Demux struct {
	Stdout, Stderr io.Writer
	Kernel         io.Writer // the kernel's own messages
	Replies        io.Writer // its answers to Show
	Records        io.Writer // what it reports of the application (package diag)

	// Moved is closed when the guest says that the rest comes by its console device.
	Moved chan struct{}

	token  string
	to     io.Writer
	held   []byte // the beginning of what may be a control string
	moved  bool
	exited bool
	code   int
	wrote  bool
}

// maxControl bounds what comes between the token and the end of a control
// string: a letter and an exit code.
const maxControl = 8

// NewDemux returns a Demux for control strings with token.
func NewDemux(token string, stdout, stderr, kernel io.Writer) *Demux {
	return &Demux{Stdout: stdout, Stderr: stderr, Kernel: kernel, Replies: io.Discard, Records: io.Discard, Moved: make(chan struct{}), token: "\x1b_" + token, to: stdout}
}

// Exit returns the exit code that the guest reported, if it did.
func (d *Demux) Exit() (code int, ok bool) { return d.code, d.exited }

// Wrote says whether anything came from the guest.
func (d *Demux) Wrote() bool { return d.wrote }

// Write implements io.Writer. Everything but control strings is passed on at
// once, except for what may be the beginning of one.
func (d *Demux) Write(p []byte) (int, error) {
	n := len(p)
	d.wrote = d.wrote || n > 0
	if len(d.held) > 0 {
		p = append(d.held, p...)
		d.held = nil
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, d.token[0])
		if i < 0 {
			i = len(p)
		}
		if i > 0 {
			if _, err := d.to.Write(p[:i]); err != nil {
				return 0, err
			}
			p = p[i:]
			continue
		}
		size, complete := d.control(p)
		switch {
		case size == 0: // just an escape
			if _, err := d.to.Write(p[:1]); err != nil {
				return 0, err
			}
			p = p[1:]
		case !complete:
			d.held = bytes.Clone(p)
			return n, nil
		default:
			d.obey(string(p[len(d.token) : size-2]))
			p = p[size:]
		}
	}
	return n, nil
}

// Move closes Moved, if it is not yet.
func (d *Demux) Move() {
	if !d.moved {
		d.moved = true
		close(d.Moved)
	}
}

// Close passes on what was held back.
func (d *Demux) Close() error {
	_, err := d.to.Write(d.held)
	d.held = nil
	return err
}

// control returns the size of the control string that p begins with: 0 if it
// does not, the size so far if it is not complete.
func (d *Demux) control(p []byte) (size int, complete bool) {
	t := d.token
	if len(p) < len(t) {
		if string(p) == t[:len(p)] {
			return len(p), false
		}
		return 0, false
	}
	if string(p[:len(t)]) != t {
		return 0, false
	}
	rest := p[len(t):min(len(p), len(t)+maxControl)]
	if end := bytes.Index(rest, []byte("\x1b\\")); end >= 0 {
		return len(t) + end + 2, true
	}
	if len(rest) == maxControl {
		return 0, false
	}
	return len(p), false
}

func (d *Demux) obey(command string) {
	switch {
	case command == "o":
		d.to = d.Stdout
	case command == "e":
		d.to = d.Stderr
	case command == "k":
		d.to = d.Kernel
	case command == "r":
		d.to = d.Replies
	case command == "d":
		d.to = d.Records
	case command == "v":
		d.Move()
	case command == "x":
		d.code, d.exited = 0, true
	case len(command) > 1 && command[0] == 'x':
		if code, err := strconv.Atoi(command[1:]); err == nil {
			d.code, d.exited = code&255, true
		}
	}
}

const (
	dle = 0x10
	syn = 0x16
)

// Start is what the host sends first. The guest loses it if it switches its
// port's FIFOs on after it came, and ignores it otherwise.
var Start = []byte{syn}

// Escape appends p to b as input for the guest.
func Escape(b, p []byte) []byte {
	for _, c := range p {
		if c == dle || c == syn {
			b = append(b, dle)
		}
		b = append(b, c)
	}
	return b
}

// EndOfInput is what ends the guest's standard input.
var EndOfInput = []byte{dle, '.'}

// DumpCore asks the guest for a core dump.
var DumpCore = []byte{dle, 'c'}

// Acknowledge tells the guest that Part bytes of what came by its console device are
// taken.
var Acknowledge = []byte{dle, 'a'}

const Part = 32 << 10

// Terminate asks the guest's program to end: SIGTERM.
var Terminate = []byte{dle, 't'}

// Show asks the guest for the contents of a file, or a directory's list of
// names. Its path has no NUL and is no longer than 4096 bytes.
func Show(path string) []byte {
	return append(append([]byte{dle, 'q'}, path...), 0)
}

// Report tells the guest what to report of the program: a plan of less than 64 KiB, or
// none.
func Report(plan []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{dle, 'p'}, uint16(len(plan))), plan...)
}

// Resize tells the guest the terminal's size.
func Resize(rows, cols int) []byte {
	b := append([]byte{dle, 'w'}, strconv.Itoa(rows)...)
	b = append(b, 'x')
	return append(strconv.AppendInt(b, int64(cols), 10), ';')
}

package console

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/boot"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
)

// Port is a console device of the machine, hvc0. None of its methods waits.
type Port interface {
	Start(h PortHandler) error
	Write(p []byte) int // takes the beginning of p
	Room() bool         // whether it would take some; if not, Writable will be called
	Sent() bool         // whether the host has got all
	Read(p []byte) int
	Waiting() int // to be read
	Size() (rows, columns int)
}

// PortHandler is told of a Port's news. Its methods must not block.
type PortHandler interface {
	Readable()
	Writable()
	Resized(rows, columns int)
}

// hvc is the Port that is the console instead of the serial port: for what is written
// and read from when the program first writes something. What beneath the runtime
// has to say, when the kernel dies and the exit code, goes to the serial port for ever.
var hvc struct {
	find   func() // finds the device, nil where nobody wants one
	once   sync.Once
	port   Port
	used   atomic.Bool // port is the console
	framed bool
	stream metal.Stream
	ahead  atomic.Int32  // bytes that the host has not acknowledged
	room   chan struct{} // there may be some
}

// gosv never has more than window bytes of output to take, and tells of each part that
// it has: QEMU drops what the reader of its virtconsole is too slow for.
const (
	window = 64 << 10
	part   = window / 2
)

func acknowledged() {
	hvc.ahead.Add(-part)
	portHandler{}.Writable()
}

// Preferred says whether the machine's Port is to be the console.
func Preferred() bool {
	name, _ := boot.Option(metal.CmdLine(), "gosv.console")
	return name == "hvc0"
}

// Prefer says how to find the device, which is to call Use.
func Prefer(find func()) { hvc.find = find }

// Use makes p the console.
func Use(p Port) error {
	hvc.room = make(chan struct{}, 1)
	hvc.stream = metal.Stdout
	_, hvc.framed = boot.Option(metal.CmdLine(), "gosv.report")
	hvc.port = p
	if err := p.Start(portHandler{}); err != nil {
		return err
	}
	mu.Lock()
	receiver.mu.Lock()
	receiver.control.goOn(&receiver.decoder)
	hvc.used.Store(true)
	receiver.mu.Unlock()
	metal.MoveConsole()
	mu.Unlock()
	Poll()
	return nil
}

// portHandler is the PortHandler of the console.
type portHandler struct{}

func (portHandler) Readable() { Poll() }

func (portHandler) Writable() {
	select {
	case hvc.room <- struct{}{}:
	default:
	}
}

func (portHandler) Resized(rows, columns int) {
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	if receiver.to != nil && rows > 0 && columns > 0 {
		receiver.to.Resize(rows, columns)
	}
}

// noInput is a Receiver to which only the terminal's size matters.
type noInput struct{ Receiver }

func (noInput) Input([]byte) {}
func (noInput) EndOfInput()  {}

// writePort writes p as part of stream s; mu is held. The framing is as metal's.
func writePort(s metal.Stream, p []byte) {
	if token, _ := boot.Option(metal.CmdLine(), "gosv.report"); hvc.framed && s != hvc.stream {
		putPort([]byte("\x1b_" + token + string(rune(s)) + "\x1b\\"))
		hvc.stream = s
	}
	putPort(p)
}

func putPort(p []byte) {
	for len(p) > 0 {
		n := len(p)
		if hvc.framed {
			n = min(n, window-int(hvc.ahead.Load()))
		}
		if n > 0 {
			n = hvc.port.Write(p[:n])
			hvc.ahead.Add(int32(n))
		}
		if p = p[max(n, 0):]; n <= 0 {
			awaitRoom()
		}
	}
}

// awaitRoom waits until there may be room. Should the goroutine that handles interrupts
// have a message, it waits for mu itself and sees no acknowledgement: then this looks.
func awaitRoom() {
	const patience = 1e7 // ns
	var late atomic.Bool
	timer := gotimer.Start(patience, func() {
		late.Store(true)
		portHandler{}.Writable()
	})
	<-hvc.room
	timer.Stop()
	if late.Load() {
		Poll()
	}
}

// drainPort waits until the host has what was written, but not for long; mu is held.
func drainPort() {
	const (
		longest = 1e9 // ns
		pause   = 1e5
	)
	for end := metal.Now() + longest; hvc.used.Load() && !hvc.port.Sent() && metal.Now() < end; {
		gotimer.Sleep(pause)
	}
}

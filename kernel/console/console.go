// Package console is the 16550 serial port at 0x3f8, the one device that every
// VMM offers: the application's standard descriptors when it was started on
// one, framed for the host as docs/contracts.md says. A console device may take its
// place once the program runs: see Port.
package console

import (
	"sync"

	"gosv/kernel/gotimer"
	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/platform"
)

// Registers of the 16550 (National Semiconductor PC16550D, table II), and its line
// on the I/O APIC: the same on every PC since 1995.
const (
	data            = 0x3f8
	interruptEnable = data + 1
	modemControl    = data + 4
	lineStatus      = data + 5

	dataReady = 1

	irq = 4
)

var mu sync.Mutex

// Write writes all of p as part of stream s. It waits while the host does not
// take its output.
func Write(s metal.Stream, p []byte) {
	if hvc.find != nil && s != metal.Message { // finding it may have something to say
		hvc.once.Do(hvc.find)
	}
	mu.Lock()
	defer mu.Unlock()
	if hvc.used.Load() {
		writePort(s, p)
		return
	}
	for len(p) > 0 {
		n := metal.ConsoleWrite(s, p)
		p = p[n:]
		if n == 0 {
			const retry = 100_000 // ns
			gotimer.Sleep(retry)
		}
	}
}

// Exit ends the machine and reports code to the host, when who is writing has
// finished: the report is no report if somebody else's bytes get into it.
func Exit(code int) {
	mu.Lock() // for good
	drainPort()
	metal.Exit(code)
}

// A Receiver takes what comes in. Its methods are called one at a time and may
// not block.
type Receiver interface {
	Room() int // how many bytes it can take now; the rest stays with the host
	Input(p []byte)
	EndOfInput()
	Resize(rows, cols int)
}

var dump func() // see OnDump

// OnDump says what to do when the host asks for a core dump. It may not block. To be
// called before Listen.
func OnDump(f func()) { dump = f }

var terminate func() // see OnTerminate

// OnTerminate says what to do when the host wants the application to end. It may not
// block. To be called before Listen.
func OnTerminate(f func()) { terminate = f }

var show func(path string) // see OnShow

// OnShow says what to do when the host wants to see a file. It may not block.
// To be called before Listen.
func OnShow(f func(path string)) { show = f }

var receiver struct {
	mu sync.Mutex
	decoder
	control decoder // of the serial port, when a Port has the input
}

var plan func(p []byte) // see OnPlan

// OnPlan says what to do when the host wants something else reported of the
// application. It may not block. To be called before Listen.
func OnPlan(f func(p []byte)) { plan = f }

// Listen makes r the receiver of what the host sends; framed says whether it
// uses escapes. To be called once.
func Listen(r Receiver, framed bool) {
	receiver.decoder = decoder{to: r, framed: framed}
	receiver.control = decoder{to: noInput{r}, framed: framed}
	if hvc.find != nil {
		go hvc.once.Do(hvc.find)
	}
	if interrupt.Line(platform.Line{GSI: irq}, pollInterrupt) != nil {
		return
	}
	metal.Out8(modemControl, 0x0b) // DTR, RTS, OUT2: the interrupt's gate
	metal.Out8(interruptEnable, 1) // received data available
	Poll()
}

// pollInterrupt says that there was news even if there was none: somebody else's
// Poll may have been here before.
func pollInterrupt() bool {
	Poll()
	return true
}

// Poll takes what the port holds, as far as there is room for it. A receiver
// that has room again calls it: the interrupt, which is edge-triggered, does
// not come again before the port has been emptied.
func Poll() {
	var buf [64]byte
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	if receiver.to == nil {
		return
	}
	room := receiver.to.Room()
	if hvc.used.Load() {
		for room > 0 {
			n := hvc.port.Read(buf[:min(room, len(buf))])
			if n == 0 {
				break
			}
			receiver.decode(buf[:n])
			room = receiver.to.Room()
		}
		for metal.In8(lineStatus)&dataReady != 0 { // what the host wants, and nothing for the program
			buf[0] = metal.In8(data)
			receiver.control.decode(buf[:1])
		}
		return
	}
	for n, more := 0, true; more; {
		if more = n < room && metal.In8(lineStatus)&dataReady != 0; more {
			buf[n] = metal.In8(data)
			n++
		}
		if n == len(buf) || !more {
			receiver.decode(buf[:n])
			n, room = 0, receiver.to.Room()
		}
	}
}

package metal

import (
	"sync/atomic"
	"unsafe"
)

// The console is the 16550 at 0x3f8. Output is framed for the host when it
// asked for it (docs/contracts.md): a control string before bytes of another
// stream, and one with the exit code at the end.
const (
	uart             = 0x3f8
	uartFIFO         = uart + 2
	uartLineStatus   = uart + 5
	uartTransmitFree = 0x20
	uartFIFOSize     = 16
)

// A Stream is what bytes on the console belong to.
type Stream byte

const (
	Stdout  Stream = 'o'
	Stderr  Stream = 'e'
	Message Stream = 'k' // the kernel's own
	Reply   Stream = 'r' // what the host has asked for (linux.Process.show)
	Records Stream = 'd' // what the host asked to know about the application (internal/diag)
)

var (
	reportToken [4]byte // of gosv.report; zero: no framing
	stream      = Stdout
	sender      atomic.Pointer[thread]                // is in ConsoleWrite
	uartRoom    uintptr                = uartFIFOSize // how much the transmitter's FIFO takes for sure
)

// initConsole switches the 16550's FIFOs on, which empties them: a byte of input
// that has come already is lost, so the host sends one that does not matter
// first (docs/contracts.md).
//
// The interrupt shall come for 14 bytes, or for fewer when nothing follows for the time of four:
// QEMU hands as many over at once. One by one each costs four times as much.
func initConsole() { outb(uartFIFO, 0xc1) }

// ConsoleWrite sends the beginning of p as part of a stream and returns how
// much the 16550 took: less than all, perhaps nothing, while the host does not
// take its output. Callers take turns.
func ConsoleWrite(s Stream, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	sender.Store(cpus[ThisCPU()].cur)
	defer sender.Store(nil)
	switchStream(s)
	return int(transmit(uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

// kernelMessage writes a message of the kernel from the world beneath the
// runtime. It waits for nobody's turn: it is printed when something broke.
func kernelMessage(s string) {
	switchStream(Message)
	p, n := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s))
	for n > 0 {
		k := transmit(p, n)
		p += k
		n -= k
	}
}

// switchStream tells the host that what follows belongs to s.
func switchStream(s Stream) {
	if s != stream && reportToken[0] != 0 {
		control(byte(s))
		stream = s
	}
}

// control sends ESC _ TOKEN command ESC \.
func control(command ...byte) {
	b := [16]byte{0x1b, '_', reportToken[0], reportToken[1], reportToken[2], reportToken[3]}
	n := 6 + copy(b[6:], command)
	n += copy(b[n:], "\x1b\\")
	for p, left := addressOf(&b), uintptr(n); left > 0; {
		k := transmit(p, left)
		p += k
		left -= k
	}
}

// MoveConsole tells the host that what comes from now on comes by another device,
// but for what is said beneath the runtime.
func MoveConsole() {
	if reportToken[0] != 0 {
		control('v')
	}
}

// reportExit tells the host what to exit with.
func reportExit(code int) {
	if reportToken[0] == 0 {
		return
	}
	code &= 255
	d := [4]byte{'x', byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)}
	switch { // each byte is a VM exit
	case code == 0:
		control('x')
	case code < 10:
		control('x', d[3])
	case code < 100:
		control('x', d[2], d[3])
	default:
		control(d[:]...)
	}
}

// transmit sends up to n bytes at p and returns how many: QEMU's 16550 drops
// what comes while its own output is blocked. The status tells only when the FIFO
// is empty, and each look at it is a VM exit: it is looked at when the FIFO may be full.
func transmit(p, n uintptr) (sent uintptr) {
	for sent < n {
		room := uartRoom // read once: a message of the kernel may come from another CPU
		if room == 0 {
			if inb(uartLineStatus)&uartTransmitFree == 0 {
				break
			}
			room = uartFIFOSize
		}
		k := min(n-sent, room)
		outs(uart, p+sent, k)
		uartRoom = room - k
		sent += k
	}
	return sent
}

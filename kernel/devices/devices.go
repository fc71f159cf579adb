// Package devices finds the machine's devices and starts their drivers, beside
// the program: whoever needs a device waits for it here.
package devices

import (
	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/platform"
)

var found = make(chan struct{}) // closed when all devices are there

// Start looks for devices. It is to run on a goroutine of its own. log gets one
// line for each and is nil if nobody wants to know; message what a user should
// know in any case.
func Start(log, message func(string)) {
	defer close(found)
	m := platform.Discover(metal.BootData())
	for _, w := range m.Warnings {
		message(w)
	}
	interrupt.Use(m.IOAPICs, message)
}

// Wait returns when all devices were looked for.
func Wait() { <-found }

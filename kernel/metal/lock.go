package metal

import (
	"math/bits"
	"sync/atomic"
)

// lockWord is the one lock of everything here: 0, or one more than the CPU that holds it. Test and set: a fair lock would
// wait for virtual CPUs that are not running. Held with interrupts off only.
var lockWord uint32

func lock(c *CPU) {
	if !atomic.CompareAndSwapUint32(&lockWord, 0, uint32(c.id)+1) {
		spin(c)
	}
	c.locked = true
}

func spin(c *CPU) {
	var p patience
	for !atomic.CompareAndSwapUint32(&lockWord, 0, uint32(c.id)+1) {
		for {
			holder := atomic.LoadUint32(&lockWord)
			if holder == 0 {
				break
			}
			if failing.Load() == uint32(c.id)+1 {
				return // the holder has been stopped (see beginFatal)
			}
			p.wait(c, cpus[holder-1]) // who may be waiting for us in flush
		}
	}
}

// unlock also does what was decided under the lock and leaves the virtual
// machine: wake other CPUs, set the timer.
func unlock(c *CPU) {
	c.locked = false
	atomic.StoreUint32(&lockWord, 0)
	if c.kick != 0 {
		for k := c.kick; k != 0; k &= k - 1 {
			sendIPI(cpus[bits.TrailingZeros64(k)], vecWake)
		}
		c.kick = 0
	}
	// A timer that fires too early costs one exit, setting it anew another.
	if c.want != 0 && (c.armed == 0 || c.want < c.armed) {
		armTimer(c, c.want)
	}
}

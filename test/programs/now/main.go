// Now: goroutines hand each other the latest time that any of them has seen, by
// time.Now and by the system call.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var (
	start     = time.Now()
	last      atomic.Int64 // since start
	lastWall  atomic.Int64
	backwards atomic.Int32
)

// see notes a time that is no earlier than what latest was before it was read.
func see(latest *atomic.Int64, read func() int64) {
	seen := latest.Load()
	now := read()
	if now < seen {
		backwards.Add(1)
	}
	for seen < now && !latest.CompareAndSwap(seen, now) {
		seen = latest.Load()
	}
}

func wallBySyscall() int64 {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 0, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func main() {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2500 {
				see(&last, func() int64 { return int64(time.Since(start)) })
				if i%8 == 0 {
					see(&lastWall, wallBySyscall)
				} else {
					see(&lastWall, func() int64 { return time.Now().UnixNano() })
				}
				if i%500 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("backwards", backwards.Load())
}

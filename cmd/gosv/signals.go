package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"gosv/internal/vmm"
)

// onSignal calls clean when a signal is about to end gosv, until stop is called.
func onSignal(clean func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	vmm.NotifyEnd(signals)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			clean()
			signal.Reset(s)
			syscall.Kill(os.Getpid(), s.(syscall.Signal))
		case <-done:
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
	})
}

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"gosv/internal/vmm"
)

// onSignal calls clean when a signal is about to end gosv, until stop is called, which does not
// return if one came before.
func onSignal(clean func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	vmm.NotifyEnd(signals)
	stopped := make(chan struct{})
	go func() {
		for s := range signals {
			clean()
			signal.Reset(s)
			syscall.Kill(os.Getpid(), s.(syscall.Signal))
			select {} // it is about to end us
		}
		close(stopped)
	}()
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(signals)
		<-stopped
	})
}

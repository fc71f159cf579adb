package gotimer

import (
	"testing"
)

func TestTimer(t *testing.T) {
	fired := make(chan bool, 1)
	start := nanotime()
	tm := Start(1<<62, func() { fired <- true })
	tm.Reset(2_000_000)
	<-fired
	if d := nanotime() - start; d < 2_000_000 {
		t.Errorf("fired after %d ns", d)
	}
	tm.Reset(1)
	<-fired
	tm.Reset(1<<64 - 1) // far, not past
	Sleep(2_000_000)
	select {
	case <-fired:
		t.Error("fired again")
	default:
	}
}

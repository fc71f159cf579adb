package linux

import (
	"sync"
	"testing"
)

// Two goroutines hand a count to each other; a lost wake-up would leave both
// asleep.
func TestPark(t *testing.T) {
	const rounds = 100_000
	var p [2]parker
	var mu sync.Mutex
	turn := 0
	var done sync.WaitGroup
	for me := range 2 {
		done.Go(func() {
			for range rounds {
				for {
					mu.Lock()
					mine := turn&1 == me
					mu.Unlock()
					if mine {
						break
					}
					p[me].park()
				}
				mu.Lock()
				turn++
				mu.Unlock()
				p[1-me].wake()
			}
		})
	}
	done.Wait()
	if turn != 2*rounds {
		t.Error(turn)
	}
}

func TestParkToken(t *testing.T) {
	var p parker
	p.wake()
	p.wake() // one is as good as two
	p.park()
	if p.state.Load() != 0 {
		t.Error("a token is left")
	}
}

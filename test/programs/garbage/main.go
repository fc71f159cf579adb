// Ten thousand goroutines that make garbage, while the collector runs all the time.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
)

type tree struct {
	left, right *tree
	value       int
}

func grow(depth, value int) *tree {
	if depth == 0 {
		return nil
	}
	return &tree{grow(depth-1, 2*value), grow(depth-1, 2*value+1), value}
}

func (t *tree) sum() int {
	if t == nil {
		return 0
	}
	return t.value + t.left.sum() + t.right.sum()
}

func main() {
	goroutines, rounds := 10_000, 3
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	debug.SetGCPercent(20)
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var wg sync.WaitGroup
	sums := make([]int, goroutines)
	for g := range sums {
		wg.Go(func() {
			kept := grow(5, g)
			for r := range rounds {
				m := map[string]int{}
				for i := range 20 {
					m[strconv.Itoa(g*i+r)] = i
				}
				sums[g] += len(m) + grow(4, r).sum()
				runtime.Gosched()
			}
			sums[g] += kept.sum()
		})
	}
	wg.Wait()
	close(stop)
	total := 0
	for _, s := range sums {
		total += s
	}
	fmt.Println(total)
}

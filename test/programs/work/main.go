// work exercises what a Go program needs of its kernel beyond system calls that
// just return: threads, preemption by signals, timers, garbage collection,
// faults that become panics. What it prints is the same on every machine.
package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	goroutines()
	collect()
	preempt()
	timers()
	faults()
	signals()
	float()
	files()
	fmt.Println("done")
}

func goroutines() {
	const n = 1000
	in, out := make(chan int), make(chan int)
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v := <-in
			runtime.Gosched()
			out <- v * v
		}()
	}
	go func() {
		for i := range n {
			in <- i
		}
		wg.Wait()
		close(out)
	}()
	sum := 0
	for v := range out {
		sum += v
	}
	fmt.Println("goroutines", sum)

	var mu sync.Mutex
	count := 0
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			for range 1000 {
				mu.Lock()
				count++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println("threads", count)
}

type node struct {
	left, right *node
	data        [5]byte
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func collect() {
	keep := tree(12)
	total := 0
	for range 50 {
		total += tree(11).count()
	}
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println("garbage", total, keep.count(), m.NumGC > 2, m.HeapAlloc < 64<<20)
	finalized := make(chan bool)
	runtime.SetFinalizer(&node{left: keep}, func(*node) { close(finalized) })
	runtime.GC()
	<-finalized
	fmt.Println("finalized")
}

// preempt needs SIGURG to reach a loop without calls.
func preempt() {
	var stop atomic.Bool
	var spins [2]int
	var wg sync.WaitGroup
	for i := range spins {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; !stop.Load(); n++ {
				spins[i] = n
			}
		}()
	}
	for range 3 {
		time.Sleep(time.Millisecond)
		runtime.GC()
	}
	stop.Store(true)
	wg.Wait()
	fmt.Println("preempted", spins[0] > 0 || spins[1] > 0)
}

func timers() {
	start := time.Now()
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for _, ms := range []int{60, 20, 40} {
		wg.Add(1)
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			defer wg.Done()
			mu.Lock()
			order = append(order, ms)
			mu.Unlock()
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	// On a machine that stood still several fire at once, in any order.
	sort.Ints(order)
	fmt.Println("timers", order, elapsed >= 60*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("deadline", ctx.Err())
	tick := time.NewTicker(time.Millisecond)
	for range 5 {
		<-tick.C
	}
	tick.Stop()
	fmt.Println("year", time.Now().Year() >= 2024, time.Now().Year() < 2100)
}

func faults() {
	try := func(name string, f func()) {
		defer func() { fmt.Println(name, recover()) }()
		f()
	}
	var p *node
	var zero int
	try("nil", func() { p.data[0] = 1 })
	try("divide", func() { fmt.Println(1 / zero) })
	try("index", func() { fmt.Println([]int{}[zero]) })
	debug.SetPanicOnFault(true)
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	try("write to a page that is read-only", func() { page[0] = 1 })
	debug.SetPanicOnFault(false)
	if err := syscall.Munmap(page); err != nil {
		fmt.Println(err)
	}
	deep := 0
	var recursion func(n int) int
	recursion = func(n int) int {
		var pad [256]byte
		pad[n%256] = byte(n)
		if n == 0 {
			return int(pad[0])
		}
		return recursion(n-1) + 1
	}
	deep = recursion(100_000)
	fmt.Println("stack", deep)
}

func signals() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGTERM)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			fmt.Println(err)
		}
		fmt.Println("signal", <-c)
	}
	signal.Ignore(syscall.SIGHUP)
	fmt.Println("ignored", syscall.Kill(os.Getpid(), syscall.SIGHUP))
}

// float keeps floating-point registers in use while threads switch.
func float() {
	results := make([]float64, 4)
	var wg sync.WaitGroup
	for i := range results {
		wg.Add(1)
		go func() {
			defer wg.Done()
			x := float64(i + 1)
			for k := 1; k < 200_000; k++ {
				x += math.Sqrt(x) / float64(k)
			}
			results[i] = x
		}()
	}
	wg.Wait()
	fmt.Println("float", results)
}

func files() {
	dir, err := os.MkdirTemp("", "work")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	data := []byte(strings.Repeat("some text\n", 10_000))
	for _, name := range []string{"b", "a", "c"} {
		if err := os.WriteFile(dir+"/"+name, data, 0o600); err != nil {
			fmt.Println(err)
		}
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	fmt.Println("directory", names, sort.StringsAreSorted(names), err)
	b, err := os.ReadFile(dir + "/c")
	fmt.Printf("file %d %08x %v\n", len(b), crc32.ChecksumIEEE(b), err)
	_, err = os.ReadFile("/no/such/file")
	fmt.Println(err)
}

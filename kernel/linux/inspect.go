package linux

import (
	"runtime"

	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// show answers the host's wish to read a file or list a directory of p's, as
// root would see it (docs/contracts.md). It blocks for as long as the file
// does, and runs on a goroutine of its own.
func (p *Process) show(path string) {
	p.kernel.showing.Lock() // answers come one after the other
	defer p.kernel.showing.Unlock()
	const size = 8 << 10
	chunk := make([]byte, 2+size) // its length, and the bytes
	send := func(n int) {
		chunk[0], chunk[1] = byte(n), byte(n>>8)
		console.Write(metal.Reply, chunk[:2+n])
	}
	err := p.inspect(path, chunk[2:], send)
	answer(err)
}

// answer ends the answer to a question of the host's.
func answer(err Errno) { console.Write(metal.Reply, []byte{0, 0, byte(err)}) }

// inspect fills buf with what is at path and calls send with how much it is,
// again and again.
func (p *Process) inspect(path string, buf []byte, send func(n int)) Errno {
	const dir, ping = "/proc/gosv/", "ping/"
	if n := p.kernel.Network; n != nil && len(path) > len(dir+ping) && path[:len(dir+ping)] == dir+ping {
		send(copy(buf, n.Table(path[len(dir):])))
		return 0
	}
	root := p.kernel.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: allCapabilities, PID: p.pid}, Root: root, Base: root}
	place, err := at.Lookup(path)
	if err != 0 {
		return err
	}
	n := place.Inode
	switch {
	case fs.IsDir(n.Mode()):
		return list(n, buf, send)
	case !fs.IsRegular(n.Mode()): // reading could wait for the program
		return EINVAL
	}
	if n, err = n.Open(); err != 0 {
		return err
	}
	defer n.Close()
	for off := int64(0); ; {
		got, err := fs.ReadFull(n, buf, off)
		if got > 0 {
			send(got)
			off += int64(got)
		}
		if err != 0 || got < len(buf) {
			return err
		}
	}
}

// list is inspect for a directory: its entries' names, a line each.
func list(n fs.Inode, buf []byte, send func(n int)) Errno {
	for pos, more := int64(0), true; more; {
		used := 0
		more = false
		err := n.ReadDir(pos, func(e fs.Dirent) bool {
			if more = used+len(e.Name)+1 > len(buf); more {
				return false
			}
			used += copy(buf[used:], e.Name)
			buf[used] = '\n'
			used++
			pos = e.Next
			return true
		})
		if err != 0 {
			return err
		}
		if used > 0 {
			send(used)
		}
	}
	return 0
}

// gosvFiles is /proc/gosv, which only gosv has.
var gosvFiles = [...]procFile{
	{name: "heap", mode: procPrivate, read: procHeap},
	{name: "memory", mode: procPrivate, read: procKernelMemory},
	{name: "stacks", mode: procPrivate, read: procStacks},
}

// procStacks is /proc/gosv/stacks: where the kernel's goroutines are, those of
// the application's threads among them.
func procStacks(s *subject, b *text) {
	const most = 1 << 20
	for size := 16 << 10; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= most || !mm.KernelRoom(2*size) {
			b.b = append(b.b, buf[:n]...)
			return
		}
	}
}

// procKernelMemory is /proc/gosv/memory: the kernel's own memory, in bytes.
func procKernelMemory(s *subject, b *text) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	free, total := metal.FreeMemory()
	for _, v := range [...]struct {
		name  string
		value uint64
	}{
		{"machine_total", total}, {"machine_free", free}, {"kernel_total", metal.KernelMemory()},
		{"go_heap_objects", m.HeapAlloc}, {"go_heap_idle", m.HeapIdle}, {"go_stacks", m.StackInuse}, {"go_runtime", m.Sys - m.HeapSys - m.StackSys},
		{"go_goroutines", uint64(runtime.NumGoroutine())}, {"go_collections", uint64(m.NumGC)}, {"go_pause_total_ns", m.PauseTotalNs},
	} {
		b.str(v.name, " ")
		b.num(v.value)
		b.str("\n")
	}
}

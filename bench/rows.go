package main

// The units of rows.
const (
	unitInstructions = "instructions"
	unitExits        = "exits"
	unitBytes        = "bytes"
	unitMiB          = "MiB"
	unitRatio        = "of Linux's time"
	unitMBs          = "MB/s"
	unitPerSecond    = "per second"
)

// microOperations are those that micro.c measures, in its order.
var microOperations = []string{
	"getppid", "clock_gettime(syscall)", "clock_gettime(libc)",
	"page fault, anonymous", "mmap+touch+munmap 64K", "mprotect 4K",
	"read 4K /dev/zero", "write 4K /dev/null", "pwrite 4K file", "pread 4K file", "open+close", "stat",
	"eventfd write+read", "epoll_wait, ready", "signal to self",
	"thread create+join", "futex ping-pong", "pipe ping-pong", "unix socket ping-pong", "nanosleep(1)",
}

// rows are the lines of the table.
func rows() []row {
	list := []row{
		{name: bootGlibc, unit: unitInstructions, budget: 450_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloGlibc) }},
		{name: bootMusl, unit: unitInstructions, budget: 450_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloMusl) }},
		{name: bootGo, unit: unitInstructions, budget: 850_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloGo) }},
		{name: exitsGo, unit: unitExits, budget: 80, measure: func(b *bench) (float64, string, error) { return b.firecrackerExits(helloGo) }},
		{name: lifeC, unit: unitRatio, budget: 0, measure: func(b *bench) (float64, string, error) { return b.linuxRatio(helloGlibc) }},
		{name: lifeGo, unit: unitRatio, budget: 0, measure: func(b *bench) (float64, string, error) { return b.linuxRatio(helloGo) }},
		{name: sizeKernel, unit: unitBytes, budget: 2_200_000, measure: func(b *bench) (float64, string, error) { return fileSize(b.kernel) }},
		{name: sizeGosv, unit: unitBytes, budget: 0, measure: func(b *bench) (float64, string, error) { return fileSize(b.gosv) }},
		{name: sizeImage, unit: unitBytes, budget: 0, measure: (*bench).imageSize},
		{name: memoryC, unit: unitMiB, budget: 8, measure: func(b *bench) (float64, string, error) { return b.leastMemory(helloGlibc) }},
		{name: memoryGo, unit: unitMiB, budget: 12, measure: func(b *bench) (float64, string, error) { return b.leastMemory(helloGo) }},
	}
	for _, op := range microOperations {
		r := row{
			name: op, unit: unitInstructions,
			measure: func(b *bench) (float64, string, error) { return b.micro(op, &b.micros, b.microOnGosv) },
			linux:   func(b *bench) (float64, string, error) { return b.micro(op, &b.linuxMicros, b.microOnLinux) },
		}
		if op == "getppid" {
			r.budget = 150
		}
		list = append(list, r)
	}
	for _, n := range []struct{ name, of, unit string }{
		{"vsock, to the host", vsockToHost, unitMBs}, {"vsock, from the host", vsockFromHost, unitMBs}, {"vsock, round trips", vsockRounds, unitPerSecond},
	} {
		list = append(list, row{
			name: n.name, unit: n.unit,
			measure: func(b *bench) (float64, string, error) { return b.vsock(n.of, false) },
			linux:   func(b *bench) (float64, string, error) { return b.vsock(n.of, true) },
		})
	}
	return append(list, row{
		name: "vsock, exits of a round trip", unit: unitExits,
		measure: func(b *bench) (float64, string, error) { return b.vsockExits(false) },
		linux:   func(b *bench) (float64, string, error) { return b.vsockExits(true) },
	})
}

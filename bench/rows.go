package main

// The units of rows.
const (
	unitInstructions = "instructions"
	unitExits        = "exits"
	unitBytes        = "bytes"
	unitMiB          = "MiB"
	unitRatio        = "of Linux's time"
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
		{bootGlibc, unitInstructions, 450_000, func(b *bench) (float64, string, error) { return b.bootInstructions(helloGlibc) }},
		{bootMusl, unitInstructions, 450_000, func(b *bench) (float64, string, error) { return b.bootInstructions(helloMusl) }},
		{bootGo, unitInstructions, 850_000, func(b *bench) (float64, string, error) { return b.bootInstructions(helloGo) }},
		{exitsGo, unitExits, 80, func(b *bench) (float64, string, error) { return b.firecrackerExits(helloGo) }},
		{lifeC, unitRatio, 0, func(b *bench) (float64, string, error) { return b.linuxRatio(helloGlibc) }},
		{lifeGo, unitRatio, 0, func(b *bench) (float64, string, error) { return b.linuxRatio(helloGo) }},
		{sizeKernel, unitBytes, 2_200_000, func(b *bench) (float64, string, error) { return fileSize(b.kernel) }},
		{sizeGosv, unitBytes, 0, func(b *bench) (float64, string, error) { return fileSize(b.gosv) }},
		{sizeImage, unitBytes, 0, (*bench).imageSize},
		{memoryC, unitMiB, 8, func(b *bench) (float64, string, error) { return b.leastMemory(helloGlibc) }},
		{memoryGo, unitMiB, 12, func(b *bench) (float64, string, error) { return b.leastMemory(helloGo) }},
	}
	for _, op := range microOperations {
		r := row{name: op, unit: unitInstructions, measure: func(b *bench) (float64, string, error) { return b.micro(op) }}
		if op == "getppid" {
			r.budget = 150
		}
		list = append(list, r)
	}
	return list
}

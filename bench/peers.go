package main

// peers are the columns beside ours.
var peers = [...]string{"Linux 6.1", "OSv", "Nanos", "Unikraft", "TamaGo"}

// cells are a row's values for the peers, in their order; "" where there is none.
type cells [len(peers)]string

// The names of the rows that peers have numbers for. The others are those of
// micro.c's operations.
const (
	bootGlibc     = "first line, C hello (glibc)"
	bootGlibc4    = "first line, C hello (glibc), 4 CPUs, all of their instructions"
	bootMusl      = "first line, C hello (musl)"
	bootGo        = "first line, Go hello"
	exitsGo       = "Firecracker: VM exits, Go hello"
	exitsGo4      = "Firecracker: VM exits, Go hello, 4 CPUs"
	lifeC         = "Firecracker: VM's whole life, C hello (glibc)"
	lifeGo        = "Firecracker: VM's whole life, Go hello"
	sizeKernel    = "kernel"
	sizeNetKernel = "kernel with the network"
	bootWeb       = "first answer of a Go web server"
	sizeGosv      = "bin/gosv, with the kernel in it"
	sizeImage     = "application image, Go hello"
	memoryC       = "least -m, C hello (glibc)"
	memoryGo      = "least -m, Go hello"
)

// peerNotes says where the peers' numbers come from.
const peerNotes = `Linux is Debian's 6.1 cloud kernel with the program as init; OSv v0.57.0-398, microvm profile; Nanos b9c3671d; Unikraft 0.17.0; TamaGo with Go 1.26.
Their numbers were measured once, on the same QEMU 7.2 (microvm, TCG, ` + "`-cpu max`" + `, one CPU) and Firecracker 1.17-dev, with the same tools.
¹ Counted at ` + "`-icount shift=2`" + `, since it waits for a clock. ² The program is linked into the kernel; TamaGo's by a fork of Go.`

// peerCells has the peers' numbers by row, in the row's unit.
var peerCells = map[string]cells{
	bootGlibc:  {"1,415 M (tuned: 487-649 M)", "4.8 M", "5.3 M ¹", "25.1 M ¹ ²", ""},
	bootGo:     {"1,420 M", "9.1-12.8 M", "20-27 M ¹", "", "0.82-0.99 M ²"},
	exitsGo:    {"2,531-2,660", "985", "9, then a triple fault", "", ""},
	lifeC:      {"1", "0.27-0.29", "", "", ""},
	lifeGo:     {"1", "0.32-0.35", "", "", ""},
	sizeKernel: {"53,243,444", "2,845,240", "1,742,992", "201,432 ²", "1,777,839 ²"},
	sizeImage:  {"", "5 M", "15.8 M", "", ""},
	memoryC:    {"69", "10", "12", "2 ²", ""},
	memoryGo:   {"71", "15", "14", "", "9 ²"},

	"getppid":                {"340"},
	"clock_gettime(syscall)": {"455"},
	"clock_gettime(libc)":    {"73"},
	"page fault, anonymous":  {"6,933"},
	"mmap+touch+munmap 64K":  {"27,279"},
	"mprotect 4K":            {"12,437"},
	"read 4K /dev/zero":      {"4,803"},
	"write 4K /dev/null":     {"589"},
	"pwrite 4K file":         {"5,812"},
	"pread 4K file":          {"5,409"},
	"open+close":             {"10,408"},
	"stat":                   {"7,918"},
	"eventfd write+read":     {"1,538"},
	"epoll_wait, ready":      {"716"},
	"signal to self":         {"4,889"},
	"thread create+join":     {"72,647"},
	"futex ping-pong":        {"8,228"},
	"pipe ping-pong":         {"11,909"},
	"unix socket ping-pong":  {"19,379"},
	"nanosleep(1)":           {"54,009 (sleeps 50,000)"},
}

package main

import "fmt"

// The units of rows.
const (
	unitInstructions = "instructions"
	unitExits        = "exits"
	unitOfOne        = "of the time on one"
	unitWakeups      = "context switches"
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
		{name: bootGlibc, unit: unitInstructions, budget: 450_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloGlibc, 1) }},
		{name: bootGlibc4, unit: unitInstructions, budget: 540_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloGlibc, 4) }},
		{name: bootMusl, unit: unitInstructions, budget: 450_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloMusl, 1) }},
		{name: bootGo, unit: unitInstructions, budget: 850_000, measure: func(b *bench) (float64, string, error) { return b.bootInstructions(helloGo, 1) }},
		{name: exitsGo, unit: unitExits, budget: 80, measure: func(b *bench) (float64, string, error) { return b.firecrackerExits(helloGo, 1) }},
		{name: exitsGo4, unit: unitExits, measure: func(b *bench) (float64, string, error) { return b.firecrackerExits(helloGo, 4) }},
		{name: "a disk, a network and entropy: to the first line, C hello", unit: unitInstructions, budget: 100_000,
			measure: func(b *bench) (float64, string, error) { return b.deviceInstructions(helloGlibc) }},
		{name: "a disk, a network and entropy on Firecracker: VM exits, C hello", unit: unitExits, budget: 60,
			measure: func(b *bench) (float64, string, error) { return b.deviceExits(helloGlibc) }},
		{name: lifeC, unit: unitRatio, budget: 0, measure: func(b *bench) (float64, string, error) { return b.linuxRatio(helloGlibc) }},
		{name: lifeGo, unit: unitRatio, budget: 0, measure: func(b *bench) (float64, string, error) { return b.linuxRatio(helloGo) }},
		{name: sizeKernel, unit: unitBytes, budget: 3_000_000, measure: func(b *bench) (float64, string, error) { return fileSize(b.kernel) }},
		{name: sizeNetKernel, unit: unitBytes, budget: 6_000_000, measure: func(b *bench) (float64, string, error) { return fileSize(b.netKernel) }},
		{name: bootWeb, unit: unitInstructions, budget: 2_500_000, measure: (*bench).firstAnswer},
		{name: sizeGosv, unit: unitBytes, budget: 0, measure: func(b *bench) (float64, string, error) { return fileSize(b.gosv) }},
		{name: sizeImage, unit: unitBytes, budget: 0, measure: (*bench).imageSize},
		{name: memoryC, unit: unitMiB, budget: 8, measure: func(b *bench) (float64, string, error) { return b.leastMemory(helloGlibc) }},
		{name: memoryGo, unit: unitMiB, budget: 12, measure: func(b *bench) (float64, string, error) { return b.leastMemory(helloGo) }},
	}
	list = append(list, row{
		name: "work of 4 threads, 4 CPUs", unit: unitOfOne,
		measure: func(b *bench) (float64, string, error) { return b.speedup(false) },
		linux:   func(b *bench) (float64, string, error) { return b.speedup(true) },
	})
	for _, cpus := range []int{1, 4} {
		for _, p := range []program{asleepC, asleepGo} {
			name := fmt.Sprintf("%s, %d CPUs", p.name, cpus)
			list = append(list,
				row{name: "Firecracker: VM exits a second, " + name, unit: unitExits, budget: 1, measure: func(b *bench) (float64, string, error) { return b.idleExits(p, cpus) }},
				row{name: "QEMU: wake-ups a second, " + name, unit: unitWakeups, budget: 5, measure: func(b *bench) (float64, string, error) { return b.idleWakeups(p, cpus) }})
		}
		for _, op := range microOperations {
			r := row{
				name: op, unit: unitInstructions,
				measure: func(b *bench) (float64, string, error) { return b.micro(op, cpus, b.micros, b.microOnGosv) },
				linux:   func(b *bench) (float64, string, error) { return b.micro(op, cpus, b.linuxMicros, b.microOnLinux) },
			}
			if cpus > 1 {
				r.name = fmt.Sprintf("%s, %d CPUs", op, cpus)
			}
			if op == "getppid" && cpus == 1 {
				r.budget = 150
			}
			list = append(list, r)
		}
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
	for _, n := range []struct{ name, of, unit string }{
		{"disk, sequential write", diskWrite, unitMBs}, {"disk, sequential read", diskRead, unitMBs},
		{"disk, random 4K reads", diskRandom, unitPerSecond}, {"disk, random 4K reads, 32 at a time", diskRandom32, unitPerSecond},
	} {
		list = append(list, row{
			name: n.name, unit: n.unit,
			measure: func(b *bench) (float64, string, error) { return b.disk(n.of, false) },
			linux:   func(b *bench) (float64, string, error) { return b.disk(n.of, true) },
		})
	}
	list = append(list, row{
		name: "disk, exits of 100 random 4K reads, 32 at a time", unit: unitExits,
		measure: func(b *bench) (float64, string, error) { return b.diskExits(false) },
		linux:   func(b *bench) (float64, string, error) { return b.diskExits(true) },
	})
	list = append(list, webRows()...)
	return append(list, row{
		name: "vsock, exits of a round trip", unit: unitExits,
		measure: func(b *bench) (float64, string, error) { return b.vsockExits(false) },
		linux:   func(b *bench) (float64, string, error) { return b.vsockExits(true) },
	})
}

// webRows are about a web server, and its client on the host.
func webRows() (list []row) {
	list = append(list, row{
		name: "least -m, web server on QEMU, 10,000 requests", unit: unitMiB, budget: 24,
		measure: func(b *bench) (float64, string, error) { return b.webMemory(false) },
		linux:   func(b *bench) (float64, string, error) { return b.webMemory(true) },
	}, row{
		name: "least -m, web server on Firecracker", unit: unitMiB, budget: 24,
		measure: func(b *bench) (float64, string, error) { return b.boxMemory(false) },
	})
	for _, n := range []struct {
		name, of string
		count    int
	}{
		{"a request, 64 connections that are kept", webRequests, 6400}, {"a request by a connection of its own", webConnections, 3200},
		{"a megabyte to the client", webDownload, 64}, {"a megabyte from the client", webUpload, 64},
	} {
		list = append(list, row{
			name: "web server: " + n.name, unit: unitInstructions,
			measure: func(b *bench) (float64, string, error) { return b.webInstructions(false, n.of, n.count) },
			linux:   func(b *bench) (float64, string, error) { return b.webInstructions(true, n.of, n.count) },
		})
	}
	for _, n := range []struct{ name, of, unit string }{
		{"requests, 64 connections that are kept", webRequests, unitPerSecond}, {"connections with a request", webConnections, unitPerSecond},
		{"download", webDownload, unitMBs}, {"upload", webUpload, unitMBs}, {"starts, to the first answer", webFirst, unitPerSecond},
	} {
		list = append(list, row{
			name: "web server on Firecracker: " + n.name, unit: n.unit,
			measure: func(b *bench) (float64, string, error) { return b.boxRate(n.of, false) },
			linux:   func(b *bench) (float64, string, error) { return b.boxRate(n.of, true) },
		}, row{
			name: "web server on QEMU: " + n.name, unit: n.unit,
			measure: func(b *bench) (float64, string, error) { return b.webRate(n.of, false) },
			linux:   func(b *bench) (float64, string, error) { return b.webRate(n.of, true) },
		})
	}
	list = append(list, row{
		name: "web server on Firecracker: to the first answer, with Firecracker's own and KVM's", unit: unitInstructions,
		measure: func(b *bench) (float64, string, error) { return b.boxStart(false) },
		linux:   func(b *bench) (float64, string, error) { return b.boxStart(true) },
	})
	for _, n := range []struct {
		name, of  string
		few, many int
	}{
		{"a request, 64 connections that are kept", webRequests, 128, 512}, {"a request by a connection of its own", webConnections, 64, 256},
		{"a megabyte to the client", webDownload, 8, 32}, {"a megabyte from the client", webUpload, 8, 32},
	} {
		list = append(list, row{
			name: "web server, exits of " + n.name, unit: unitExits,
			measure: func(b *bench) (float64, string, error) { return b.webExits(false, n.of, n.few, n.many) },
			linux:   func(b *bench) (float64, string, error) { return b.webExits(true, n.of, n.few, n.many) },
		})
	}
	return list
}

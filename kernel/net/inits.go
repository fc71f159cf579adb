package net

import (
	_ "unsafe" // go:linkname

	"gvisor.dev/gvisor/pkg/rand"
)

// moduledata is runtime.moduledata up to its inittasks.
type moduledata struct {
	_         [59]uintptr
	initTasks []*initTask
}

// initTask is runtime.initTask: the initialization of a package.
type initTask struct{}

//go:linkname firstmoduledata runtime.firstmoduledata
var firstmoduledata moduledata

//go:linkname doInit runtime.doInit
func doInit(tasks []*initTask)

// initPackages runs the initialization of the packages that only the kernel with a
// network has: mkkernel leaves it out of what the runtime does before main. Netstack's
// takes random numbers already.
func initPackages(r random) {
	rand.Reader = r
	tasks := firstmoduledata.initTasks
	doInit(tasks[len(tasks):cap(tasks)])
}

// Package linux is the Linux ABI for x86-64 as ordinary Go: processes, threads,
// signals, descriptors and system calls. Memory is package mm's, terminals are package
// tty's, sockets those of their families. A thread of the application is a goroutine that
// loops over metal.EnterUser; whatever blocks it is a Go wait.
//
// # Locks
//
// Several CPUs run threads at once. Locks are taken in this order, from the
// outermost:
//
//	descriptor table, then an open file's and a file system's (fd.go)
//	Process.timerMu  interval and POSIX timers
//	mm.Space's lock  mappings and page tables; a file's page index may be asked below it
//	Kernel.mu        the process table
//	futex bucket     (two of them in order of address)
//	Process.sig.mu   handlers and pending signals, those of its threads too
//	Process.mu       the list of threads
//	wait.Queue       those who wait for something
//	timers.mu        the machine's timers
//	seats.mu         who has which CPU
//
// Touching user memory may take the space's lock (the page may have to be brought in),
// so neither it nor what stands below it may be held meanwhile; a futex bucket
// may, where memory is only looked at if it is there (futex.go).
package linux

import (
	"slices"
	"sync"
	"sync/atomic"

	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/mm"
	"gosv/kernel/tty"
	"gosv/kernel/unix"
	"gosv/kernel/vsock"
)

// Kernel is what all processes share.
type Kernel struct {
	Log      func(msg string) // takes whole lines for the kernel's message stream
	HostName string
	Exit     func(code int) // ends the machine with the first process
	Root     *fs.Namespace  // the files that processes see
	Network  Network        // nil: there is none

	FindDevices func(k *Kernel) // finds the machine's devices and adds them; nil: there are none

	mu   sync.Mutex
	piMu sync.Mutex // guards all piState and piThread; below the lock of a futexBucket

	lastID int        // the last process or thread id given out
	procs  []*Process // by pid
	init   *Process   // the first one: the machine ends with it

	disks    disks
	locks    lockTable    // on files
	inotify  inotifyTable // what is watched
	seats    seats        // of threads with an affinity mask
	ptys     tty.Pairs
	console  *tty.Terminal // nil: it is none
	fifos    fifoTable
	vsockets vsock.Sockets
	unix     unix.Names
	scratch  scratch

	hardware atomic.Pointer[hardware] // nil: nobody needed it yet
	balloon  atomic.Pointer[Balloon]

	pages      FilePages     // of all files in memory
	anon       *tmpfs.FS     // files without names, nil until the first
	mounted    atomic.Uint64 // file systems that were, in memory
	domainName string
	calls      *[numCalls]call
	diag       atomic.Pointer[diagnosis] // what the host wants to know, or nil
	profiler   atomic.Pointer[profiler]  // nil while there is none
	showing    sync.Mutex                // an answer to the host is on its way
}

// Ids run up to Linux's default maximum on 64-bit machines (pid_max, proc(5))
// and start again above those of early system processes, as on Linux.
const (
	maxID        = 1 << 22
	firstReuseID = 300
)

// Process is a thread group: what its threads share.
type Process struct {
	kernel *Kernel
	parent *Process // nil for the first process
	pid    int
	space  *mm.Space
	sig    signalState
	files  fileState // descriptors, directories, umask: fd.go
	limits limits
	cred   credentials

	mu         sync.Mutex
	threads    []*Thread     // by tid
	deadTime   atomic.Uint64 // CPU time of those that are gone, ns,
	deadTicks  cpuTicks
	deadWaits  atomic.Uint64 // and how often they gave up their CPU
	deadYields atomic.Uint64
	exiting    atomic.Bool
	code       int // exit status as a shell shows it, once exiting
	exitSignal int // what killed it, or 0
	leaderCode int // what the first thread gave exit(2)

	timerMu sync.Mutex
	itimers [numITimers]*appTimer
	timers  map[int32]*appTimer // by id

	nextTimer int32 // an id that was not used yet

	core coreState

	exe         string // path of the executable
	begin       startAddrs
	split       cpuSplit
	oomScore    atomic.Int32 // /proc/PID/oom_score_adj
	session     tty.Session  // that it leads
	deathSignal int32        // PR_SET_PDEATHSIG
	personality atomic.Uint32
	secret      atomic.Bool // PR_SET_DUMPABLE 0
	barriers    atomic.Bool // registered for membarrier(2)
}

// newID returns an id that no process or thread uses.
func (k *Kernel) newID() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		k.lastID++
		if k.lastID == maxID {
			k.lastID = firstReuseID
		}
		if k.lastID < firstReuseID || k.threadLocked(k.lastID) == nil {
			return k.lastID
		}
	}
}

// allProcesses returns all that there are now.
func (k *Kernel) allProcesses() []*Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.procs)
}

// process returns the process with the given pid, or nil.
func (k *Kernel) process(pid int) *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		if p.pid == pid {
			return p
		}
	}
	return nil
}

// thread returns the thread with the given tid in any process, or nil.
func (k *Kernel) thread(tid int) *Thread {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.threadLocked(tid)
}

func (k *Kernel) threadLocked(tid int) *Thread {
	for _, p := range k.procs {
		if t := p.thread(tid); t != nil {
			return t
		}
	}
	return nil
}

// allThreads returns p's threads as they are now.
func (p *Process) allThreads() []*Thread {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.threads)
}

// thread returns p's thread with the given tid, or nil.
func (p *Process) thread(tid int) *Thread {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(p.threads, tid, byTID); ok {
		return p.threads[i]
	}
	return nil
}

func byTID(t *Thread, tid int) int { return t.tid - tid }

// eachThread calls f, which must not block, for p's threads until it returns
// false.
func (p *Process) eachThread(f func(t *Thread) bool) {
	p.mu.Lock()
	for _, t := range p.threads {
		if !f(t) {
			break
		}
	}
	p.mu.Unlock()
}

// link and unlink put t into the list of p's threads and take it out; unlink
// returns how many are left.
func (p *Process) link(t *Thread) {
	p.mu.Lock()
	i, _ := slices.BinarySearchFunc(p.threads, t.tid, byTID)
	p.threads = append(p.threads, nil) // slices.Insert would be fifteen times as large
	copy(p.threads[i+1:], p.threads[i:])
	p.threads[i] = t
	p.mu.Unlock()
}

func (p *Process) unlink(t *Thread) (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(p.threads, t.tid, byTID); ok {
		p.threads = slices.Delete(p.threads, i, i+1)
	}
	return len(p.threads)
}

// remove takes a process that has ended out of the table.
func (k *Kernel) remove(p *Process) {
	k.mu.Lock()
	if i := slices.Index(k.procs, p); i >= 0 {
		k.procs = slices.Delete(k.procs, i, i+1)
	}
	k.mu.Unlock()
}

// log writes a line to the kernel's message stream.
func (k *Kernel) log(msg string) {
	if k.Log != nil {
		k.Log(msg + "\n")
	}
}

// NewKernel returns a kernel without processes.
func NewKernel() *Kernel {
	k := &Kernel{calls: &calls}
	k.pages.kernel, k.disks.kernel, k.vsockets.System = k, k, k
	k.unix.NewIno = newSocketIno
	return k
}

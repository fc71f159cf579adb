package linux

import (
	"strconv"
	"sync"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// epoll is an epoll(7) instance.
type epoll struct {
	noObject
	mu    sync.Mutex // guards what follows; taken below the wait.Queues of the files watched
	items map[epollKey]*epollItem
	ready readyList // in the order in which they became so
	queue wait.Queue
}

// Linux tells registrations apart by descriptor and description.
type epollKey struct {
	fd   int32
	file *File
}

type epollItem struct {
	ep     *epoll
	key    epollKey
	events uint32 // asked for; 0 but for the flags after a one-shot
	data   uint64
	waiter wait.Waiter
	listed bool // in a readyList, and
	next   *epollItem
	gone   bool
}

// readyList is a queue of items.
type readyList struct{ first, last *epollItem }

func (l *readyList) push(item *epollItem) {
	item.listed, item.next = true, nil
	if l.first == nil {
		l.first = item
	} else {
		l.last.next = item
	}
	l.last = item
}

// pop takes the first item out, nil if there is none.
func (l *readyList) pop() *epollItem {
	item := l.first
	if item != nil {
		l.first, item.listed = item.next, false
	}
	return item
}

const (
	epollExclusive = 1 << 28
	epollWakeup    = 1 << 29
	epollOneshot   = 1 << 30
	epollEdge      = 1 << 31
	epollFlags     = epollExclusive | epollWakeup | epollOneshot | epollEdge

	epollNesting = 5 // how deep instances may watch each other
)

func sysEpollCreate(t *Thread, a *Args) (uintptr, Errno) {
	if int32(a.Arg1()) <= 0 {
		return 0, EINVAL
	}
	return t.epollCreate(0)
}

func sysEpollCreate1(t *Thread, a *Args) (uintptr, Errno) { return t.epollCreate(a.Int1()) }

func (t *Thread) epollCreate(flags uintptr) (uintptr, Errno) {
	if flags&^oCloexec != 0 {
		return 0, EINVAL
	}
	return t.install(newFile(&epoll{items: map[epollKey]*epollItem{}}, oRdwr), 0, flags != 0)
}

// epollEvent is struct epoll_event: packed on x86-64.
type epollEvent struct {
	events uint32
	data   [8]byte
}

func (t *Thread) epollFile(fd uintptr) (*File, *epoll, Errno) {
	f, err := t.ioFile(fd)
	if err != 0 {
		return nil, nil, err
	}
	e, ok := f.io.(*epoll)
	if !ok {
		f.Release()
		return nil, nil, EINVAL
	}
	return f, e, 0
}

func sysEpollCtl(t *Thread, a *Args) (uintptr, Errno) {
	const add, del, mod = 1, 2, 3
	op := a.Arg2()
	var ev epollEvent
	if op != del {
		if err := copyIn(t, &ev, a.Arg4()); err != 0 {
			return 0, err
		}
	}
	target, err := t.ioFile(a.Arg3())
	if err != 0 {
		return 0, err
	}
	defer target.Release()
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	if !target.pollable() {
		return 0, EPERM
	}
	e, ok := f.io.(*epoll)
	inner, nested := target.io.(*epoll)
	if !ok || f == target {
		return 0, EINVAL
	}
	if ev.events&epollExclusive != 0 {
		const goWith = pollIn | pollOut | pollErr | pollHup | epollWakeup | epollEdge | epollExclusive
		if op == mod || op == add && (nested || ev.events&^goWith != 0) {
			return 0, EINVAL
		}
	}
	if op == add && nested && (inner == e || inner.reaches(e, 0) || inner.depth(0) >= epollNesting) {
		return 0, ELOOP
	}
	k := epollKey{int32(a.Arg3()), target}
	e.mu.Lock()
	item := e.items[k]
	e.mu.Unlock()
	switch {
	case op == add && item != nil:
		return 0, EEXIST
	case op != add && item == nil && (op == del || op == mod):
		return 0, ENOENT
	}
	switch op {
	case add:
		e.add(k, &ev)
	case mod:
		if item.events&epollExclusive != 0 {
			return 0, EINVAL
		}
		e.mu.Lock()
		item.events, item.data = ev.events|pollErr|pollHup, getUint64(ev.data[:])
		e.mu.Unlock()
		item.look()
	case del:
		e.remove(item)
	default:
		return 0, EINVAL
	}
	return 0, 0
}

// pollable says whether epoll can watch f. It refuses what Linux has no poll
// for, because that is always ready: files, but not those that are made when they
// are read, and some devices.
func (f *File) pollable() bool {
	switch io := f.io.(type) {
	case *inodeFile:
		switch io.inode.FS().Usage().Magic {
		case fs.MagicProc, fs.MagicSysfs:
			return fs.IsRegular(io.inode.Mode())
		}
		return false
	case *nullDevice, *zeroDevice, *fullDevice, *hwrng:
		return false
	case *randomDevice:
		return io.node.Attr().Rdev == devRandom
	}
	return true
}

// reaches says whether e watches target, through others too; depth is how deep
// those that it watches are nested.
func (e *epoll) reaches(target *epoll, level int) bool {
	for _, in := range e.watched() {
		if in == target || level < epollNesting && in.reaches(target, level+1) {
			return true
		}
	}
	return false
}

func (e *epoll) depth(level int) (d int) {
	for _, in := range e.watched() {
		if level < epollNesting {
			d = max(d, in.depth(level+1))
		}
	}
	return d + 1
}

func (e *epoll) watched() (all []*epoll) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k := range e.items {
		if in, ok := k.file.io.(*epoll); ok {
			all = append(all, in)
		}
	}
	return all
}

func (e *epoll) add(k epollKey, ev *epollEvent) {
	item := &epollItem{ep: e, key: k, events: ev.events | pollErr | pollHup, data: getUint64(ev.data[:])}
	item.waiter.Notify = item.changed
	item.waiter.Exclusive = ev.events&epollExclusive != 0
	e.mu.Lock()
	e.items[k] = item
	e.mu.Unlock()
	k.file.watch(item)
	if _, q := k.file.io.poll(k.file); q != nil {
		if item.waiter.Exclusive {
			q.Add(&item.waiter)
		} else {
			q.AddFirst(&item.waiter)
		}
	}
	item.look()
}

// look lists an item whose file is ready.
func (item *epollItem) look() {
	if mask, _ := item.key.file.io.poll(item.key.file); mask&item.events != 0 {
		item.changed(&item.waiter, mask)
	}
}

// remove ends a registration.
func (e *epoll) remove(item *epollItem) {
	if _, q := item.key.file.io.poll(item.key.file); q != nil {
		q.Remove(&item.waiter)
	}
	item.key.file.unwatch(item)
	e.mu.Lock()
	item.gone = true
	delete(e.items, item.key)
	e.mu.Unlock()
}

// changed notes that something happened to the file: whether it is of interest
// is looked at when somebody waits. Of an exclusive item it returns whether somebody does. It is
// called with the file's queue locked, so it may not ask the file.
func (item *epollItem) changed(_ *wait.Waiter, events uint32) bool {
	e := item.ep
	e.mu.Lock()
	wanted := item.events&^epollFlags&events != 0
	if wanted && !item.listed && !item.gone {
		e.ready.push(item)
	}
	e.mu.Unlock()
	sleeps := wanted && item.waiter.Exclusive && e.queue.Sleeps()
	if wanted {
		e.queue.Wake()
	}
	return sleeps
}

// collect moves up to len(out) events to out.
func (e *epoll) collect(out []epollEvent) (n int) {
	e.mu.Lock()
	list := e.ready
	e.ready = readyList{}
	for n < len(out) {
		item := list.pop()
		if item == nil {
			break
		}
		events, data := item.events, item.data
		if item.gone || events&^epollFlags == 0 {
			continue
		}
		e.mu.Unlock()
		mask, _ := item.key.file.io.poll(item.key.file)
		e.mu.Lock()
		if mask &= events; mask == 0 {
			continue
		}
		out[n].events = mask
		putUint64(out[n].data[:], data)
		n++
		switch {
		case events&epollOneshot != 0:
			item.events &= epollFlags
		case events&epollEdge == 0 && !item.listed && !item.gone: // level: it is looked at again next time
			e.ready.push(item)
		}
	}
	if list.first != nil {
		if e.ready.first == nil {
			e.ready = list
		} else {
			list.last.next = e.ready.first
			e.ready.first = list.first
		}
	}
	more := e.ready.first != nil
	e.mu.Unlock()
	if more {
		e.queue.Wake() // others may have looked while nothing was in the list
	}
	return n
}

// poll: an instance is readable when something that it watches is ready.
func (e *epoll) poll(*File) (ready uint32, q *wait.Queue) {
	e.mu.Lock()
	var list []*epollItem
	for item := e.ready.first; item != nil; item = item.next {
		if !item.gone {
			list = append(list, item)
		}
	}
	e.mu.Unlock()
	for _, item := range list {
		if mask, _ := item.key.file.io.poll(item.key.file); mask&item.events&^epollFlags != 0 {
			return pollIn | pollRdNorm, &e.queue
		}
	}
	return 0, &e.queue
}

// info implements fileInfo.
func (e *epoll) info(x *text) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, item := range e.items {
		a, dev := attrOf(k.file.place, k.file)
		x.str("tfd: ")
		x.right(strconv.Itoa(int(k.fd)), 8)
		x.str(" events: ")
		x.right(strconv.FormatUint(uint64(item.events), 16), 8)
		x.str(" data: ")
		x.right(strconv.FormatUint(item.data, 16), 16)
		x.str("  pos:", strconv.FormatInt(k.file.pos, 10), " ino:")
		x.hex(a.Ino, 1)
		x.str(" sdev:")
		x.hex(dev, 1)
		x.str("\n")
	}
}

func (e *epoll) name() string { return "anon_inode:[eventpoll]" }

func (e *epoll) close(*File) {
	e.mu.Lock()
	items := make([]*epollItem, 0, len(e.items))
	for _, item := range e.items {
		items = append(items, item)
	}
	e.mu.Unlock()
	for _, item := range items {
		e.remove(item)
	}
}

// watch notes that an epoll instance watches f, so that it can be told when f
// is closed for good.
func (f *File) watch(item *epollItem) {
	f.mu.Lock()
	f.watchers = append(f.watchers, item)
	f.mu.Unlock()
}

func (f *File) unwatch(item *epollItem) {
	f.mu.Lock()
	for i, w := range f.watchers {
		if w == item {
			f.watchers = append(f.watchers[:i], f.watchers[i+1:]...)
			break
		}
	}
	f.mu.Unlock()
}

func (t *Thread) epollWait(fd, addr, n uintptr, deadline uint64) (uintptr, Errno) {
	const most = 1 << 30 / 12
	if int32(n) <= 0 || n > most {
		return 0, EINVAL
	}
	if !userRange(addr, n*unsafe.Sizeof(epollEvent{})) {
		return 0, EFAULT
	}
	f, e, err := t.epollFile(fd)
	if err != 0 {
		return 0, err
	}
	var few [16]epollEvent
	out := few[:]
	if n > uintptr(len(few)) {
		out = make([]epollEvent, min(n, 1024))
	}
	out = out[:min(int(n), len(out))]
	got := 0
	t.flush()
	look := func() bool { got = e.collect(out); return got > 0 }
	if !look() && deadline != 0 {
		err = t.Wait(&e.queue, deadline, look)
	}
	f.Release()
	switch {
	case got > 0:
		return uintptr(got), copyOutSlice(t, addr, out[:got])
	case err == eRestartSys:
		return 0, EINTR
	case err == ETIMEDOUT:
		err = 0
	}
	return 0, err
}

func sysEpollWait(t *Thread, a *Args) (uintptr, Errno) {
	return t.epollWait(a.Arg1(), a.Arg2(), a.Int3(), deadlineMS(int32(a.Arg4())))
}

func sysEpollPwait(t *Thread, a *Args) (uintptr, Errno) {
	if err := t.withMask(a.Arg5(), a.Arg6()); err != 0 {
		return 0, err
	}
	return t.epollWait(a.Arg1(), a.Arg2(), a.Int3(), deadlineMS(int32(a.Arg4())))
}

func sysEpollPwait2(t *Thread, a *Args) (uintptr, Errno) {
	deadline, err := t.deadlineTS(a.Arg4())
	if err != 0 {
		return 0, err
	}
	if err := t.withMask(a.Arg5(), a.Arg6()); err != 0 {
		return 0, err
	}
	return t.epollWait(a.Arg1(), a.Arg2(), a.Int3(), deadline)
}

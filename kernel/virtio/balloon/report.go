package balloon

import "gosv/kernel/virtio"

// Free page reporting (section 5.5.6.7): the host may take what is free until it
// is used again, and need not be asked. It is told of large pages only. Free
// frames are linked through themselves, so that of each of them one frame
// would be in use again; and large pages make up for who has freed their parts
// in any order.

// report tells the host of large pages that have become free, if memory has been
// freed since the last time. Free memory is looked at less and less often while
// nothing happens.
func (b *Balloon) report() {
	if b.mem.Returned()-b.reported < hugeSize {
		b.pause = min(2*b.pause, lastPause)
		return
	}
	b.pause = firstPause
	b.mu.Lock() // who finds no memory meanwhile comes to Relieve, and waits
	b.join()
	var pages []uintptr
	for pa := b.mem.AllocReturnedHuge(); pa != 0; pa = b.mem.AllocReturnedHuge() {
		pages = append(pages, pa)
	}
	const most = 32
	var in [most]virtio.Buffer
	for i := 0; i < len(pages); i += most {
		some := pages[i:min(i+most, len(pages))]
		for j, pa := range some {
			in[j] = virtio.Buffer{Addr: uint64(pa), Len: huge}
		}
		if !b.reports.do(nil, in[:len(some)]) {
			pages = pages[:i] // the device failed, and may not know
			break
		}
	}
	for _, pa := range pages {
		b.mem.FreeHuge(pa)
	}
	b.mu.Unlock()
	b.reported = b.mem.Returned()
}

// join makes large pages of free frames that lie side by side.
func (b *Balloon) join() {
	const most = 1 << 18
	free, _ := b.mem.Size()
	frames := make([]uintptr, min(free/pageSize/2, most))
	frames = frames[:b.mem.AllocReturned(frames)]
	virtio.Sort(frames)
	for len(frames) > 0 {
		n := 1
		for n < len(frames) && frames[n] == frames[n-1]+pageSize && frames[n]%huge != 0 {
			n++
		}
		if n == hugeSize {
			b.mem.FreeHuge(frames[0])
		} else {
			b.mem.Free(frames[:n])
		}
		frames = frames[n:]
	}
}

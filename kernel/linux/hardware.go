package linux

import (
	"sync"

	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
)

// hardware is what the machine has beyond what all have. FindDevices finds it
// when somebody needs a device, or in the background when the program has run
// for a while: one that ends soon does not pay for what it does not use.
type hardware struct {
	once   sync.Once
	nodes  []deviceNode // for /dev
	starts []func()     // of what works without being asked
	begin  sync.Once
	random randomSource
	hvc    hvc
}

type deviceNode struct {
	name string
	new  fs.New
}

// NeedDevices returns when the machine's devices are found. Whoever is asked
// for something that may be one of them calls it first. It does not wait for the
// devices to do anything.
func (k *Kernel) NeedDevices() { k.devices() }

// StartDevices starts what works without being asked.
func (k *Kernel) StartDevices() {
	h := k.devices()
	h.begin.Do(func() {
		for _, start := range h.starts {
			start()
		}
		k.Reseed()
	})
}

// OnStart has StartDevices call f. Only what FindDevices calls may use it.
func (k *Kernel) OnStart(f func()) {
	h := k.hardware.Load()
	h.starts = append(h.starts, f)
}

// Balloon has memory that the host was given.
type Balloon interface {
	// Relieve is called when there is no memory left, and says whether there
	// is now.
	Relieve() bool
}

// ReclaimCaches has the caches of disks free some memory, and says whether they did.
func (k *Kernel) ReclaimCaches() bool { return k.disks.Reclaim() }

// AddBalloon is for the machine's balloon.
func (k *Kernel) AddBalloon(b Balloon) { k.balloon.Store(&b) }

func (k *Kernel) devices() *hardware {
	h := k.hardware.Load()
	if h == nil {
		h = new(hardware)
		if !k.hardware.CompareAndSwap(nil, h) {
			h = k.hardware.Load()
		}
	}
	h.once.Do(func() {
		if k.FindDevices != nil {
			k.FindDevices(k)
		}
	})
	return h
}

// addNode puts a node into /dev. Only what FindDevices calls may use it.
func (k *Kernel) addNode(name string, n fs.New) {
	h := k.hardware.Load()
	h.nodes = append(h.nodes, deviceNode{name, n})
}

// completeDev returns what adds the devices that are found to the root of /dev.
func (k *Kernel) completeDev() func(root fs.Inode) {
	var once sync.Once
	return func(root fs.Inode) {
		once.Do(func() {
			makeNodes(root, k.devices().nodes)
		})
		k.disks.name(root)
	}
}

func makeNodes(dir fs.Inode, nodes []deviceNode) {
	for _, d := range nodes {
		if _, err := dir.Create(d.name, d.new); err != 0 {
			console.Write(metal.Message, []byte("gosv kernel: /dev/"+d.name+": "+err.Error()+"\n"))
		}
	}
}

// GiveBack implements mm.Others.
func (k *Kernel) GiveBack(free, total uint64) int { return k.disks.giveBack(free, total) }

// Reclaim implements mm.Others.
func (k *Kernel) Reclaim() int { return k.disks.reclaim() }

// Relieve implements mm.Others.
func (k *Kernel) Relieve() bool {
	b := k.balloon.Load()
	return b != nil && (*b).Relieve()
}

// Package console drives the console device (virtio 1.2 section 5.3): its port 0.
package console

import (
	"sync"

	"gosv/kernel/console"
	"gosv/kernel/virtio"
)

const (
	featureSize = 1 << 0

	configColumns, configRows = 0, 2

	rxQueue, txQueue = 0, 1

	queueSize  = 64
	bufferSize = 4096
	buffers    = 16 // in each direction

	errMemory virtio.Error = "there is too little memory for it"
)

// Device is the device. It implements console.Port.
type Device struct {
	dev     *virtio.Device
	handler console.PortHandler

	mu      sync.Mutex
	rx, tx  *virtio.Queue
	free    []*buffer // for output
	full    bool      // Write had no room
	come    []*buffer // input, in order
	columns int
	rows    int
}

type buffer struct {
	virtio.Piece
	n    int    // of output: how much there is
	left []byte // of input: what has not been read
}

// New returns the device with its features agreed on. It begins with Start.
func New(d *virtio.Device) (*Device, error) {
	if _, err := d.Negotiate(featureSize); err != nil {
		return nil, err
	}
	return &Device{dev: d}, nil
}

// Start lets the device begin.
func (c *Device) Start(h console.PortHandler) (err error) {
	c.handler = h
	if c.dev.Has(featureSize) {
		c.dev.OnConfig(c.changed)
	}
	c.dev.OnFail(func(error) {
		h.Readable()
		h.Writable()
	})
	c.dev.OnReset(c.restart)
	if c.rx, err = c.dev.NewQueue(rxQueue, queueSize, c.received); err != nil {
		return err
	}
	if c.tx, err = c.dev.NewQueue(txQueue, queueSize, c.sent); err != nil {
		return err
	}
	m := c.dev.Memory()
	for range min(buffers, c.rx.Size()) {
		p, err := m.Alloc(bufferSize)
		if err != nil {
			return errMemory
		}
		c.give(&buffer{Piece: p})
	}
	for range min(buffers, c.tx.Size()) {
		p, err := m.Alloc(bufferSize)
		if err != nil {
			return errMemory
		}
		c.free = append(c.free, &buffer{Piece: p})
	}
	c.tx.Interrupts(false)
	if err = c.dev.Start(); err != nil {
		return err
	}
	c.rx.Kick()
	if c.dev.Has(featureSize) {
		c.changed()
	}
	return nil
}

// Size is that of the terminal; zero if nobody told.
func (c *Device) Size() (rows, columns int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows, c.columns
}

// changed is called when the configuration, which is the size, did.
func (c *Device) changed() {
	columns, rows := int(c.dev.Config16(configColumns)), int(c.dev.Config16(configRows))
	c.mu.Lock()
	news := columns != c.columns || rows != c.rows
	c.columns, c.rows = columns, rows
	c.mu.Unlock()
	if news {
		c.handler.Resized(rows, columns)
	}
}

// Write takes the beginning of p, as far as there is room for it now, and returns how
// much that is: all if the device has failed, as nobody will ever take it.
func (c *Device) Write(p []byte) (n int) {
	c.mu.Lock()
	for n < len(p) {
		if len(c.free) == 0 {
			if c.reap(); len(c.free) == 0 {
				c.full = true
				c.tx.Interrupts(true)
				if c.reap(); len(c.free) == 0 {
					break
				}
			}
		}
		last := len(c.free) - 1
		b := c.free[last]
		b.n = copy(b.Bytes, p[n:])
		if c.send(b) != nil {
			break
		}
		c.free = c.free[:last]
		n += b.n
	}
	notify := c.tx.Publish()
	if c.dev.Err() != nil {
		n = len(p)
	}
	c.mu.Unlock()
	if notify {
		c.tx.Notify()
	}
	return n
}

// send gives the device a buffer of output.
func (c *Device) send(b *buffer) error { return c.tx.Add([]virtio.Buffer{b.Buffer(0, b.n)}, nil, b) }

// restart resets the device. It gets the output again that it had not said that it has taken.
func (c *Device) restart() error {
	c.mu.Lock()
	input, room := c.collect(), c.roomy()
	err := c.dev.Reset(func(q *virtio.Queue, token any) {
		if b := token.(*buffer); q == c.rx {
			c.give(b)
		} else {
			c.send(b)
		}
	})
	if err == nil {
		c.rx.Kick()
		c.tx.Kick()
	}
	c.mu.Unlock()
	if input {
		c.handler.Readable()
	}
	if room {
		c.handler.Writable()
	}
	return err
}

// reap takes back what was sent.
func (c *Device) reap() {
	for {
		token, _, ok := c.tx.Next()
		if !ok {
			return
		}
		c.free = append(c.free, token.(*buffer))
	}
}

// roomy is reap, and says whether there is room again for who had none.
func (c *Device) roomy() bool {
	c.reap()
	room := c.full && len(c.free) > 0
	if room {
		c.full = false
		c.tx.Interrupts(false)
	}
	return room
}

// sent is called when output was taken.
func (c *Device) sent() {
	c.mu.Lock()
	room := c.roomy()
	c.mu.Unlock()
	if room {
		c.handler.Writable()
	}
}

// Sent says whether the device has taken all output.
func (c *Device) Sent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reap()
	return c.dev.Err() != nil || c.tx.InFlight() == 0
}

// Room says whether Write would take anything. If not, Writable will be called.
func (c *Device) Room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reap(); len(c.free) == 0 && c.dev.Err() == nil {
		c.full = true
		c.tx.Interrupts(true)
		c.reap()
	}
	return len(c.free) > 0 || c.dev.Err() != nil
}

// give gives the device a buffer for input.
func (c *Device) give(b *buffer) {
	c.rx.Add(nil, []virtio.Buffer{b.Buffer(0, bufferSize)}, b) // fails only when the device has
}

// received is called when input has come.
func (c *Device) received() {
	c.mu.Lock()
	any := c.collect()
	c.mu.Unlock()
	if any {
		c.handler.Readable()
	}
}

func (c *Device) collect() (any bool) {
	for {
		token, n, ok := c.rx.Next()
		if !ok {
			return any
		}
		b := token.(*buffer)
		if b.left = b.Bytes[:n]; n == 0 {
			c.give(b)
			continue
		}
		c.come = append(c.come, b)
		any = true
	}
}

// Waiting is how many bytes there are to Read.
func (c *Device) Waiting() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect()
	for _, b := range c.come {
		n += len(b.left)
	}
	return n
}

// Read returns input that has come, 0 bytes if there is none. What is not read stays
// with the host.
func (c *Device) Read(p []byte) (n int) {
	c.mu.Lock()
	c.collect()
	taken := 0
	for _, b := range c.come {
		k := copy(p[n:], b.left)
		n += k
		if b.left = b.left[k:]; len(b.left) > 0 {
			break
		}
		c.give(b)
		taken++
	}
	c.come = c.come[:copy(c.come, c.come[taken:])]
	notify := c.rx.Publish()
	c.mu.Unlock()
	if notify {
		c.rx.Notify()
	}
	return n
}

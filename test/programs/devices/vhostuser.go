package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// Requests of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst), those of
// them that a device without multiple queues, logging and migration gets.
const (
	getFeatures         = 1
	setFeatures         = 2
	setOwner            = 3
	setMemTable         = 5
	setVringNum         = 8
	setVringAddr        = 9
	setVringBase        = 10
	getVringBase        = 11
	setVringKick        = 12
	setVringCall        = 13
	setVringErr         = 14
	getProtocolFeatures = 15
	setProtocolFeatures = 16
	setVringEnable      = 18
	getConfig           = 24

	featureProtocol = 1 << 30
	protocolConfig  = 1 << 9

	isReply = 1<<2 | 1 // and the version
	noFD    = 1 << 8   // of setVringKick, ...
)

// vhostUser is a device of QEMU's whose queues we serve.
type vhostUser struct {
	conn *net.UnixConn
	dev  *virtiotest.Device

	features uint64
	memory   []byte
	user     uint64 // where that is for QEMU
	rings    []vring
	started  bool
}

type vring struct {
	virtio.Rings
	kick, call *os.File // eventfds
	enabled    bool
}

// serveVhostUser lets the QEMU at the other end of c use dev, until it goes.
func serveVhostUser(c *net.UnixConn, dev *virtiotest.Device) {
	v := &vhostUser{conn: c, dev: dev, rings: make([]vring, len(dev.Queues))}
	err := v.serve()
	for _, r := range v.rings {
		if r.kick != nil {
			r.kick.Close()
		}
	}
	if err != io.EOF {
		fmt.Println("devices: vhost-user:", err)
	}
}

func (v *vhostUser) serve() error {
	for {
		var head [12]byte
		oob := make([]byte, syscall.CmsgSpace(8*4))
		n, oobn, _, _, err := v.conn.ReadMsgUnix(head[:], oob)
		if err != nil || n == 0 {
			return io.EOF
		}
		if _, err := io.ReadFull(v.conn, head[n:]); err != nil {
			return err
		}
		var fds []int
		if messages, err := syscall.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) == 1 {
			if fds, err = syscall.ParseUnixRights(&messages[0]); err != nil {
				return err
			}
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[8:]))
		if _, err := io.ReadFull(v.conn, body); err != nil {
			return err
		}
		request := binary.LittleEndian.Uint32(head[:])
		answer, err := v.answer(request, body, fds)
		if err != nil {
			return err
		}
		if answer != nil {
			p := binary.LittleEndian.AppendUint32(nil, request)
			p = binary.LittleEndian.AppendUint32(p, isReply)
			p = binary.LittleEndian.AppendUint32(p, uint32(len(answer)))
			if _, err := v.conn.Write(append(p, answer...)); err != nil {
				return err
			}
		}
	}
}

// answer does what a request says, and returns what to reply, if it wants that.
func (v *vhostUser) answer(request uint32, body []byte, fds []int) ([]byte, error) {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(body[4*i:]) }
	long := func(i int) uint64 { return binary.LittleEndian.Uint64(body[8*i:]) }
	reply := func(n uint64) ([]byte, error) { return binary.LittleEndian.AppendUint64(nil, n), nil }
	var r *vring
	switch request {
	case setVringNum, setVringAddr, setVringBase, getVringBase, setVringKick, setVringCall, setVringErr, setVringEnable:
		if r = &v.rings[0]; word(0)&^noFD != 0 {
			r = &v.rings[1]
		}
	}
	switch request {
	case getFeatures:
		return reply(v.dev.Offered | virtio.FeatureVersion1 | featureProtocol)
	case getProtocolFeatures:
		return reply(protocolConfig)
	case setFeatures:
		v.features = long(0)
	case getConfig:
		copy(body[12:], v.dev.Config)
		return body, nil
	case setMemTable:
		return nil, v.map_(word(0), body[8:], fds)
	case setVringNum:
		r.Size = int(word(1))
	case setVringAddr:
		r.Desc, r.Used, r.Avail = long(1)-v.user, long(2)-v.user, long(3)-v.user
	case getVringBase:
		v.stop()
		return reply(uint64(word(0)))
	case setVringKick:
		r.kick = eventFD(fds)
		v.start()
	case setVringCall:
		r.call = eventFD(fds)
	case setVringEnable:
		r.enabled = word(1) != 0
		v.start()
	case setOwner, setProtocolFeatures, setVringBase, setVringErr:
	default:
		return nil, fmt.Errorf("request %d is not known", request)
	}
	return nil, nil
}

func eventFD(fds []int) *os.File {
	if len(fds) == 0 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "eventfd")
}

// map_ maps the machine's memory, all regions of which are of one file.
func (v *vhostUser) map_(n uint32, regions []byte, fds []int) (err error) {
	if v.memory != nil || len(fds) == 0 {
		return nil
	}
	var size uint64
	for i := range int(n) {
		long := func(k int) uint64 { return binary.LittleEndian.Uint64(regions[32*i+8*k:]) }
		at, length, user, offset := long(0), long(1), long(2), long(3)
		if at != offset {
			return fmt.Errorf("memory at %#x is at %#x of its file", at, offset)
		}
		v.user = user - at
		size = max(size, at+length)
	}
	v.memory, err = syscall.Mmap(fds[0], 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	v.dev.Memory = virtiotest.MemoryOf(v.memory)
	return err
}

// start lets the device begin when all queues are there.
func (v *vhostUser) start() {
	for i := range v.rings {
		if r := &v.rings[i]; v.started || r.kick == nil || !r.enabled {
			return
		}
	}
	v.started = true
	v.dev.Old = v.features&virtio.FeatureVersion1 == 0
	status := uint8(virtio.StatusAcknowledge)
	v.dev.SetStatus(status)
	status |= virtio.StatusDriver
	v.dev.SetStatus(status)
	v.dev.SetFeatures(v.features &^ featureProtocol)
	if !v.dev.Old {
		status |= virtio.StatusFeaturesOK
		v.dev.SetStatus(status)
	}
	v.dev.Connect(v)
	for i, r := range v.rings {
		v.dev.EnableQueue(i, r.Rings)
		go func() {
			var count [8]byte
			for {
				if _, err := r.kick.Read(count[:]); err != nil {
					return
				}
				v.dev.Notify(i)
			}
		}()
	}
	v.dev.SetStatus(status | virtio.StatusDriverOK)
	for i := range v.rings {
		v.dev.Notify(i)
	}
}

func (v *vhostUser) stop() {
	v.dev.SetStatus(0)
	v.started = false
}

// Used, Changed and Fail implement virtio.Handler: an interrupt.
func (v *vhostUser) Used() (news, heeds bool) {
	for _, r := range v.rings {
		if r.call != nil {
			r.call.Write(binary.LittleEndian.AppendUint64(nil, 1))
		}
	}
	return true, false
}

func (v *vhostUser) Changed()       {}
func (v *vhostUser) Fail(err error) { panic(err) }

package block

import (
	"gosv/internal/le"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Partition is an entry of a partition table.
type Partition struct {
	Number         int
	Start, Sectors uint64
	UUID, Label    string
}

// maxPartitions is how many a disk may have: minors are shared (a disk of SCSI has 15).
const maxPartitions = 255

// table reads a disk for the parsers of partition tables.
type table struct {
	read    func(sector uint64, p []byte) bool
	sectors uint64
	block   uint32 // logical block, bytes
}

// parse returns the partitions of a disk: of its GPT, or of its MBR.
func (t *table) parse() []Partition {
	mbr := make([]byte, SectorSize)
	if !t.read(0, mbr) || mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nil
	}
	const protective = 0xee
	for i := range 4 {
		if mbr[446+16*i+4] == protective {
			return t.gpt()
		}
	}
	return t.mbr(mbr)
}

// add appends a partition as far as it lies on the disk.
//
//go:noinline
func (t *table) add(list []Partition, p Partition) []Partition {
	if p.Sectors == 0 || p.Start >= t.sectors {
		return list
	}
	p.Sectors = min(p.Sectors, t.sectors-p.Start)
	return append(list, p)
}

const hexDigits = "0123456789abcdef"

//go:noinline
func appendHex(b []byte, v uint64, digits int) []byte {
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[v>>shift&15])
	}
	return b
}

// mbr reads a master boot record, and the chain of records that an extended partition has.
func (t *table) mbr(mbr []byte) (list []Partition) {
	for i := range 4 {
		if mbr[446+16*i]&0x7f != 0 { // it is something else that ends like one
			return nil
		}
	}
	scale := uint64(t.block / SectorSize)
	disk := le.U32(mbr, 440)
	named := func(n int, start, sectors uint64) Partition {
		id := appendHex(nil, uint64(disk), 8)
		return Partition{Number: n, Start: start, Sectors: sectors, UUID: string(appendHex(append(id, '-'), uint64(n), 2))}
	}
	next := 5
	for i := range 4 {
		e := mbr[446+16*i:]
		start, size := uint64(le.U32(e, 8))*scale, uint64(le.U32(e, 12))*scale
		if size == 0 {
			continue
		}
		if !isExtended(e[4]) {
			list = t.add(list, named(i+1, start, size))
			continue
		}
		// It is there itself, for a boot loader; but nobody should write over the
		// others by way of it.
		list = t.add(list, named(i+1, start, min(size, max(scale, 2))))
		logical := t.logical(start, scale)
		for _, p := range logical {
			if next <= maxPartitions {
				list = t.add(list, named(next, p.Start, p.Sectors))
				next++
			}
		}
	}
	// Primary ones first.
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && list[j-1].Number > list[j].Number; j-- {
			list[j-1], list[j] = list[j], list[j-1]
		}
	}
	return list
}

func isExtended(kind byte) bool { return kind == 5 || kind == 0x0f || kind == 0x85 }

// logical follows the chain of records in an extended partition.
func (t *table) logical(extended, scale uint64) (list []Partition) {
	ebr := make([]byte, SectorSize)
	for at := extended; len(list) < maxPartitions; {
		if at >= t.sectors || !t.read(at, ebr) || ebr[510] != 0x55 || ebr[511] != 0xaa {
			break
		}
		next := uint64(0)
		for i := range 4 {
			e := ebr[446+16*i:]
			start, size := uint64(le.U32(e, 8))*scale, uint64(le.U32(e, 12))*scale
			switch {
			case size == 0:
			case isExtended(e[4]):
				if next == 0 {
					next = extended + start
				}
			case i < 2:
				list = append(list, Partition{Start: at + start, Sectors: size})
			}
		}
		if next <= at { // they go upwards: this is the end, or a loop
			break
		}
		at = next
	}
	return list
}

// Partitions returns the disk's partitions, which are read when first asked for.
func (d *Disk) Partitions(s Sleeper) []*Volume {
	d.mu.Lock()
	parsed, parts := d.parsed, d.parts
	d.mu.Unlock()
	if !parsed {
		d.Rescan(s)
		d.mu.Lock()
		parts = d.parts
		d.mu.Unlock()
	}
	return parts
}

// Rescan reads the partition table again: EBUSY if one of the partitions is in use.
func (d *Disk) Rescan(s Sleeper) errno.Errno {
	c := d.whole.cache
	t := &table{sectors: d.whole.sectors.Load(), block: d.limits.LogicalBlock}
	err := errno.Errno(0)
	t.read = func(sector uint64, p []byte) bool {
		b := fs.Buffer{Bytes: p[:0:len(p)]}
		n, e := c.Read(s, nil, &b, int64(sector)*SectorSize, len(p))
		if e != 0 {
			err = e
		}
		return n == len(p)
	}
	list := t.parse()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.parts {
		if v.uses.Load() > 0 {
			return errno.EBUSY
		}
	}
	d.parsed = true
	parts := make([]*Volume, 0, len(list))
	for _, p := range list {
		v := &Volume{Disk: d, Number: p.Number, Start: p.Start, Part: p}
		v.sectors.Store(p.Sectors)
		const inPage = PageSize/SectorSize - 1
		if (p.Start|p.Sectors)&inPage == 0 {
			v.cache, v.off = c, int64(p.Start)*SectorSize
		} else {
			v.cache = newCache(d, p.Start, int64(p.Sectors)*SectorSize)
		}
		parts = append(parts, v)
	}
	for _, v := range d.parts {
		if v.cache != c {
			v.cache.Shrink(1 << 30)
		}
	}
	d.parts = parts
	return err
}

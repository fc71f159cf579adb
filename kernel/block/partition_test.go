package block

import (
	"encoding/binary"
	hashcrc "hash/crc32"
	"reflect"
	"testing"
)

func put32(p []byte, v uint32) { binary.LittleEndian.PutUint32(p, v) }
func put64(p []byte, v uint64) { binary.LittleEndian.PutUint64(p, v) }

// mbrEntry writes an entry of a master boot record at disk.
func mbrEntry(disk []byte, i int, kind byte, start, size uint32) {
	e := disk[446+16*i:]
	e[4] = kind
	put32(e[8:], start)
	put32(e[12:], size)
	disk[510], disk[511] = 0x55, 0xaa
}

func tableOf(disk []byte, block int) *table {
	return &table{sectors: uint64(len(disk) / SectorSize), block: uint32(block), read: func(sector uint64, p []byte) bool {
		if sector > uint64(len(disk))/SectorSize || uint64(len(disk))-sector*SectorSize < uint64(len(p)) {
			return false
		}
		copy(p, disk[sector*SectorSize:])
		return true
	}}
}

func TestMBR(t *testing.T) {
	disk := make([]byte, 1<<20)
	put32(disk[440:], 0xdeadbeef)
	mbrEntry(disk, 0, 0x83, 8, 100)
	mbrEntry(disk, 1, 5, 200, 1000)
	mbrEntry(disk, 2, 0x83, 1900, 1000) // beyond the end
	mbrEntry(disk, 3, 0x83, 5000, 8)    // all of it
	mbrEntry(disk[200*512:], 0, 0x83, 63, 50)
	mbrEntry(disk[200*512:], 1, 5, 300, 100)
	mbrEntry(disk[500*512:], 0, 0x83, 63, 37)
	mbrEntry(disk[500*512:], 1, 5, 300, 100) // a loop
	want := []Partition{
		{1, 8, 100, "deadbeef-01", ""}, {2, 200, 2, "deadbeef-02", ""}, {3, 1900, 148, "deadbeef-03", ""},
		{5, 263, 50, "deadbeef-05", ""}, {6, 563, 37, "deadbeef-06", ""},
	}
	if got := tableOf(disk, 512).parse(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	disk[446+16] = 1 // not a boot indicator: the code of a FAT's boot sector, or so
	if got := tableOf(disk, 512).parse(); got != nil {
		t.Errorf("got %v", got)
	}
}

// gptDisk has two partitions in its table, and the copy of it at its end.
func gptDisk(size, block int) []byte {
	disk := make([]byte, size)
	blocks := size / block
	mbrEntry(disk, 0, 0xee, 1, 0xffffffff)
	entries := make([]byte, 128*gptEntrySize)
	for i, p := range [][2]uint64{{40, 49}, {50, 50}} {
		e := entries[(i*2)*gptEntrySize:]
		for k := range 32 {
			e[k] = byte(k + 1 + i)
		}
		put64(e[32:], p[0])
		put64(e[40:], p[1])
		copy(e[56:], "d\x00a\x00t\x00a\x00")
	}
	header := func(at, entriesAt int) {
		copy(disk[entriesAt*block:], entries)
		h := disk[at*block:]
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		put64(h[24:], uint64(at))
		put64(h[32:], uint64(blocks-at))
		put64(h[40:], 34)
		put64(h[48:], uint64(blocks-34))
		put64(h[72:], uint64(entriesAt))
		put32(h[80:], 128)
		put32(h[84:], gptEntrySize)
		put32(h[88:], hashcrc.ChecksumIEEE(entries))
		put32(h[16:], hashcrc.ChecksumIEEE(h[:92]))
	}
	header(1, 2)
	header(blocks-1, blocks-33)
	return disk
}

func TestGPT(t *testing.T) {
	for _, block := range []int{512, 4096} {
		scale := uint64(block / 512)
		want := []Partition{
			{1, 40 * scale, 10 * scale, "14131211-1615-1817-191a-1b1c1d1e1f20", "data"},
			{3, 50 * scale, scale, "15141312-1716-1918-1a1b-1c1d1e1f2021", "data"},
		}
		disk := gptDisk(1<<20, block)
		if got := tableOf(disk, block).parse(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v", got)
		}
		disk[2*block+3]++ // the first table's entries are damaged
		if got := tableOf(disk, block).parse(); !reflect.DeepEqual(got, want) {
			t.Errorf("from the copy: got %v", got)
		}
		disk[len(disk)-block+50]++
		if got := tableOf(disk, block).parse(); got != nil {
			t.Errorf("got %v", got)
		}
	}
}

func FuzzPartitions(f *testing.F) {
	mbr := make([]byte, 4096)
	mbrEntry(mbr, 0, 5, 1, 100)
	mbrEntry(mbr[512:], 0, 0x83, 1, 10)
	mbrEntry(mbr[512:], 1, 5, 1, 10)
	f.Add(mbr, uint8(0))
	f.Add(gptDisk(64<<10, 512), uint8(0))
	f.Add(gptDisk(512<<10, 4096), uint8(3))
	f.Fuzz(func(t *testing.T, disk []byte, shift uint8) {
		x := tableOf(disk, 512<<(shift&3))
		for _, p := range x.parse() {
			if p.Sectors == 0 || p.Start >= x.sectors || p.Sectors > x.sectors-p.Start || p.Number < 1 || p.Number > maxPartitions {
				t.Errorf("%+v on a disk of %d sectors", p, x.sectors)
			}
		}
	})
}

// TestPartitionsShareTheCache where they begin on a page.
func TestPartitionsShareTheCache(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	clear(dev.data[:512])
	mbrEntry(dev.data, 0, 0x83, 8, 80)
	mbrEntry(dev.data, 1, 0x83, 99, 33)
	s := sleeper()
	parts := d.Partitions(s)
	if len(parts) != 2 || parts[0].cache != d.whole.cache || parts[1].cache == d.whole.cache {
		t.Fatal(parts)
	}
	for _, v := range parts {
		got := readAll(t, v, 0, int(v.Size()), false)
		if string(got) != string(dev.data[v.Start*512:][:v.Size()]) {
			t.Errorf("partition %d has other bytes", v.Number)
		}
		if n, err := v.WriteAt(s, &faultySource{1 << 20}, v.Size()-5, 100, false); n != 5 || err != 0 {
			t.Error(n, err)
		}
	}
	before := dev.data[(99+33)*512]
	if err := d.Sync(s); err != 0 {
		t.Fatal(err)
	}
	if dev.data[88*512-1] != 5 || dev.data[(99+33)*512-1] != 5 || dev.data[(99+33)*512] != before {
		t.Error("written elsewhere")
	}
	parts[0].Use()
	if err := d.Rescan(s); err.Error() != "EBUSY" {
		t.Error(err)
	}
	parts[0].Unuse()
	if err := d.Rescan(s); err != 0 {
		t.Error(err)
	}
}

// Package siphash is SipHash-2-4 (Aumasson and Bernstein, 2012) in the form of a package
// like crypto/sha256. Netstack takes it for what nobody outside shall guess: first
// sequence numbers, SYN cookies and offsets of timestamps, as Linux does
// (net/core/secure_seq.c). The standard library's hashes cost a connection 10,000
// instructions and the kernel 100 KB, for what FIPS 140-3 asks for besides them.
package siphash

import (
	"encoding/binary"
	"hash"
	"math/bits"
	"sync"

	"gvisor.dev/gvisor/pkg/rand"
)

const (
	Size      = 32 // of a hash, in bytes
	BlockSize = 64 // of nonces; SipHash's own is word
	word      = 8
)

// key is what all hashes of a machine's life begin with.
var key = sync.OnceValue(func() (k [2]uint64) {
	var b [2 * word]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("no random numbers: " + err.Error())
	}
	return [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[word:])}
})

// digest is a hash in the making: the state, and the start of a word that is not whole.
type digest struct {
	k      [2]uint64
	v      [4]uint64
	rest   [word]byte
	length int
}

// New begins a hash with the machine's key.
func New() hash.Hash {
	d := &digest{k: key()}
	d.Reset()
	return d
}

func (*digest) Size() int      { return Size }
func (*digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() {
	d.v = [4]uint64{d.k[0] ^ 0x736f6d6570736575, d.k[1] ^ 0x646f72616e646f6d, d.k[0] ^ 0x6c7967656e657261, d.k[1] ^ 0x7465646279746573}
	d.length = 0
}

func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	if have := d.length % word; have != 0 {
		took := copy(d.rest[have:], p)
		d.length += took
		p = p[took:]
		if d.length%word != 0 {
			return n, nil
		}
		d.compress(binary.LittleEndian.Uint64(d.rest[:]))
	}
	d.length += len(p)
	for ; len(p) >= word; p = p[word:] {
		d.compress(binary.LittleEndian.Uint64(p))
	}
	copy(d.rest[:], p)
	return n, nil
}

// Sum implements hash.Hash. The first 64 bits are SipHash's; each of the others comes of
// as many rounds more.
func (d *digest) Sum(b []byte) []byte {
	end := *d
	b = binary.LittleEndian.AppendUint64(b, end.sum())
	for range Size/word - 1 {
		b = binary.LittleEndian.AppendUint64(b, end.next())
	}
	return b
}

// sum ends the hash, and returns SipHash's.
func (d *digest) sum() uint64 {
	clear(d.rest[d.length%word:])
	d.rest[word-1] = byte(d.length)
	d.compress(binary.LittleEndian.Uint64(d.rest[:]))
	d.v[2] ^= 0xff
	return d.next()
}

func (d *digest) next() uint64 {
	d.rounds(4)
	return d.v[0] ^ d.v[1] ^ d.v[2] ^ d.v[3]
}

func (d *digest) compress(m uint64) {
	d.v[3] ^= m
	d.rounds(2)
	d.v[0] ^= m
}

func (d *digest) rounds(n int) {
	v0, v1, v2, v3 := d.v[0], d.v[1], d.v[2], d.v[3]
	for range n {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	d.v = [4]uint64{v0, v1, v2, v3}
}

// Hash is the first 64 bits of m's hash.
func Hash(m []byte) uint64 {
	d := digest{k: key()}
	d.Reset()
	d.Write(m)
	return d.sum()
}

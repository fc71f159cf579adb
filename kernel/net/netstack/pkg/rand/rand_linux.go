// Package rand takes the place of gVisor's reader of random numbers, behind which the
// standard library's generators of crypto/rand are.
package rand

import "io"

// Reader is where netstack's random numbers come from. Package gosv/kernel/net sets it
// before netstack is initialized.
var Reader io.Reader

// Read fills b with random numbers.
func Read(b []byte) (int, error) { return io.ReadFull(Reader, b) }

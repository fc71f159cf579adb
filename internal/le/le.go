// Package le reads little-endian numbers: encoding/binary is too large for the kernel.
package le

// U16, U32 and U64 return the number that b has at at.
func U16(b []byte, at int) uint16 {
	b = b[at : at+2]
	return uint16(b[0]) | uint16(b[1])<<8
}

func U32(b []byte, at int) uint32 {
	b = b[at : at+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func U64(b []byte, at int) uint64 {
	b = b[at : at+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

//go:build netstack

package stack

// headerBytes is what headerView is of.
func (pk *PacketBuffer) headerBytes(typ headerType) []byte {
	if b := pk.buf.Front(pk.headerOffsetOf(typ), pk.headers[typ].length); b != nil {
		return b
	}
	v := pk.headerView(typ)
	return v.AsSlice()
}

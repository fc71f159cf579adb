package net

import (
	"net/netip"
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"gosv/internal/echo"
)

// ping says after how many ns an address has answered, or why it has not.
func (n *Network) ping(addr string) string {
	const patience = time.Second
	a, err := netip.ParseAddr(addr)
	if err == nil {
		n.configured()
		n.up()
		var took time.Duration
		if took, err = echo.Ping(n.stack, tcpip.AddrFromSlice(a.AsSlice()), patience); err == nil {
			return strconv.Itoa(int(took))
		}
	}
	return err.Error()
}

package net

import (
	"strconv"
	"time"

	"gosv/internal/echo"
)

// ping says after how many ns an address has answered, or why it has not.
func (n *Network) ping(addr string) string {
	const patience = time.Second
	a, ok := parseIP(addr)
	if !ok {
		return addr + " is no address"
	}
	n.configured()
	n.up()
	took, err := echo.Ping(n.stack, a, patience)
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(int(took))
}

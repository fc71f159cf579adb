// The guest kernel with a network: the other one (package gosv/kernel), and what
// package net brings.
package main

import (
	"gosv/kernel/guest"
	"gosv/kernel/net"
)

func main() { guest.Main(net.New()) }

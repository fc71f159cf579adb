//go:build netstack && !host

package stack

import "gosv/kernel/metal"

func thisCPU() uint32 { return uint32(metal.ThisCPU()) }

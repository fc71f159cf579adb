//go:build host

package stack

func thisCPU() uint32 { return 0 }

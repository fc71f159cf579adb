package linux

import "strconv"

// mib is n bytes in MiB, as text.
func mib(n uint64) string { return strconv.FormatUint(n>>20, 10) + " MiB" }

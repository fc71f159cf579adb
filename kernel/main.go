// The guest kernel: runs one Linux program on the machine that metal has booted.
package main

import "gosv/kernel/guest"

func main() { guest.Main(nil) }

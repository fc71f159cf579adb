//go:build host

package rand

import "crypto/rand"

// Nobody comes before netstack's initialization on the host.
func init() { Reader = rand.Reader }

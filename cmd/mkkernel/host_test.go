package main

import "testing"

// TestMended: what netstack as it is fails, it does not with what is mended for the host.
func TestMended(t *testing.T) {
	t.Setenv("GOSV_TEST_NETSTACK", "mended")
	if err := mended(t.TempDir(), "test", "-count=1", "-timeout=3m", "-vet=off", "-run=^TestLastOfWindow$", "-v", "gosv/internal/network"); err != nil {
		t.Error(err)
	}
}

//go:build netstack

package tcpip

import "time"

// Add returns the clock reading d later. Netstack's own takes ten times as long, by way of
// time.Time, and is asked a dozen times for each packet. Like that, it does not overflow.
func (mt MonotonicTime) Add(d time.Duration) MonotonicTime {
	return MonotonicTime{saturated(mt.nanoseconds, int64(d), mt.nanoseconds+int64(d))}
}

// Sub returns how much later mt is than u.
func (mt MonotonicTime) Sub(u MonotonicTime) time.Duration {
	return time.Duration(saturated(mt.nanoseconds, ^u.nanoseconds, mt.nanoseconds-u.nanoseconds))
}

// saturated is sum, that of a and b, or what is nearest to it if it has overflown. Of b
// only the sign matters.
func saturated(a, b, sum int64) int64 {
	const most = 1<<63 - 1
	if (a^sum)&(b^sum) < 0 {
		return most ^ a>>63
	}
	return sum
}

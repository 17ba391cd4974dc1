package units

import "fmt"

// Bytes is a number of bytes as people read it, in powers of 1000: 12 B, 1.5 kB, 20.0 GB.
func Bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for ; value >= unit-0.05 && i < 5; i++ { // 999.96 would be written as 1000.0
		value /= unit
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[i])
}

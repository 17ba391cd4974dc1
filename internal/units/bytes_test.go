package units

import (
	"math"
	"testing"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		-5: "-5 B", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 1500: "1.5 kB", 999_940: "999.9 kB", 999_999: "1.0 MB",
		2e9: "2.0 GB", 1 << 60: "1.2 EB", math.MaxInt64: "9.2 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

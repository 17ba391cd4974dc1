// Package units reads and writes sizes, durations and rates as people write them in configuration files.
package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 64MiB or 1GiB in powers of 1024, as 50MB or 2GB in powers of 1000, or plain.
type Size uint64

// sizeUnits are those of 1024 and those of 1000, the largest first.
var sizeUnits = []struct {
	name  string
	bytes uint64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), uint64(1)
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(cut), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size: write bytes, or KiB, MiB, GiB, TiB, as in 64MiB, or kB, MB, GB, TB, as in 50MB", text)
	}
	*s = Size(n * unit)
	return nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && uint64(s)%u.bytes == 0 {
			return strconv.FormatUint(uint64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a length of time, written as 90d, 24h, 1h30m, 10s.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil {
			*d = Duration(n) * Duration(24*time.Hour)
			return nil
		}
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a length of time: write 90d, 24h, 15m or 30s", text)
	}
	*d = Duration(parsed)
	return nil
}

// String writes whole days as days, and everything else as time.Duration does.
func (d Duration) String() string {
	if day := Duration(24 * time.Hour); d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Rate is how often something may happen, in times a second, written as 100/s, 3000/m or 10/h; 0 is no limit, written as none.
type Rate float64

var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*r = 0
		return nil
	}
	number, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 32)
	seconds := rateUnits[unit]
	if err != nil || seconds == 0 {
		return fmt.Errorf("%q is not a rate: write 100/s, 3000/m or 10/h, or none", text)
	}
	*r = Rate(float64(n) / seconds)
	return nil
}

// String writes the rate in the smallest unit that makes it a whole number.
func (r Rate) String() string {
	if r == 0 {
		return "none"
	}
	for _, unit := range []string{"s", "m"} {
		if n := float64(r) * rateUnits[unit]; n == math.Round(n) {
			return strconv.FormatFloat(n, 'f', 0, 64) + "/" + unit
		}
	}
	return strconv.FormatFloat(float64(r)*rateUnits["h"], 'f', 0, 64) + "/h"
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

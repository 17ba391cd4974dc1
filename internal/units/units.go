// Package units reads and writes sizes, durations and rates as people have them in configuration files.
package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 64MiB, 1GiB, or plain bytes. The units are powers of 1024.
type Size uint64

var sizeUnits = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, shift := string(text), 0
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(number, u.name); ok {
			number, shift = strings.TrimSpace(cut), u.shift
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63-shift)
	if err != nil {
		return fmt.Errorf("%q is not a size: write bytes, or KiB, MiB, GiB, TiB, as in 64MiB", text)
	}
	*s = Size(n << shift)
	return nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatUint(uint64(s>>u.shift), 10) + u.name
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

// Rate is how often something may happen, in times a second, written as 100/s, 3000/m or 10/h.
type Rate float64

var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 32)
	seconds := rateUnits[unit]
	if err != nil || seconds == 0 {
		return fmt.Errorf("%q is not a rate: write 100/s, 3000/m or 10/h", text)
	}
	*r = Rate(float64(n) / seconds)
	return nil
}

// String writes the rate in the smallest unit that makes it a whole number.
func (r Rate) String() string {
	for _, unit := range []string{"s", "m"} {
		if n := float64(r) * rateUnits[unit]; n == math.Round(n) {
			return strconv.FormatFloat(n, 'f', 0, 64) + "/" + unit
		}
	}
	return strconv.FormatFloat(float64(r)*rateUnits["h"], 'f', 0, 64) + "/h"
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

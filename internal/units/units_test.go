package units

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for in, want := range map[string]Size{"0": 0, "1": 1, "4096": 4096, "4KiB": 4096, "64 MiB": 64 << 20, "1GiB": 1 << 30, "2TiB": 2 << 40, "50MB": 50e6, "2 GB": 2e9, "3kB": 3000, "3KB": 3000} {
		var s, again Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%q: %d, %v", in, s, err)
		}
		text, _ := s.MarshalText()
		if err := again.UnmarshalText(text); err != nil || again != s {
			t.Errorf("%q is written as %q", in, text)
		}
	}
	for _, in := range []string{"", "x", "-1", "1mb", "1.5GiB", "10000000TB", "9999999999TiB", "MiB"} {
		if err := new(Size).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is a size", in)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"0s": 0, "90d": 90 * 24 * time.Hour, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute, "10s": 10 * time.Second} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || time.Duration(d) != want {
			t.Errorf("%q: %s, %v", in, d, err)
		}
		text, _ := d.MarshalText()
		if err := again.UnmarshalText(text); err != nil || again != d {
			t.Errorf("%q is written as %q", in, text)
		}
	}
	for _, in := range []string{"", "x", "-1h", "1", "d", "1.5d", "99999999d"} {
		if err := new(Duration).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is a duration", in)
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[string]float64{"100/s": 100, "3000/m": 50, "90/m": 1.5, "10/h": 10. / 3600, "0/s": 0} {
		var r, again Rate
		if err := r.UnmarshalText([]byte(in)); err != nil || float64(r) != want {
			t.Errorf("%q: %v, %v", in, float64(r), err)
		}
		text, _ := r.MarshalText()
		if err := again.UnmarshalText(text); err != nil || again != r {
			t.Errorf("%q is written as %q", in, text)
		}
	}
	for _, in := range []string{"", "x", "1", "-1/s", "1/", "1/d", "1.5/s", "/s", "NaN/s", "99999999999/s"} {
		if err := new(Rate).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is a rate", in)
		}
	}
}

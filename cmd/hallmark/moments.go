package main

import (
	"net/url"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// findMoments makes moments of the parameters that are times, as people give them.
func findMoments(query url.Values, now time.Time, names ...string) error {
	for _, name := range names {
		if value := query.Get(name); value != "" {
			at, err := parseMoment(name, value, now)
			if err != nil {
				return err
			}
			query.Set(name, at)
		}
	}
	return nil
}

// parseMoment reads a time as tables show it, a day, or how long ago, and returns it as the API takes it. What has no
// fraction stays without one: there a second means its end.
func parseMoment(name, value string, now time.Time) (string, error) {
	var ago units.Duration
	if ago.UnmarshalText([]byte(value)) == nil {
		return now.Add(-time.Duration(ago)).UTC().Format(time.RFC3339Nano), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if _, err := time.Parse(layout, value); err == nil {
			return value, nil
		}
	}
	return "", usagef("--%s is %q, and should be a time as 2006-01-02T15:04:05Z, a day as 2006-01-02 (UTC), or how long ago: 7d, 24h, 15m", name, value)
}

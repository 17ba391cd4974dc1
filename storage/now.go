package storage

import "time"

// A Timekeeper is a Reader of a store that has a clock of its own, which is the same for all who work on it. A Reader that wraps
// another has to hand this on.
type Timekeeper interface {
	// Now is the store's time at this read, or a little before: in an Update, when its transaction began.
	Now() (time.Time, error)
}

// Now is the time of the store that r reads, and of this machine where its store has no clock: then it is on this machine, and so
// is everybody else who works on it.
func Now(r Reader) (time.Time, error) {
	if t, ok := r.(Timekeeper); ok {
		return t.Now()
	}
	return time.Now(), nil
}

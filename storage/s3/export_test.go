package s3

import (
	"context"
	"time"
)

// LeastPart is the length of the first parts.
const LeastPart = leastPart

// TidyAt removes what is due at a time.
func (s *Store) TidyAt(ctx context.Context, now time.Time) error { return s.tidy(ctx, now) }

// Share has the uploads of a store share so many bytes.
func (s *Store) Share(bytes int64) { s.memory = newBudget(bytes) }

// Impatient has operations end soon.
func (s *Store) Impatient(d time.Duration) { s.client.patient = patienceOf{d, d, d} }

// NamesAtOnce has every object that others have sealed be named by now, or never.
func (s *Store) NamesAtOnce() { s.linked = -time.Second }

package follow

import (
	"time"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A State is what a follower remembers of one registry: each log, in order, with checkpoints that it saw.
type State struct {
	Logs []Seen `json:"logs"`
}

// Seen is what is remembered of one log.
type Seen struct {
	Origin string `json:"origin"`
	VKey   string `json:"vkey"`
	First  uint64 `json:"first"` // the index of its first record
	// Sightings are checkpoints that were consistent when they were seen, by size. The last one counts; the
	// others narrow down where a rewritten history begins to differ.
	Sightings []Sighting `json:"sightings"`
	Closed    bool       `json:"closed,omitempty"` // the last sighting is the log's end
	// Named says that the log's first record was seen to name the end of the log before. It is the caller's:
	// records are not in the log, and only those who may read them can look.
	Named bool `json:"named,omitempty"`
	// Said is what the registry said then of when this log began, and when and why the one before ended: the caller's, too.
	Said string `json:"said,omitempty"`
}

// A Sighting is a signed checkpoint and when it was seen.
type Sighting struct {
	Time       time.Time `json:"time"`
	Checkpoint string    `json:"checkpoint"`
}

// Size returns the number of leaves of a checkpoint that was checked before it was remembered.
func (s Sighting) Size() uint64 { return s.parse().Size }

func (s Sighting) root() tlog.Hash { return s.parse().Root }

func (s Sighting) parse() checkpoint.Checkpoint {
	c, _ := checkpoint.Parse(s.Checkpoint) // State.Check has looked
	return c
}

// mostSightings is how many are kept of a log.
const mostSightings = 64

// add remembers a checkpoint. When there are too many, every other one of the older half goes.
func (s *Seen) add(sighting Sighting) {
	if n := len(s.Sightings); n > 0 && s.last().Size() == sighting.Size() {
		return
	}
	s.Sightings = append(s.Sightings, sighting)
	if len(s.Sightings) <= mostSightings {
		return
	}
	var kept []Sighting
	for i, old := range s.Sightings {
		if i%2 == 0 || i > mostSightings/2 {
			kept = append(kept, old)
		}
	}
	s.Sightings = kept
}

// Saw remembers a checkpoint of the newest log that was checked elsewhere to continue what was seen, as one that came with
// a cosignature.
func (s *State) Saw(sighting Sighting) { s.Logs[len(s.Logs)-1].add(sighting) }

// Before returns the most leaves that were seen of the newest log before a time.
func (s *State) Before(t time.Time) (size uint64) {
	for _, sighting := range s.Logs[len(s.Logs)-1].Sightings {
		if sighting.Time.Before(t) {
			size = max(size, sighting.Size())
		}
	}
	return size
}

func (s *Seen) last() Sighting { return s.Sightings[len(s.Sightings)-1] }

// Check says whether a state is one that Check has written: the logs signed what was seen of them. A state that was edited
// shall not accuse a registry. Error: ErrState.
func (s *State) Check() error {
	for _, l := range s.Logs {
		v, err := note.NewVerifier(l.VKey)
		if err != nil || v.Name() != l.Origin || len(l.Sightings) == 0 {
			return ErrState
		}
		for _, sighting := range l.Sightings {
			if _, err := checkpoint.Open(sighting.Checkpoint, v); err != nil {
				return ErrState
			}
		}
	}
	return nil
}

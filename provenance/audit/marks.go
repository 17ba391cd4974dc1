package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// Marks are what the records say of the logs and the receipt keys, of those that were read.
type Marks struct {
	Begins map[uint64]Beginning `json:"begins"` // by the first record of each log but the first
	Keys   map[uint64]string    `json:"keys"`   // the hint of the receipt key that a record brings into force
	Named  *Named               `json:"named"`
}

// A Beginning is what the first record of a log says of the log before it.
type Beginning struct {
	Time       time.Time `json:"time"`
	Reason     string    `json:"reason"`
	Origin     string    `json:"origin"`     // of the log before it
	Checkpoint string    `json:"checkpoint"` // its last
}

func newMarks() *Marks {
	return &Marks{Begins: make(map[uint64]Beginning), Keys: make(map[uint64]string), Named: new(Named)}
}

// add notes what a record says.
func (m *Marks) add(index uint64, record *provenance.Record) {
	m.Named.add(index, record.Registry)
	if record.Key != nil {
		m.Keys[index] = record.Key.Hint
	}
	if record.Continues != nil {
		m.Begins[index] = Began(record)
	}
}

// Began returns what the first record of a log says of the log before it, if it is one.
func Began(record *provenance.Record) (b Beginning) {
	b.Time = record.Time.Time
	if c := record.Continues; c != nil {
		b.Origin, b.Checkpoint = c.Origin, c.Checkpoint
	}
	if record.Key != nil {
		b.Reason = record.Key.Reason
	}
	return b
}

// sameMoment is how far apart two readings of the clock in one transaction can be.
const sameMoment = time.Minute

// checkLogs compares what /keys/logs.json says of the ends of logs with the records that ended them. The list is of before
// the records were read up to their end.
func (r *run) checkLogs(logs []receipt.LogEntry) {
	for i, entry := range logs {
		if i == 0 || entry.First == nil || *entry.First >= r.memory.State.Next {
			continue
		}
		begin, ok := r.memory.Marks.Begins[*entry.First]
		if !ok {
			if r.memory.Hidden == 0 && !r.blind {
				r.findf("record %d begins the log %s, and does not say that it continues %s", *entry.First, entry.Origin, logs[i-1].Origin)
			}
			continue
		}
		if why := begin.Against(logs[i-1], entry, *entry.First); why != "" {
			r.findf("%s", why)
		}
	}
}

// Against says what of a log's declared end, and of the beginning of the one after it, the record says otherwise; "" where they fit.
func (b Beginning) Against(before, entry receipt.LogEntry, record uint64) string {
	apart := func(t time.Time) bool { return t.Sub(b.Time).Abs() > sameMoment }
	switch end := before.Closed; {
	case end == nil || b.Origin != before.Origin || b.Checkpoint != end.Checkpoint:
		return fmt.Sprintf("record %d begins the log %s, and does not name the end of the log %s before it", record, entry.Origin, before.Origin)
	case b.Reason != end.Reason:
		return fmt.Sprintf("the log %s is said to have ended because its key was %q; by record %d because it was %q", before.Origin, end.Reason, record, b.Reason)
	case apart(end.Time):
		return fmt.Sprintf("the log %s is said to have ended at %s; by record %d it was at %s", before.Origin, provenance.At(end.Time), record, provenance.At(b.Time))
	case entry.From != nil && apart(*entry.From):
		return fmt.Sprintf("the log %s is said to have begun at %s; by record %d it was at %s", entry.Origin, provenance.At(*entry.From), record, provenance.At(b.Time))
	}
	return ""
}

// checkKeys wants a record for each change of the receipt key: the last one of the key that goes, or the first one of a new
// log.
func (r *run) checkKeys(all keys) {
	froms := make(map[uint64]string)
	for hint, k := range all {
		for _, served := range k.ranges {
			froms[served.From] = hint
		}
	}
	for i, from := range slices.Sorted(maps.Keys(froms)) {
		hint, marks := froms[from], r.memory.Marks.Keys
		says := marks[from] == hint || from > 0 && marks[from-1] == hint
		if i > 0 && !says && !r.blind && (r.memory.Hidden == 0 || from > r.memory.State.Next) {
			r.findf("the receipt key %.12s… is in force from record %d on, and no record says so", hint, from)
		}
	}
}

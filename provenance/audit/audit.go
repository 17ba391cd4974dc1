// Package audit reads everything that a registry has on record, from outside, and compares what it serves with what follows
// from that.
//
// The records are those of a log whose history continues what was seen before (package follow); the audit computes the leaf of each
// again. It compares their result (package replay) with the tags, the manifests and the access document that are served.
// A caller who may see only a part audits that part.
//
// Every accusation rests on what was read in the same run. The saved state of an earlier run saves reading, but
// if something does not fit, the audit reads everything again first. So a wrong saved state accuses nobody.
package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// An Answer is what a registry answers, whatever it is.
type Answer struct {
	Status int
	Header map[string][]string
	Body   []byte
}

// An Audit is what one needs for an audit of a registry. All fields are set before Run; only Progress and Wanted may be nil.
type Audit struct {
	Fetch follow.Source // fetches what has to be there; it is safe for concurrent use
	// Ask asks for a path with a method. Its error says that no answer came. It is safe for concurrent use.
	Ask func(ctx context.Context, method, path string) (*Answer, error)
	// Replay says how the records are replayed.
	Replay replay.Options
	Sample int // how many tags, how many manifests, and how many that were removed, are asked for under /v2/; negative: all
	// Progress is told how many records have been read, of how many.
	Progress func(read, all uint64)
	// Wanted says which records are put into the report, of those that were made since the last report to As; nil: none.
	Wanted func(*provenance.Record) bool
	As     string
	// Keep writes what is remembered to where it outlives the process. It is called now and then, and at the end.
	Keep func() error
	Now  func() time.Time
}

// A Memory is what is remembered of a registry from one audit to the next.
type Memory struct {
	Log follow.State `json:"log"`
	// State is what followed from the records that were read; nil where none were, or where something was found.
	State  *replay.State `json:"state,omitempty"`
	Hidden uint64        `json:"hidden,omitempty"` // how many of these were not shown
	Marks  *Marks        `json:"marks,omitempty"`  // what these say of logs and keys; there with State
	// Told is how many records there were at the last report of acts, by what it was called.
	Told map[string]uint64 `json:"told,omitempty"`
}

// A Report is what an audit found.
type Report struct {
	Log          *follow.Report       `json:"log,omitempty"`
	Records      uint64               `json:"records"`          // how many there are
	Hidden       uint64               `json:"hidden,omitempty"` // how many of them the registry does not show
	Found        uint64               `json:"found,omitempty"`  // how many are from before there was a log
	Repositories int                  `json:"repositories"`
	Tags         int                  `json:"tags"`                  // compared by the lists
	Asked        int                  `json:"asked"`                 // tags and manifests that were asked for under /v2/, also those that were removed
	Findings     []string             `json:"findings"`              // what contradicts the records, or the records themselves; a sentence each
	Acts         []*provenance.Record `json:"acts,omitempty"`        // what was wanted of the records that are new
	More         int                  `json:"more"`                  // findings beyond maxFindings
	Renamed      []string             `json:"renamed,omitempty"`     // how the public name changed since the last report, a sentence each
	NotCompared  []string             `json:"notCompared,omitempty"` // what was not compared, and why
}

// maxFindings bounds the findings of a report.
const maxFindings = 1000

// Run audits the registry, and remembers in m what was learned. An error says that it could not go on: what was read until
// then is remembered, and the next run goes on from there. A report with findings is an answer, not an error.
func (a *Audit) Run(ctx context.Context, m *Memory) (*Report, error) {
	if a.Wanted != nil && m.State != nil && m.State.Next > m.Told[a.As] {
		m.State, m.Hidden = nil, 0 // an audit that did not look for them has read past them
	}
	resumed, seen, told := m.State != nil && m.State.Next > 0, m.Log, m.Told
	report, err := a.run(ctx, m)
	if err != nil || len(report.Findings) == 0 || !resumed || report.Log.Outcome.Bad() {
		return report, err
	}
	m.Log, m.Told, m.State, m.Hidden = seen, told, nil, 0
	return a.run(ctx, m)
}

func (a *Audit) run(ctx context.Context, m *Memory) (*Report, error) {
	r := &run{Audit: a, memory: m, report: &Report{Findings: []string{}}}
	if m.State == nil || m.Marks == nil || m.Marks.Named == nil { // or an older version kept it
		m.State, m.Marks, m.Hidden = replay.New(a.Replay), newMarks(), 0
	} else {
		m.State.Use(a.Replay)
	}
	err := r.read(ctx)
	if err == nil && !r.done && !r.blind {
		err = r.compare(ctx)
	}
	r.report.Records, r.report.Hidden = m.State.Next, m.Hidden
	if a.Wanted != nil && err == nil {
		m.Told = maps.Clone(m.Told)
		if m.Told == nil {
			m.Told = make(map[string]uint64)
		}
		m.Told[a.As] = m.State.Next
	}
	if err == nil {
		m.Marks.Named.told(r.report)
	}
	if len(r.report.Findings) > 0 {
		m.State, m.Hidden = nil, 0 // the next run begins anew, and finds the same
	}
	if err := errors.Join(err, a.Keep()); err != nil {
		return nil, err
	}
	return r.report, nil
}

// run is one reading of the records.
type run struct {
	*Audit
	memory *Memory
	report *Report
	logs   []section
	// entries is /keys/logs.json as it was read last.
	entries []receipt.LogEntry
	keys    keys
	ahead   *ahead // the page behind the last one, or nil
	// keepNext is when Keep is called again, by the clock of this machine: it is about how long it takes.
	keepNext time.Time
	done     bool // what was found makes all else pointless
	// touched is what the records name that were read since somebody began to look; nil where nobody did.
	touched    map[string]bool
	servedName string // the public name, as it was served last
	blind      bool   // a record is lost, and what follows from the records is not known
}

func (r *run) findf(format string, args ...any) {
	if len(r.report.Findings) == maxFindings {
		r.report.More++
		return
	}
	r.report.Findings = append(r.report.Findings, fmt.Sprintf(format, args...))
}

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"golang.org/x/mod/sumdb/tlog"
)

// A section is the records of one log.
type section struct {
	*follow.Remote
	now   checkpoint.Checkpoint
	first uint64
}

func (s section) end() uint64 { return s.first + s.now.Size }

// follow brings the logs to their newest checkpoints, which have to continue what was seen.
func (r *run) follow(ctx context.Context) error {
	found, err := follow.Check(ctx, r.Fetch, &r.memory.Log, r.Now())
	if errors.Is(err, follow.ErrBroken) {
		return r.broken(err)
	}
	if err != nil {
		return err
	}
	if r.report.Log == nil || found.Outcome != follow.Consistent {
		r.report.Log = found
	}
	switch {
	case found.Outcome.Bad():
		r.findf("%s", found.Says)
		r.done = true
		return nil
	case found.Outcome == follow.Restored: // a log that was closed may have lost what was replayed of it
		r.memory.State, r.memory.Marks, r.memory.Hidden = replay.New(r.Replay), newMarks(), 0
	}
	for _, c := range found.Closings {
		if c.Lost != nil {
			r.findf("records that were seen are lost: %s", found.Says)
		}
	}
	return r.sections(ctx)
}

// broken ends a run: what is served contradicts the log's own checkpoint.
func (r *run) broken(err error) error {
	r.findf("%v", err)
	r.done = true
	if r.report.Log == nil {
		r.report.Log = &follow.Report{}
	}
	return nil
}

// sections says which records are in which log, by what was followed.
func (r *run) sections(ctx context.Context) error {
	data, err := r.Fetch(ctx, "/keys/logs.json")
	if err != nil {
		return err
	}
	entries, err := receipt.ParseLogs(data)
	if err != nil {
		return fmt.Errorf("/keys/logs.json: %w", err)
	}
	r.entries = entries
	r.report.Found = r.memory.Log.Logs[0].First
	if r.keys, err = readKeys(ctx, r.Fetch); err != nil {
		return err
	}
	old := r.logs
	r.logs = nil
	for i, seen := range r.memory.Log.Logs {
		s := section{first: seen.First}
		if i < len(old) {
			s.Remote = old[i].Remote // with its tiles
		} else if s.Remote, err = follow.NewRemote(r.Fetch, seen.VKey); err != nil {
			return err
		}
		if s.now, err = s.Open(seen.Sightings[len(seen.Sightings)-1].Checkpoint); err != nil {
			return err
		}
		if i > 0 && r.logs[i-1].end() != s.first {
			return r.broken(fmt.Errorf("%w: the log %s begins with record %d, and the one before it ends before record %d",
				follow.ErrBroken, seen.Origin, s.first, r.logs[i-1].end()))
		}
		r.logs = append(r.logs, s)
	}
	return nil
}

// end is how many records there are, by the newest checkpoint.
func (r *run) end() uint64 { return r.logs[len(r.logs)-1].end() }

// How often what was read is kept while more is read: each keepEach, or less often where keeping takes long, so that it takes no
// more than 1/keepShare of the time. What is kept grows with what was read.
const (
	keepEach  = 30 * time.Second
	keepShare = 50
)

// read follows the logs, and reads all records that are new.
func (r *run) read(ctx context.Context) error {
	if err := r.follow(ctx); err != nil || r.done {
		return err
	}
	for r.memory.State.Next < r.end() {
		if err := r.page(ctx); err != nil || r.done {
			return err
		}
		if r.Progress != nil {
			r.Progress(r.memory.State.Next, r.end())
		}
		if len(r.report.Findings) > 0 || time.Now().Before(r.keepNext) {
			continue
		}
		began := time.Now()
		if err := r.Keep(); err != nil {
			return err
		}
		r.keepNext = time.Now().Add(max(keepEach, keepShare*time.Since(began)))
	}
	return nil
}

// page reads the next records, up to 1,000 of one log, while those behind them are on their way.
func (r *run) page(ctx context.Context) error {
	from := r.memory.State.Next
	s := r.sectionOf(from)
	if r.ahead == nil || r.ahead.from != from {
		r.ahead = r.fetchAhead(ctx, from)
	}
	page, err := r.ahead.wait()
	if err != nil {
		return err
	}
	if to := r.pageEnd(from); page.From != from || page.To <= from || page.To > to {
		return fmt.Errorf("asked for the statements of the records %d to %d, the registry gives those of %d to %d", from, to-1, page.From, page.To-1)
	}
	if r.ahead = nil; page.To < r.end() {
		r.ahead = r.fetchAhead(ctx, page.To)
	}
	return r.statements(ctx, s, page)
}

// pageEnd is where the page that begins with a record ends at most: with its log.
func (r *run) pageEnd(from uint64) uint64 {
	s := r.sectionOf(from)
	if from < s.first {
		return min(from+provenance.MaxPage, s.first)
	}
	return min(from+provenance.MaxPage, s.end())
}

func (r *run) pathFrom(from uint64) string {
	return fmt.Sprintf("/api/v1/records/statements?from=%d&limit=%d", from, r.pageEnd(from)-from)
}

// ahead is a page that is fetched and read while the one before it is looked at: the two take about as long.
type ahead struct {
	from uint64
	come chan aheadPage // holds one, so that nobody waits for one that is not wanted any more
}

type aheadPage struct {
	page provenance.StatementPage
	err  error
}

func (r *run) fetchAhead(ctx context.Context, from uint64) *ahead {
	a, path := &ahead{from, make(chan aheadPage, 1)}, r.pathFrom(from)
	go func() {
		var p aheadPage
		data, err := r.Fetch(ctx, path)
		if p.err = err; err == nil {
			if err := json.Unmarshal(data, &p.page); err != nil {
				p.err = fmt.Errorf("the statements from record %d on: %w", from, err)
			}
		}
		a.come <- p
	}()
	return a
}

func (a *ahead) wait() (provenance.StatementPage, error) {
	p := <-a.come
	return p.page, p.err
}

// sectionOf is the log that a record is in; the first also for those from before there was one.
func (r *run) sectionOf(index uint64) section {
	for _, s := range r.logs {
		if index < s.end() {
			return s
		}
	}
	return r.logs[len(r.logs)-1]
}

// statements applies a page of statements, once each is found to be its leaf.
func (r *run) statements(ctx context.Context, s section, page provenance.StatementPage) error {
	var leaves []tlog.Hash
	if page.From >= s.first {
		var err error
		leaves, err = s.Leaves(ctx, s.now, page.From-s.first, page.To-s.first)
		if errors.Is(err, follow.ErrBroken) {
			return r.broken(err)
		}
		if err != nil {
			return err
		}
	}
	if !inOrder(page) {
		return fmt.Errorf("the statements of the records %d to %d are not in order", page.From, page.To-1)
	}
	given := r.look(s, page, leaves)
	for index := page.From; index < page.To; index++ {
		if len(given) == 0 || given[0].Index != index {
			r.memory.Hidden++
			r.memory.State.Skip()
			continue
		}
		r.apply(s, given[0])
		given = given[1:]
	}
	return nil
}

// apply replays a record, which has to say where it stands.
func (r *run) apply(s section, given looked) {
	if given.wrong != "" {
		r.findf("%s", given.wrong)
	}
	record := given.record
	if record == nil {
		r.findf("record %d is lost or damaged: the registry has no statement of it that can be read, and what follows from the records is not known", given.Index)
		r.memory.State.Skip()
		r.blind = true
		return
	}
	if p := record.Log; given.Index >= s.first && p != nil && (p.Origin != s.Origin || p.Leaf != given.Index-s.first) {
		r.findf("record %d says that it is leaf %d of the log %s, and it is leaf %d of %s", given.Index, p.Leaf, p.Origin, given.Index-s.first, s.Origin)
	}
	r.memory.Marks.add(given.Index, record)
	r.note(given.Index, record)
	if given.Own { // of its repository nothing else is shown
		r.memory.Hidden++
		r.memory.State.Skip()
		return
	}
	r.touch(record)
	r.memory.State.Apply(record, func(err error) {
		if !r.blind { // else it may follow from what is lost
			r.findf("%v", err)
		}
	})
}

// note puts a record into the report that is wanted there, if it is new.
func (r *run) note(index uint64, record *provenance.Record) {
	if r.Wanted != nil && index >= r.memory.Told[r.As] && r.Wanted(record) {
		r.report.Acts = append(r.report.Acts, record)
	}
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// A meaning is what something means, and since which record: by the records, or as it is served.
type meaning struct {
	digest digest.Digest
	since  uint64
	as     string // what else is said of it, where a question has more
	// header is what Docker-Content-Digest says, where the bytes have another digest.
	header digest.Digest
}

// A view is what a question is answered with: by tag, digest or other name. What is not there is absent.
type view map[string]meaning

// A question is asked of the records and of the registry, which have to give the same answer.
type question struct {
	byRecords func(*replay.State) view
	served    func(context.Context) (view, error)
	// says is a sentence about a difference. A meaning is nil where the name means nothing. What two questions call alike
	// is reported once.
	says   func(name string, served, byRecords *meaning) string
	called func(name string) string

	settled map[string]bool // names that were once seen to fit
}

// errKept says that the registry keeps an answer from the one who asks: rights, or a rule of its policy.
var errKept = errors.New("the registry does not give it to you")

// mostLooks is how often something is looked at again that changes meanwhile.
const mostLooks = 10

// compare asks everything, and looks again at what differs: once the newer records are replayed, only what they did not
// change between can be called a difference.
func (r *run) compare(ctx context.Context) error {
	entries, keys, name := r.entries, r.keys, r.memory.Marks.Named.Name // of before the records that are read from here on
	questions, err := r.questions(ctx)
	if err != nil {
		return err
	}
	open, kept, err := r.ask(ctx, questions)
	if err != nil {
		return err
	}
	if kept > 0 {
		r.notCompared("%d answers, which the registry does not give you", kept)
	}
	said := make(map[string]bool)
	for looks := 0; len(open) > 0 && looks < mostLooks; looks++ {
		if open, err = r.again(ctx, open, said); err != nil || r.done {
			return err
		}
	}
	if len(open) > 0 {
		r.notCompared("%d answers changed whenever they were looked at", len(open))
	}
	if err := r.read(ctx); err != nil || r.done {
		return err
	}
	r.checkLogs(entries)
	r.checkKeys(keys)
	r.checkName(name)
	return nil
}

// askers is how many questions are asked at a time: one after another, an audit mostly waits.
const askers = 4

// ask asks all questions once, and returns those whose answers do not follow from the records, and how many are kept back.
func (r *run) ask(ctx context.Context, questions []*question) (open []*question, kept int, err error) {
	differ, failed := make([]bool, len(questions)), make([]error, len(questions))
	var next atomic.Int64
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(questions)); i = next.Add(1) - 1 {
				var got view
				if got, failed[i] = questions[i].served(ctx); failed[i] == nil {
					differ[i] = !maps.Equal(got, questions[i].byRecords(r.memory.State))
				} else if !errors.Is(failed[i], errKept) {
					next.Store(int64(len(questions))) // nobody asks on
				}
			}
		})
	}
	all.Wait()
	for i, q := range questions {
		switch {
		case errors.Is(failed[i], errKept):
			kept++
		case failed[i] != nil:
			return nil, 0, failed[i]
		case differ[i]:
			open = append(open, q)
		}
	}
	return open, kept, nil
}

func (r *run) notCompared(format string, args ...any) {
	says := fmt.Sprintf(format, args...)
	if !slices.Contains(r.report.NotCompared, says) {
		r.report.NotCompared = append(r.report.NotCompared, says)
	}
}

// again asks questions whose answers differed, between two readings of what is new. It returns those of which
// something changed between.
func (r *run) again(ctx context.Context, open []*question, said map[string]bool) (moving []*question, err error) {
	if err := r.read(ctx); err != nil || r.done {
		return nil, err
	}
	before, served := make([]view, len(open)), make([]view, len(open))
	for i, q := range open {
		before[i] = q.byRecords(r.memory.State)
		if served[i], err = q.served(ctx); errors.Is(err, errKept) {
			r.notCompared("%v", err) // since a moment ago
			served[i] = before[i]
		} else if err != nil {
			return nil, err
		}
	}
	r.touched = make(map[string]bool)
	if err := r.read(ctx); err != nil || r.done {
		return nil, err
	}
	for i, q := range open {
		if r.differences(q, before[i], served[i], q.byRecords(r.memory.State), said) {
			moving = append(moving, q)
		}
	}
	return moving, nil
}

// differences reports what was not changed while it was looked at, and is served otherwise. It says whether
// something was changed. One sentence is enough for all that is wrong with a name.
func (r *run) differences(q *question, before, served, after view, said map[string]bool) (moving bool) {
	if q.settled == nil {
		q.settled = make(map[string]bool)
	}
	names := make(map[string]bool)
	for _, v := range []view{before, served, after} {
		for name := range v {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is, got := before.of(name), after.of(name), served.of(name)
		switch {
		case q.settled[name]:
		case same(got, is) || same(got, was):
			q.settled[name] = true
		case !same(was, is) || r.touched[q.called(name)]: // what is gone may have come and gone between
			moving = true
		default:
			if !said[q.called(name)] {
				said[q.called(name)] = true
				r.findf("%s", q.says(name, got, is))
			}
		}
	}
	return moving
}

// touch notes what a record names, by what questions call it.
func (r *run) touch(record *provenance.Record) {
	if r.touched == nil {
		return
	}
	for _, t := range record.Tags {
		r.touched[tagName(record.Repository, t.Name)] = true
	}
	r.touched[manifestName(record.Repository, record.Digest.String())] = true
	r.touched[record.Repository] = true
	if g := record.Grant; g != nil {
		for _, name := range []string{documentName, g.Subject, g.Former, g.Credential} {
			r.touched[name] = true
		}
	}
}

// What questions call that which they are about.
const documentName = "the access document"

func tagName(repo, tag string) string      { return repo + ":" + tag }
func manifestName(repo, ref string) string { return repo + "@" + ref }

func (v view) of(name string) *meaning {
	m, ok := v[name]
	if !ok {
		return nil
	}
	return &m
}

func same(a, b *meaning) bool { return a == b || a != nil && b != nil && *a == *b }

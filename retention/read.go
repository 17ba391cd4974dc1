package retention

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Registry is what retention asks of the registry, and has it do. *registry.Registry is one. What reads a whole repository does so in
// many short transactions.
type Registry interface {
	Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, next string, err error)
	Newest(ctx context.Context, repo string) (uint64, error) // provenance.ErrNoRecord
	EachTag(ctx context.Context, repo string, fn func(t registry.TagEntry, fixed string) error) error
	EachHolding(ctx context.Context, repo string, now time.Time, fn func(registry.Holding) error) error
	EachReference(ctx context.Context, repo string, fn func(manifest, named digest.Digest) error) error
	Tags(ctx context.Context, repo string, q registry.TagQuery) (tags []registry.TagEntry, next string, err error) // registry.ErrUnknown
	TagsNamed(ctx context.Context, repo string, names []string) ([]registry.TagEntry, error)
	StoredBlobs(ctx context.Context, blobs []digest.Digest, links []int) ([]registry.Stored, error)
	Prune(ctx context.Context, who provenance.Identity, p registry.Pruning) (r *provenance.Record, others bool, err error)
}

// Book is what retention asks of the records. *provenance.Book is one.
type Book interface {
	FirstAt(ctx context.Context, t time.Time) (uint64, error)
	Find(ctx context.Context, q provenance.Query) (provenance.Page, error)
}

// Pulls tells when images were pulled.
type Pulls interface {
	// Flush makes sure that every pull so far is told.
	Flush(ctx context.Context) error
	// NoneAfter returns for each tag or digest of a repository a time after which it was not pulled.
	NoneAfter(ctx context.Context, repo string, refs []string) ([]time.Time, error)
}

// reader reads the facts of one repository.
type reader struct {
	*Facts
	manifests map[digest.Digest]int
	blobs     map[digest.Digest]int32
}

// pullStep is how many pulls are asked for at once.
const pullStep = 1000

// read reads the facts of a repository, which are of about one moment: newest is its newest record before.
func (k *Keeper) read(ctx context.Context, s *Set, repo string, now time.Time) (f *Facts, newest uint64, err error) {
	if newest, err = k.c.Registry.Newest(ctx, repo); err != nil && !errors.Is(err, provenance.ErrNoRecord) {
		return nil, 0, err
	}
	r := &reader{&Facts{Repository: repo}, map[digest.Digest]int{}, map[digest.Digest]int32{}}
	if err := r.readManifests(ctx, k.c.Registry, now); err != nil {
		return nil, 0, err
	}
	if err := r.readTags(ctx, k.c.Registry); err != nil {
		return nil, 0, err
	}
	if err := k.readPulls(ctx, s, r.Facts); err != nil {
		return nil, 0, err
	}
	return r.Facts, newest, k.readMeant(ctx, s, r, now)
}

func (r *reader) readManifests(ctx context.Context, from Registry, now time.Time) error {
	subjects := map[int]digest.Digest{}
	err := from.EachHolding(ctx, r.Repository, now, func(m registry.Holding) error {
		one := Manifest{Digest: m.Digest, Record: m.Record, Subject: -1}
		if !m.Held.IsZero() {
			one.Held = "until " + m.Held.String()
		}
		if m.Subject != "" {
			subjects[len(r.Manifests)] = m.Subject
		}
		r.manifests[m.Digest] = len(r.Manifests)
		r.Manifests = append(r.Manifests, one)
		return nil
	})
	if err != nil {
		return err
	}
	for i, d := range subjects {
		if subject, ok := r.manifests[d]; ok && subject != i {
			r.Manifests[i].Subject = subject
		}
	}
	return from.EachReference(ctx, r.Repository, func(manifest, named digest.Digest) error {
		r.refer(manifest, named)
		return nil
	})
}

// refer notes that a manifest names a manifest or a blob. What came since the manifests were read is left out.
func (r *reader) refer(manifest, named digest.Digest) {
	i, ok := r.manifests[manifest]
	if !ok {
		return
	}
	m := &r.Manifests[i]
	if listed, ok := r.manifests[named]; ok && listed != i {
		m.Lists = append(m.Lists, listed)
		return
	}
	b, ok := r.blobs[named]
	if !ok {
		b = int32(len(r.Blobs))
		r.blobs[named] = b
		r.Blobs = append(r.Blobs, named)
	}
	m.Blobs = append(m.Blobs, b)
}

func (r *reader) readTags(ctx context.Context, from Registry) error {
	return from.EachTag(ctx, r.Repository, func(t registry.TagEntry, fixed string) error {
		if i, ok := r.manifests[t.Digest]; ok { // else it came since, or is going
			r.Tags = append(r.Tags, Tag{Name: t.Name, Manifest: i, Record: t.Record, Immutable: fixed})
		}
		return nil
	})
}

// needsPulls says whether times of pulls matter.
func (s *Set) needsPulls() bool {
	if s.Untagged != nil && *s.Untagged > 0 {
		return true
	}
	for _, r := range s.Rules {
		if r.Keep.Pulled > 0 {
			return true
		}
	}
	return false
}

// flushPulls has every pull so far told.
func (k *Keeper) flushPulls(ctx context.Context) error {
	if k.c.Pulls == nil {
		return nil
	}
	return k.c.Pulls.Flush(ctx)
}

// planWait is how long a plan that a person asks for waits for the pulls of the last minute: it removes nothing.
const planWait = 5 * time.Second

// pullsForPlan has every pull so far told, or warns a person who plans that the last ones may be missing, because the store takes no
// changes now. Who applies the plan has them told, or removes nothing.
func (k *Keeper) pullsForPlan(ctx context.Context, s *Set, byItself bool) (warnings []string, err error) {
	if byItself {
		return nil, k.flushPulls(ctx)
	}
	flushed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), planWait)
		defer cancel()
		flushed <- k.flushPulls(ctx)
	}()
	select {
	case err = <-flushed:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(planWait):
		err = context.DeadlineExceeded
	}
	if err == nil || !s.needsPulls() {
		return nil, nil
	}
	return []string{"the store takes no changes now, so the pulls of the last minute may be missing here; they count when the plan is applied"}, nil
}

// readPulls notes when tags and manifests were pulled last.
func (k *Keeper) readPulls(ctx context.Context, s *Set, f *Facts) error {
	if k.c.Pulls == nil || !s.needsPulls() {
		return nil
	}
	tags, digests := make([]string, len(f.Tags)), make([]string, len(f.Manifests))
	for i, t := range f.Tags {
		tags[i] = t.Name
	}
	for i, m := range f.Manifests {
		digests[i] = m.Digest.String()
	}
	err := k.eachPull(ctx, f.Repository, tags, func(i int, t time.Time) { f.Tags[i].Pulled = t })
	if err != nil {
		return err
	}
	return k.eachPull(ctx, f.Repository, digests, func(i int, t time.Time) { f.Manifests[i].Pulled = t })
}

// eachPull tells when the i-th of some tags or digests was pulled last.
func (k *Keeper) eachPull(ctx context.Context, repo string, refs []string, tell func(i int, t time.Time)) error {
	for from := 0; from < len(refs); from += pullStep {
		times, err := k.c.Pulls.NoneAfter(ctx, repo, refs[from:min(from+pullStep, len(refs))])
		if err != nil {
			return err
		}
		for i, t := range times {
			tell(from+i, t)
		}
	}
	return nil
}

// readMeant notes which manifests had a tag within untagged.keep, by the records of that time. It is not asked where what has no tag
// stays for ever, or goes at once.
func (k *Keeper) readMeant(ctx context.Context, s *Set, r *reader, now time.Time) error {
	if s.Untagged == nil || *s.Untagged == 0 {
		return nil
	}
	q := provenance.Query{Repository: r.Repository, Since: now.Add(-*s.Untagged)}
	for more := true; more; {
		page, err := k.c.Book.Find(ctx, q)
		if err != nil {
			return err
		}
		for _, record := range page.Records {
			r.notePrevious(record)
		}
		q.After, more = page.Next, page.Next != nil
	}
	return nil
}

// notePrevious notes what the tags of a record meant before.
func (r *reader) notePrevious(record *provenance.Record) {
	for _, t := range record.Tags {
		i, ok := r.manifests[t.Previous]
		if ok && !registry.IsBeside(t.Name) && record.Meaning(t) != t.Previous {
			r.Manifests[i].Meant = &record.Index
		}
	}
}

// moment is the present as rules see it.
func (k *Keeper) moment(ctx context.Context, s *Set, now time.Time) (Moment, error) {
	since := map[time.Duration]uint64{}
	ages := make([]time.Duration, 0, len(s.Rules)+1)
	for _, r := range s.Rules {
		ages = append(ages, r.Keep.Younger)
	}
	if s.Untagged != nil {
		ages = append(ages, *s.Untagged)
	}
	for _, age := range ages {
		index, err := k.c.Book.FirstAt(ctx, now.Add(-age))
		if err != nil {
			return Moment{}, err
		}
		since[age] = index
	}
	return Moment{Now: now, Since: func(ago time.Duration) uint64 { return since[ago] }}, nil
}

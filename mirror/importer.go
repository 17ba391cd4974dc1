package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"golang.org/x/sync/errgroup"
)

// Here is the registry that images come to. registry.Importer is one.
type Here interface {
	// Accepts returns why nothing may be imported into a repository, or nil.
	Accepts(ctx context.Context, repo string) error
	// Presences returns whether manifests are here.
	Presences(ctx context.Context, of []registry.RepoDigest) ([]registry.Presence, error)
	// Meanings returns what tags mean here.
	Meanings(ctx context.Context, repo string, tags []string) ([]registry.Meaning, error)
	// Lacking returns the blobs that a repository does not have.
	Lacking(ctx context.Context, repo string, blobs []digest.Digest) ([]digest.Digest, error)
	// Link gives a repository a blob that is here, and says whether it is.
	Link(ctx context.Context, repo string, d digest.Digest) (bool, error)
	// Blob takes in what open gives. A blob that it returns is to be given to Manifest, Keep or Drop.
	Blob(ctx context.Context, repo string, d digest.Digest, open func(context.Context) (io.ReadCloser, int64, error)) (int64, *registry.LooseBlob, error)
	// Keep links what arrived without a manifest.
	Keep(ctx context.Context, repo string, arrived []*registry.LooseBlob) error
	// Drop gives back what arrived for nothing.
	Drop(ctx context.Context, arrived []*registry.LooseBlob) error
	// Takes returns why Manifest would refuse a manifest, as far as that shows without its blobs, or nil.
	Takes(ctx context.Context, m registry.ForeignManifest) error
	// Manifest takes in a manifest whose blobs are here, with those that arrived for it.
	Manifest(ctx context.Context, m registry.ForeignManifest) (*provenance.Record, error)
	// Prove has a manifest that came proved by what its registry publishes, where that is wanted, and says what is missing to that.
	Prove(ctx context.Context, repo string, d digest.Digest, from registry.Published) (why string, err error)
}

// A Job is an import: what comes from where, and to where.
type Job struct {
	From Source
	Here Here
	// Repositories are those that are imported, by pattern of their names at the source; empty means all.
	Repositories []access.Pattern
	// Into is put before the names of repositories, and stands for a repository where an image has none at the source.
	Into string
	// DryRun counts what would come, and changes nothing.
	DryRun bool
	// Platforms are those that come of an index; empty means all. An image that is in no index comes whatever it is for.
	Platforms []Platform
	// Workers is how many images come at the same time. Default: 8.
	Workers int

	bring    func(context.Context, *work, Image) error // in another way than work does, or nil
	counts   counts
	working  keyed
	shown    sync.Map // the digests whose bytes the source has given in this run; in a dry run also the manifests that were counted
	home     home     // asks the source for what it publishes
	unwanted sync.Map // the digests of what indexes list for platforms that are not wanted
	mu       sync.Mutex
	report   Report
}

// Counts is how far an import has come.
type Counts struct {
	Repositories int64 `json:"repositories"`
	Images       int64 `json:"images"`    // tags, and manifests that came without one, that were looked at
	Came         int64 `json:"came"`      // of these, that brought something
	Present      int64 `json:"present"`   // that were here already
	Left         int64 `json:"left"`      // tags that mean something else here since somebody pushed, and were left
	Refused      int64 `json:"refused"`   // that did not come, or not whole
	LeftOut      int64 `json:"leftOut"`   // manifests of platforms that are not wanted
	Known        int64 `json:"known"`     // images that there are at the source, as far as they were counted
	Counted      bool  `json:"counted"`   // all were
	Manifests    int64 `json:"manifests"` // that came
	Blobs        int64 `json:"blobs"`     // that came
	Bytes        int64 `json:"bytes"`     // of these, and of the manifests
	Pending      int64 `json:"pending"`   // bytes of the blobs that images on their way still lack, as their manifests say
}

type counts struct {
	repositories, images, came, present, left, refused, leftOut, known, manifests, blobs, bytes, pending atomic.Int64

	counted atomic.Bool
}

// Counts returns how far the job has come, also while it runs.
func (j *Job) Counts() Counts {
	c := &j.counts
	return Counts{
		Repositories: c.repositories.Load(), Images: c.images.Load(), Came: c.came.Load(), Present: c.present.Load(), Left: c.left.Load(),
		LeftOut: c.leftOut.Load(), Known: c.known.Load(), Counted: c.counted.Load(),
		Refused: c.refused.Load(), Manifests: c.manifests.Load(), Blobs: c.blobs.Load(), Bytes: c.bytes.Load(), Pending: c.pending.Load(),
	}
}

// A Remark is about something that did not come, or not as it was there.
type Remark struct {
	Reference string `json:"reference"` // at the source
	Why       string `json:"why"`
}

// A Report is what came of an import. Each list has at most MaxRemarks; the counts tell of all.
type Report struct {
	Counts
	DryRun   bool     `json:"dryRun,omitempty"`
	Refused  []Remark `json:"refusals,omitempty"`
	Left     []Remark `json:"leftAlone,omitempty"`
	Unproved []Remark `json:"unproved,omitempty"` // records of another registry that came without the witnesses who are wanted of it
	Lacking  []Remark `json:"lacking,omitempty"`  // what an image names and the source does not have, and which came all the same
}

// MaxRemarks bounds each list of a Report.
const MaxRemarks = 1000

// How many images come at the same time: they wait for the network, or for the disk, which flushes many files in the time of one.
const (
	workers      = 8
	localWorkers = 64
)

// Run imports. What is refused is in the report, and the rest goes on; an error ends it, and what came whole stays. Run is called once.
func (j *Job) Run(ctx context.Context) (Report, error) {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(j.Workers, workers))
	counting, stop := context.WithCancel(within)
	var counter sync.WaitGroup
	if j.bring == nil { // to list what a mirror follows is part of its work
		counter.Go(func() { j.count(counting) })
	}
	err := j.each(within, group)
	err = errors.Join(err, group.Wait())
	stop()
	counter.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	j.report.Counts, j.report.DryRun = j.Counts(), j.DryRun
	return j.report, err
}

// each starts the work on each image.
func (j *Job) each(ctx context.Context, group *errgroup.Group) error {
	for repo, err := range j.From.Repositories(ctx) {
		if err != nil && repo != "" && j.wants(repo) {
			j.refuse(repo, err)
		}
		if err != nil && repo == "" {
			return fmt.Errorf("%w: its repositories could not be listed: %w", ErrSource, err)
		}
		if err != nil || !j.wants(repo) {
			continue
		}
		j.counts.repositories.Add(1)
		into, err := j.into(ctx, repo)
		if err != nil {
			j.refuse(repo, err)
			continue
		}
		j.repository(ctx, group, repo, into)
		if ctx.Err() != nil {
			return nil // Wait tells why
		}
	}
	return nil
}

// repository starts the work on each image of one. Those without a tag come when all tags have come: they are mostly the same, and
// would come twice.
func (j *Job) repository(ctx context.Context, group *errgroup.Group, repo, into string) {
	var tagged sync.WaitGroup
	for image, err := range j.From.Images(ctx, repo) {
		if err != nil {
			j.refuse(repo, fmt.Errorf("its images could not be listed to the end: %w", err))
			return
		}
		if ctx.Err() != nil {
			return
		}
		if image.Tag == "" {
			tagged.Wait()
			group.Go(func() error { return j.image(ctx, repo, into, image) })
			continue
		}
		tagged.Add(1)
		group.Go(func() error { defer tagged.Done(); return j.image(ctx, repo, into, image) })
	}
}

// count counts what is at the source, for those who watch, while the work goes on. What cannot be listed the work tells.
func (j *Job) count(ctx context.Context) {
	for repo, err := range j.From.Repositories(ctx) {
		if err != nil || !j.wants(repo) {
			continue
		}
		if _, err := j.into(ctx, repo); err != nil {
			continue
		}
		for _, err := range j.From.Images(ctx, repo) {
			if err == nil {
				j.counts.known.Add(1)
			}
		}
	}
	j.counts.counted.Store(ctx.Err() == nil)
}

func (j *Job) wants(repo string) bool {
	short := strings.TrimPrefix(repo, "library/") // by which docker calls it
	return len(j.Repositories) == 0 || slices.ContainsFunc(j.Repositories, func(p access.Pattern) bool { return p.Matches(repo) || p.Matches(short) })
}

// into is the repository here for one of the source.
func (j *Job) into(ctx context.Context, repo string) (string, error) {
	into := path.Join(j.Into, repo)
	if into == "" {
		return "", errors.New("its images have no name there: say with --into which repository they come to")
	}
	return into, j.Here.Accepts(ctx, into)
}

// image brings one. An error ends the job.
func (j *Job) image(ctx context.Context, repo, into string, i Image) error {
	j.counts.images.Add(1)
	w := &work{Job: j, repo: repo, into: into, seen: map[digest.Digest]bool{}}
	err := i.Broken
	switch {
	case err != nil:
	case j.bring != nil:
		err = j.bring(ctx, w, i)
	default:
		err = w.bring(ctx, i)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		j.refuse(referenceTo(repo, i.ref()), err)
	case w.came:
		j.counts.came.Add(1)
	case !w.left:
		j.counts.present.Add(1)
	}
	if endsAll(err) {
		return err
	}
	return nil
}

func (j *Job) refuse(ref string, err error) {
	j.counts.refused.Add(1)
	j.remark(&j.report.Refused, ref, err.Error())
}

func (j *Job) remark(list *[]Remark, ref, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(*list) < MaxRemarks {
		*list = append(*list, Remark{ref, why})
	}
}

// keyed is a lock for each of some names.
type keyed struct {
	mu   sync.Mutex
	busy map[string]*waited
}

type waited struct {
	sync.Mutex
	n int // who hold or want it; guarded by keyed.mu
}

// lock waits for the locks of some names, and returns what gives them back. They are taken in their order, so that no two wait for
// each other.
func (k *keyed) lock(names ...string) (unlock func()) {
	slices.Sort(names)
	for _, name := range names {
		k.want(name).Lock()
	}
	return func() {
		for _, name := range names {
			k.leave(name)
		}
	}
}

func (k *keyed) want(name string) *waited {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy == nil {
		k.busy = map[string]*waited{}
	}
	w := k.busy[name]
	if w == nil {
		w = new(waited)
		k.busy[name] = w
	}
	w.n++
	return w
}

func (k *keyed) leave(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.busy[name]
	w.Unlock()
	if w.n--; w.n == 0 {
		delete(k.busy, name)
	}
}

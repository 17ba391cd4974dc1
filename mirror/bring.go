package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/registry"
)

// work is one image on its way, with what it lists and what is attached to it. One goroutine does it.
type work struct {
	*Job
	repo, into string
	seen       map[digest.Digest]bool // manifests that were looked at: lists and subjects may go in circles
	came, left bool
	withheld   bool // what comes is held
}

// maxFamily bounds the manifests that belong to one image.
const maxFamily = 10_000

// bring brings an image: what it lists, its blobs, itself with its tag, then what is attached to it. Its tag is asked for once; all
// else is named by digest, so that a tag that moves meanwhile makes no mixture.
func (w *work) bring(ctx context.Context, i Image) error {
	if i.Tag == "" {
		if _, out := w.unwanted.Load(i.Digest); out {
			return nil
		}
		return w.family(ctx, i.Digest)
	}
	m, err := w.From.Manifest(ctx, w.repo, i.Tag)
	if err != nil {
		return err
	}
	meanings, err := w.Here.Meanings(ctx, w.into, []string{i.Tag})
	if err != nil {
		return err
	}
	switch means := meanings[0]; {
	case means.Digest == "", means.Digest == m.Origin.Digest, means.Imported:
		return w.take(ctx, m, []string{i.Tag})
	default:
		w.left = true
		w.counts.left.Add(1)
		w.remark(&w.report.Left, referenceTo(w.repo, i.Tag), "somebody set it here to "+means.Digest.String()+": to take the source's, remove the tag here and import again")
		return nil
	}
}

// wrongSchema is about an image whose form no registry takes any more.
func wrongSchema(body []byte) error {
	if version, layers := schemaOf(body); version == 1 && layers {
		return errors.New("it is an image of docker's schema 1, of before 2016: convert it, as with `skopeo copy --format v2s2`, and import that")
	}
	return nil
}

// family brings a manifest that belongs to the image. One that is here has come whole: it is left, and so is what it lists.
func (w *work) family(ctx context.Context, d digest.Digest) error {
	if w.seen[d] {
		return nil
	}
	if len(w.seen) >= maxFamily {
		return fmt.Errorf("more than %d manifests belong to it", maxFamily)
	}
	here, err := w.present(ctx, d)
	if err != nil {
		return err
	}
	if here {
		w.seen[d] = true
		return w.attached(ctx, d)
	}
	m, err := w.From.Manifest(ctx, w.repo, d.String())
	if err != nil {
		return err
	}
	return w.take(ctx, m, nil)
}

func (w *work) present(ctx context.Context, d digest.Digest) (bool, error) {
	here, err := w.Here.Presences(ctx, []registry.RepoDigest{{Repository: w.into, Digest: d}})
	return err == nil && here[0].Present, err
}

// take brings a manifest that was read.
func (w *work) take(ctx context.Context, m Manifest, tags []string) error {
	d := m.Origin.Digest
	if err := errors.Join(wrongSchema(m.Body), d.Validate()); err != nil {
		return err
	}
	w.seen[d] = true
	if got := d.Algorithm().FromBytes(m.Body); got != d {
		return fmt.Errorf("what the source has as %s has the digest %s: it is damaged there", d, got)
	}
	here, err := w.present(ctx, d)
	if err != nil {
		return err
	}
	if here && !isIndex(m.Body) {
		err = w.commit(ctx, m, tags, nil)
	} else {
		err = w.whole(ctx, m, tags) // an index may have come without some that it lists
	}
	if err != nil {
		return err
	}
	return w.attached(ctx, d)
}

// whole brings a manifest with all that it names, but for what is not wanted.
func (w *work) whole(ctx context.Context, m Manifest, tags []string) error {
	names, err := registry.NamesIn(m.MediaType, m.Body)
	if err != nil {
		return err
	}
	out, err := w.leftOut(m.Body)
	if err != nil {
		return err
	}
	wanted := slices.DeleteFunc(names.Manifests, func(d digest.Digest) bool { return out[d] })
	for d := range out {
		if _, counted := w.unwanted.LoadOrStore(d, nil); !counted {
			w.counts.leftOut.Add(1)
		}
	}
	if err := w.children(ctx, m.Origin.Digest, wanted); err != nil {
		return err
	}
	return w.blobs(ctx, m.Origin.Digest, names.Blobs, func(arrived []*registry.LooseBlob) error { return w.commit(ctx, m, tags, arrived) })
}

// children brings what an index lists. What the source does not have was left out there, as with images for one platform alone; what
// it has as a blob, as BuildKit's cache does, comes as one.
func (w *work) children(ctx context.Context, index digest.Digest, children []digest.Digest) error {
	for _, child := range children {
		err := w.family(ctx, child)
		if !errors.Is(err, ErrAbsent) {
			if err != nil {
				return fmt.Errorf("%s, which it lists: %w", child, err)
			}
			continue
		}
		asBlob := []registry.NamedBlob{{Digest: child}}
		err = w.blobs(ctx, index, asBlob, func(arrived []*registry.LooseBlob) error { return w.Here.Keep(ctx, w.into, arrived) })
		if errors.Is(err, ErrAbsent) {
			w.remark(&w.report.Lacking, referenceTo(w.repo, index.String()), "it lists "+child.String()+", which the source does not have")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// blobs brings the blobs that are not here, and has their manifest committed. Until then no other work looks at the same blobs: it would
// fetch them again.
func (w *work) blobs(ctx context.Context, of digest.Digest, blobs []registry.NamedBlob, commit func([]*registry.LooseBlob) error) error {
	lacking, err := w.lacking(ctx, blobs)
	if err != nil {
		return err
	}
	defer w.working.lock(lockNames(lacking)...)()
	if lacking, err = w.lacking(ctx, lacking); err != nil { // others may have brought some
		return err
	}
	var arrived []*registry.LooseBlob
	pending := w.counts.await(lacking)
	defer func() { w.counts.pending.Add(-pending) }() // of those that were not asked for
	for _, b := range lacking {
		one, err := w.blob(ctx, Blob{b.Digest, b.Size})
		pending -= counted(b.Size)
		w.counts.pending.Add(-counted(b.Size))
		if errors.Is(err, ErrAbsent) && b.MayLack {
			continue // it is fetched from elsewhere, by those who may
		}
		if err != nil {
			err = fmt.Errorf("the blob %s of %s: %w", b.Digest, of, err)
			return errors.Join(err, w.Here.Drop(ctx, arrived))
		}
		if one != nil {
			arrived = append(arrived, one)
		}
	}
	return commit(arrived)
}

// await counts the bytes of blobs that are to come.
func (c *counts) await(blobs []registry.NamedBlob) (bytes int64) {
	for _, b := range blobs {
		bytes += counted(b.Size)
	}
	c.pending.Add(bytes)
	return bytes
}

// counted is a size as it is counted that a manifest states, which may state anything.
func counted(size int64) int64 { return min(max(size, 0), 1<<40) }

// lacking returns those blobs that the repository does not have, each once.
func (w *work) lacking(ctx context.Context, blobs []registry.NamedBlob) (lacking []registry.NamedBlob, err error) {
	digests := make([]digest.Digest, len(blobs))
	for i, b := range blobs {
		digests[i] = b.Digest
	}
	absent, err := w.Here.Lacking(ctx, w.into, digests)
	for _, b := range blobs {
		if slices.Contains(absent, b.Digest) && !slices.ContainsFunc(lacking, func(l registry.NamedBlob) bool { return l.Digest == b.Digest }) {
			lacking = append(lacking, b)
		}
	}
	return lacking, err
}

func lockNames(blobs []registry.NamedBlob) []string {
	names := make([]string, len(blobs))
	for i, b := range blobs {
		names[i] = "blob " + b.Digest.String()
	}
	return names
}

// blob brings a blob that the repository does not have. One that other repositories here have is fetched all the same, unless the
// source has given it in this run: else whoever writes the source's manifests could name a blob here that he may not read, and read it.
func (w *work) blob(ctx context.Context, b Blob) (*registry.LooseBlob, error) {
	if err := b.Digest.Validate(); err != nil {
		return nil, err
	}
	_, shown := w.shown.Load(b.Digest)
	if w.DryRun {
		return nil, w.countBlob(ctx, b, shown)
	}
	if shown {
		if linked, err := w.Here.Link(ctx, w.into, b.Digest); linked || err != nil {
			w.came = w.came || linked
			return nil, err
		}
	}
	n, arrived, err := w.Here.Blob(ctx, w.into, b.Digest, func(ctx context.Context) (io.ReadCloser, int64, error) { return w.From.Blob(ctx, w.repo, b) })
	if err != nil {
		return nil, err
	}
	w.came = true
	w.shown.Store(b.Digest, nil)
	w.counts.blobs.Add(1)
	w.counts.bytes.Add(n)
	return arrived, nil
}

// countBlob counts a blob that would come.
func (w *work) countBlob(ctx context.Context, b Blob, counted bool) error {
	if counted {
		return nil
	}
	from, size, err := w.From.Blob(ctx, w.repo, b)
	if err != nil {
		return err
	}
	w.shown.Store(b.Digest, nil)
	w.counts.blobs.Add(1)
	w.counts.bytes.Add(size)
	return from.Close()
}

// commit commits a manifest with its tags, unless both are here: then there would be a second record of the same.
func (w *work) commit(ctx context.Context, m Manifest, tags []string, arrived []*registry.LooseBlob) (err error) {
	sent := false
	defer func() {
		if !sent {
			err = errors.Join(err, w.Here.Drop(ctx, arrived))
		}
	}()
	d := m.Origin.Digest
	defer w.working.lock("manifest " + w.into + "@" + d.String())()
	here, err := w.present(ctx, d)
	if err != nil {
		return err
	}
	tagged := len(tags) == 0
	if !tagged {
		meanings, err := w.Here.Meanings(ctx, w.into, tags)
		if err != nil {
			return err
		}
		tagged = meanings[0].Digest == d
	}
	if w.DryRun && !here {
		_, here = w.shown.LoadOrStore(w.into+"@"+d.String(), nil) // it was counted
	}
	if here && tagged {
		return nil
	}
	foreign := registry.ForeignManifest{
		Repository: w.into, Tags: tags, MediaType: m.MediaType, Body: m.Body, Origin: m.Origin, Claimed: m.Claimed, Arrived: arrived, Withheld: w.withheld,
	}
	if w.DryRun {
		if err := w.Here.Takes(ctx, foreign); err != nil {
			return err
		}
	} else {
		sent = true
		record, err := w.Here.Manifest(ctx, foreign)
		if err != nil || record == nil {
			return err
		}
	}
	w.came = true
	if !here {
		w.counts.manifests.Add(1)
		w.counts.bytes.Add(int64(len(m.Body)))
	}
	return nil
}

// attached brings the signatures, attestations and others whose subject a manifest is.
func (w *work) attached(ctx context.Context, d digest.Digest) error {
	referrers, err := w.From.Referrers(ctx, w.repo, d)
	if err != nil {
		return fmt.Errorf("what is attached to it: %w", err)
	}
	for _, r := range referrers {
		if err := w.family(ctx, r); err != nil {
			return fmt.Errorf("%s, which is attached to it: %w", r, err)
		}
		if err := w.prove(ctx, r); err != nil {
			return fmt.Errorf("%s, which is attached to it: %w", r, err)
		}
	}
	return nil
}

// endsAll says that after this error no other image can come.
func endsAll(err error) bool {
	switch c := fault.Of(err); c {
	case fault.Full, fault.Stopped, fault.Closing, fault.Away, fault.Uncertain, fault.Login:
		return true
	default:
		return false
	}
}

package signature

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Records are those of earlier verdicts. A provenance.Book has them.
type Records interface {
	Find(ctx context.Context, q provenance.Query) (provenance.Page, error)
	// Kept returns the records of words whose checkpoints a word may contradict.
	Kept(ctx context.Context, w *provenance.Word) ([]*provenance.Record, error)
	// Forks returns the records of words that proved a fork.
	Forks(ctx context.Context) ([]*provenance.Record, error)
	// Holds says whether a log is ours, and whether it holds a statement.
	Holds(ctx context.Context, origin string, index uint64, payload []byte) (ours, held bool, err error)
}

// An Appraiser looks at signatures as they come to a registry. It is safe for concurrent use; whom it trusts can
// be changed at any time.
type Appraiser struct {
	records Records
	trust   atomic.Pointer[Trust]
	looking chan struct{} // holds one for each manifest that is looked at

	forking sync.Mutex
	forks   map[string]uint64 // of logs of other registries; forking owns it, and each map is never changed
	changed func()            // what is done when a fork was found, which changes what images are worth
}

// The bounds of what is looked at in one manifest, and at once.
const (
	maxLayers  = 16
	maxBytes   = 2 * MaxDocument // of its layers together
	maxLooking = 2
	maxBefore  = 64 // earlier verdicts about the image
)

// NewAppraiser returns an appraiser that trusts nobody yet.
func NewAppraiser(records Records) *Appraiser {
	return &Appraiser{records: records, looking: make(chan struct{}, maxLooking), changed: func() {}}
}

// Trust is who is trusted now, or nil.
func (a *Appraiser) Trust() *Trust { return a.trust.Load() }

// SetTrust changes who is trusted from now on. It may be nil.
func (a *Appraiser) SetTrust(t *Trust) {
	a.forking.Lock()
	defer a.forking.Unlock()
	a.trust.Store(t.forked(a.forks))
}

// Appraise implements registry.Appraiser. What it found before of the same document it does not return
// again: cosign pushes the older signatures with each new one. Where nobody is trusted for the repository it
// finds nothing.
func (a *Appraiser) Appraise(ctx context.Context, to registry.Attachment) ([]provenance.Finding, error) {
	t := a.Trust()
	if to.Own {
		return a.appraiseWord(ctx, t, to)
	}
	if !t.Expects(to.Repository) || !slices.ContainsFunc(to.Layers, isSignature) {
		return nil, nil
	}
	select {
	case a.looking <- struct{}{}:
		defer func() { <-a.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := time.Now()
	findings, err := t.lookAt(ctx, to, now)
	if err == nil {
		err = t.attestCarried(ctx, to, findings, now)
	}
	if err != nil {
		return nil, err
	}
	before, err := a.records.Find(ctx, provenance.Query{
		Repository: to.Repository, Digest: to.Subject, Action: provenance.Attest, Descending: true, Limit: maxBefore,
	})
	known := func(f provenance.Finding) bool {
		last := slices.IndexFunc(before.Records, func(r *provenance.Record) bool {
			return r.Verdict != nil && r.Verdict.Evidence.Digest == f.Verdict.Evidence.Digest && r.Verdict.Line == f.Verdict.Line
		})
		return last >= 0 && before.Records[last].Verdict.SameAs(&f.Verdict)
	}
	return slices.DeleteFunc(findings, known), err
}

// lookAt reads the layers of a manifest that may be signatures, and looks at them. Of what is beyond a bound it finds
// that it is unknown.
func (t *Trust) lookAt(ctx context.Context, to registry.Attachment, now time.Time) (findings []provenance.Finding, err error) {
	left := int64(maxBytes)
	for _, layer := range to.Layers {
		if !isSignature(layer) {
			continue
		}
		d := Document{Subject: to.Subject, Manifest: to.Manifest, Layer: layer}
		if len(findings) >= maxLayers {
			return append(findings[:maxLayers], tooMany(d)), nil
		}
		found, size, err := t.lookAtLayer(ctx, to, d, min(MaxDocument, left), now)
		if err != nil {
			return nil, err
		}
		left -= size
		if most := maxLayers - len(findings); len(found) > most {
			found = append(found[:most], tooMany(d))
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

func tooMany(d Document) provenance.Finding {
	return unread(d, "", fmt.Sprintf("its manifest holds more than %d signatures, and those behind are not read", maxLayers))
}

func (t *Trust) lookAtLayer(ctx context.Context, to registry.Attachment, d Document, most int64, now time.Time) (found []provenance.Finding, size int64, err error) {
	d.Desk = desk.Sit(ctx)
	defer d.Desk.Leave()
	d.Body, err = to.Blob(ctx, d.Layer.Digest, most, d.Desk.Whole)
	if large := new(registry.TooLargeError); errors.As(err, &large) {
		return []provenance.Finding{unread(d, "", provenance.TooLarge(large.Size, most))}, 0, nil
	}
	if err != nil {
		return nil, 0, errors.Join(err, ctx.Err())
	}
	return t.LookAtEach(to.Repository, d, now), int64(len(d.Body)), nil
}

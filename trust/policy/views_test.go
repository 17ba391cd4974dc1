package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
)

// TestViewsOfAPull counts the transactions in which a pull reads. One whose decision is kept has no more than one without
// rules, also after a restart: of an image that is signed, and of a platform whose index has what it lacks itself.
func TestViewsOfAPull(t *testing.T) {
	w := newWorld(t, "rules: []")
	sign, repo := w.trusting("notAfter", time.Now().Add(time.Hour)), w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	sign(repo, d)
	w.attach(repo, d)
	m, blobs = imageOf("two", nil)
	child, err := w.push(repo, "", m, blobs...)
	must(t, err)
	child.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	index, err := w.push(repo, "2.0", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child}})
	must(t, err)
	w.attach(repo, index)
	refs := map[string]int64{"1.0": 0, d.Digest.String(): 0, "2.0": 0, child.Digest.String(): 1} // the index of the platform is read once more
	without := map[string]int64{}
	for ref := range refs {
		w.pull(repo, ref, "")
		without[ref] = w.views(repo, ref)
	}
	w.use(fmt.Sprintf(sbomRule, "pull", "deny"))
	for ref, more := range refs {
		w.decided.Purge()
		anew := w.views(repo, ref)
		remembered := w.views(repo, ref)
		w.restart()
		kept := w.views(repo, ref)
		t.Logf("%s: %d without rules, %d decided anew, %d remembered, %d kept", ref, without[ref], anew, remembered, kept)
		if remembered != without[ref] || kept != without[ref]+more {
			t.Errorf("a pull of %s reads in %d transactions without rules, in %d where the decision is remembered, in %d where it is kept", ref, without[ref], remembered, kept)
		}
	}
}

// views counts the transactions in which a pull reads.
func (w *world) views(repo *remote.Repository, ref string) int64 {
	w.t.Helper()
	before := w.store.views.Load()
	w.pull(repo, ref, "")
	return w.store.views.Load() - before
}

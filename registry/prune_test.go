package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// pruned removes something by a rule, and returns the number of its record, or why it was not removed.
func (s *server) pruned(p Pruning) (r *provenance.Record, others bool, why string) {
	s.t.Helper()
	p.Reason = provenance.RuleReason{Rule: "old", Plan: digest.FromString("plan")}
	r, others, err := s.Prune(background, access.Operator, p)
	var skipped *SkipError
	switch {
	case errors.As(err, &skipped):
		return nil, others, skipped.Why
	case errors.Is(err, ErrEvaluateAgain):
		return nil, others, "evaluate again"
	case err != nil:
		s.t.Fatal(err)
	}
	return r, others, ""
}

func (s *server) newest(repo string) uint64 {
	s.t.Helper()
	n, err := s.Newest(background, repo)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestPrune removes a tag and then its image by a rule, whose name is on record.
func TestPrune(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1", "one") // record 0
	s.pushImage("app", "2", "two")
	newest := s.newest("app")
	if _, _, why := s.pruned(Pruning{Repository: "app", Digest: one.digest, Newest: newest, Strict: true}); why != "it has the tag 1" {
		t.Errorf("an image with a tag: %s", why)
	}
	r, others, why := s.pruned(Pruning{Repository: "app", Tag: "1", Digest: one.digest, Newest: newest})
	if why != "" || others || r.Action != provenance.Untag || *r.Reason != (provenance.RuleReason{Rule: "old", Plan: digest.FromString("plan")}) {
		t.Fatalf("%+v, %v, %s", r, others, why)
	}
	if _, _, why := s.pruned(Pruning{Repository: "app", Tag: "1", Digest: one.digest, Newest: r.Index}); why != "it is not there any more" {
		t.Errorf("a tag twice: %s", why)
	}
	r, _, why = s.pruned(Pruning{Repository: "app", Digest: one.digest, Newest: r.Index, Strict: true})
	if why != "" || r.Action != provenance.Delete || r.Reason == nil {
		t.Fatalf("%+v, %s", r, why)
	}
	if _, _, why := s.pruned(Pruning{Repository: "app", Digest: one.digest, Newest: r.Index}); why != "it is not there any more" {
		t.Errorf("an image twice: %s", why)
	}
	s.want(s.do("GET", "/v2/app/manifests/"+one.digest.String(), nil), 404, "MANIFEST_UNKNOWN")
	s.wantClean()
}

// TestPruneLooksAgain wants nothing to be removed that has changed, or is kept, since it was evaluated.
func TestPruneLooksAgain(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two") // records 0 and 1
	child := s.pushImage("app", "", "child")
	s.pushManifest("app", "index", marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: child.digest, Size: int64(len(child.body))}},
	}))
	newest := s.newest("app")
	prune := func(p Pruning) string {
		t.Helper()
		p.Repository = "app"
		_, _, why := s.pruned(p)
		return why
	}
	if why := prune(Pruning{Digest: child.digest, Record: 2, Newest: newest}); !strings.Contains(why, "needs this manifest") {
		t.Errorf("what an index lists: %s", why)
	}
	if _, err := s.Hold(background, access.Operator, "app", two.digest, time.Now().Add(time.Hour), "an audit"); err != nil {
		t.Fatal(err)
	}
	if why := prune(Pruning{Tag: "2", Digest: two.digest, Record: 1, Newest: newest}); !strings.HasPrefix(why, "it is held until") {
		t.Errorf("what is held: %s", why)
	}
	s.pushManifest("app", "1", two.body)
	if why := prune(Pruning{Tag: "1", Digest: one.digest, Newest: newest}); !strings.HasPrefix(why, "it was set again") {
		t.Errorf("a tag that moved: %s", why)
	}
	s.pushManifest("app", "1", one.body)
	if why := prune(Pruning{Tag: "1", Digest: one.digest, Newest: newest}); !strings.HasPrefix(why, "it was set again") {
		t.Errorf("a tag that moved, and back: %s", why)
	}
	s.pushManifest("app", "old", one.body)
	old := s.newest("app")
	s.pushImage("app", "new", "new")
	p := Pruning{Repository: "app", Tag: "old", Digest: one.digest, Record: old, Newest: old}
	p.Strict = true
	if _, _, why := s.pruned(p); why != "evaluate again" {
		t.Errorf("strictly, after a push: %s", why)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/new", nil), 202, "")
	p.Strict = false
	if _, _, why := s.pruned(p); why != "evaluate again" {
		t.Errorf("after another removal: %s", why)
	}
	p.Newest = s.newest("app")
	s.pushImage("app", "newer", "newer")
	if _, others, why := s.pruned(p); why != "" || !others {
		t.Errorf("after a push: %v, %s", others, why)
	}
	s.wantClean()
}

// TestPruneNobody wants a rule to remove nothing for somebody who may not.
func TestPruneNobody(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1", "one")
	nobody := provenance.Identity{Actor: provenance.Actor{Kind: provenance.Anonymous, Handle: "anonymous"}}
	_, _, err := s.Prune(background, nobody, Pruning{Repository: "app", Tag: "1", Digest: one.digest, Newest: s.newest("app")})
	if err == nil {
		t.Error("it was removed")
	}
	s.want(s.do("GET", "/v2/app/manifests/1", nil), 200, "")
}

// TestPruneBesideTrash empties the trash and brings back from it after an evaluation: neither lets stay what was to go.
func TestPruneBesideTrash(t *testing.T) {
	s := startTrash(t)
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two") // records 0 and 1
	three := s.pushImage("app", "3", "three")
	s.delete("app", two.digest.String())
	s.delete("app", three.digest.String())
	newest := s.newest("app")
	if n, err := s.Empty(background, Emptying{"app", two.digest.String(), access.Operator}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	s.wantBack("app", "3", 1)
	if _, others, why := s.pruned(Pruning{Repository: "app", Tag: "1", Digest: one.digest, Newest: newest}); why != "" || !others {
		t.Errorf("%v, %s", others, why)
	}
	s.wantCollected()
}

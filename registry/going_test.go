package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// tagMany gives an image so many tags, a hundred in a push.
func (s *server) tagMany(repo string, of image, n int) (tags []string) {
	s.t.Helper()
	for i := range n {
		tags = append(tags, fmt.Sprintf("t%05d", i))
	}
	for some := range slices.Chunk(tags, provenance.MaxTags) {
		query := url.Values{"tag": some}
		s.want(s.putManifest(repo, of.digest.String()+"?"+query.Encode(), of.body, typeOf(of.body)), 201, "")
	}
	return tags
}

// beginDelete begins a deletion by alice, and does not go on with it: as if the process were killed there.
func (s *server) beginDelete(repo string, d digest.Digest, c checked) (*deletion, error) {
	r := httptest.NewRequest("DELETE", "/v2/"+repo+"/manifests/"+d.String(), nil)
	r.SetBasicAuth("alice", password)
	caller, err := s.gate.Begin(r)
	if err != nil {
		s.t.Fatal(err)
	}
	parsed, err := parse(r.Method, r.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	del := &deletion{call: &call{request: parsed, who: caller.Who, r: r}, checked: c}
	return del, s.beginDeletion(background, del)
}

// half begins a deletion whose tags are looked at first.
func (s *server) half(repo string, d digest.Digest) *deletion {
	s.t.Helper()
	state, err := s.checkTags(background, repo, d)
	if err != nil {
		s.t.Fatal(err)
	}
	del, err := s.beginDelete(repo, d, state)
	if err != nil || !del.rest {
		s.t.Fatal("nothing is left of the manifest: ", err)
	}
	return del
}

// TestGoing stops a deletion after its first transaction. Nobody sees the manifest or any of its tags any more,
// what is set meanwhile stays, and the next start removes the rest, as the system.
func TestGoing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "", "one")
	tags := s.tagMany("app", one, 2*provenance.MaxTags+50)
	two := s.pushImage("app", "zz", "two")
	about := s.artifact("app", one.digest, "application/sbom", "of one")
	del := s.half("app", one.digest)

	s.wantEnded("app", one, tags)
	again := tags[len(tags)-3]
	moved := s.pushManifest("app", again, two.body)
	if r := s.record(moved.record); len(r.Tags) != 1 || r.Tags[0].Previous != "" {
		t.Errorf("a tag that has ended meant something: %+v", r.Tags)
	}
	refused := s.want(s.putManifest("app", one.digest.String(), one.body), 503, "UNAVAILABLE")
	if refused.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	s.want(s.putManifest("app", tags[0], one.body), 503, "UNAVAILABLE")
	s.want(s.do("DELETE", "/v2/app/manifests/"+tags[1], nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("DELETE", "/v2/app/manifests/"+tags[200], nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 404, "MANIFEST_UNKNOWN")
	if all, _ := s.listReferrers("app", one.digest, ""); len(all) != 1 || all[0].Digest != about.digest {
		t.Errorf("what refers to it: %s", marshal(all))
	}
	if _, err := s.renderOld(background); err != nil {
		t.Error(err)
	}
	s.wantClean()

	s = s.restart()
	s.wantEnded("app", one, slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == again }))
	if n, err := s.endDeletions(background); err != nil || n != 1 {
		t.Errorf("%d deletions were ended, %v", n, err)
	}
	s.wantEnds(one.digest, del.record.Index, tags, again, provenance.Actor{Kind: provenance.System, Handle: "system"})
	if got := s.want(s.do("GET", "/v2/app/manifests/"+again, nil), 200, ""); got.body != two.body {
		t.Error("a tag that was set meanwhile means something else")
	}
	if got := s.do("GET", "/v2/app/tags/list", nil); got.body != marshal(map[string]any{"name": "app", "tags": []string{again, "zz"}})+"\n" {
		t.Errorf("tags %s", got.body)
	}
	if n := s.rows(goingTable) + s.rows(taggedTable); n != 2 {
		t.Errorf("%d rows are left, want 2", n)
	}
	s.wantClean()
	s.pushManifest("app", "back", one.body)
	s.wantClean()
}

// wantEnded wants nobody to see a manifest or its tags.
func (s *server) wantEnded(repo string, one image, tags []string) {
	s.t.Helper()
	for _, ref := range []string{one.digest.String(), tags[0], tags[len(tags)-1]} {
		for _, method := range []string{"GET", "HEAD"} {
			if got := s.do(method, "/v2/"+repo+"/manifests/"+ref, nil); got.status != 404 {
				s.t.Errorf("%s %s: %d", method, ref, got.status)
			}
		}
		if _, err := s.Image(background, repo, ref); !errors.Is(err, ErrUnknown) {
			s.t.Errorf("image %s: %v", ref, err)
		}
	}
	presence, err := s.Presences(background, []RepoDigest{{repo, one.digest}})
	if err != nil || presence[0].Present || len(presence[0].Tags) > 0 {
		s.t.Errorf("%+v, %v", presence, err)
	}
	for last, next := "", "more"; next != ""; last = next {
		var found []TagEntry
		if found, next, err = s.Tags(background, repo, TagQuery{After: last, Limit: 3}); err != nil {
			s.t.Fatal(err)
		}
		for _, tag := range found {
			if tag.Digest == one.digest {
				s.t.Errorf("tag %s is listed", tag.Name)
			}
		}
	}
	for _, tag := range []string{tags[0], tags[len(tags)-1]} {
		if moves, _, err := s.book.History(background, repo, tag, nil, 1); err != nil || len(moves) != 1 || moves[0].To != "" {
			s.t.Errorf("history of %s: %+v, %v", tag, moves, err)
		}
	}
}

// wantEnds wants each tag but one in the record of a deletion, or in one that names it, by an actor.
func (s *server) wantEnds(d digest.Digest, deleted uint64, tags []string, but string, by provenance.Actor) {
	s.t.Helper()
	var ended []string
	for index := deleted; ; index++ {
		r, err := s.book.Get(background, index)
		if errors.Is(err, provenance.ErrNoRecord) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Digest != d {
			continue
		}
		if index > deleted && (r.Action != provenance.Untag || r.Of == nil || *r.Of != deleted || r.Actor != by) {
			s.t.Errorf("record %d: %s of %v by %+v", index, r.Action, r.Of, r.Actor)
		}
		for _, tag := range r.Tags {
			ended = append(ended, tag.Name)
		}
	}
	slices.Sort(ended)
	if want := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == but }); !slices.Equal(ended, want) {
		s.t.Errorf("%d tags ended, want %d", len(ended), len(want))
	}
}

// TestGoingUnseen puts rows into the store that say that an image is going, as somebody would who has no key: none of
// its tags goes, and no record says so.
func TestGoingUnseen(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	img := s.pushImage("team/app", "1.0", "one")
	before := s.records()
	for name, tamper := range map[string]func(storage.Tx){
		"beside its manifest": func(tx storage.Tx) { putGoing(tx, "team/app", img.digest, before-1) },
		"without a record":    func(tx storage.Tx) { putGoing(tx, "team/app", img.digest, before+7) },
		"without its manifest": func(tx storage.Tx) {
			putGoing(tx, "team/app", img.digest, before-1)
			tx.Delete(manifestTable, repoKey("team/app", digestKey(img.digest)))
		},
	} {
		if err := s.store.Update(background, func(tx storage.Tx) error { tamper(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if n, err := s.endDeletions(background); n != 0 || !errors.Is(err, errNoDeletion) {
			t.Errorf("%s: %d ended, %v", name, n, err)
		}
		if after := s.records(); after != before {
			t.Errorf("%s: %d records, %d before", name, after, before)
		}
	}
}

// TestGoingReferences does the same with a manifest that refers to more than goes in one transaction.
func TestGoingReferences(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	child := s.pushImage("app", "", "child")
	held := s.pushBlob("app", "held")
	listed := []ocispec.Descriptor{typed(ocispec.MediaTypeImageManifest, child.body), held}
	for i := range 2 * goingStep {
		listed = append(listed, descriptorOf(fmt.Sprint("absent ", i)))
	}
	body := listing(listed...)
	index := s.pushManifest("app", "1.0", body, typeOf(body))
	s.half("app", index.digest)
	for _, path := range []string{"/v2/app/manifests/" + child.digest.String(), "/v2/app/blobs/" + held.Digest.String()} {
		got := s.do("DELETE", path, nil)
		if got.status != 202 && (got.status != 503 || got.header.Get("Retry-After") == "") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	s.wantClean()
	if n, err := s.endDeletions(background); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if n := s.rows(goingTable); n != 0 {
		t.Errorf("%d manifests are going", n)
	}
	s.wantClean()
}

// TestDeletionIsCut wants no transaction of a large deletion to change more than a few hundred rows, and every
// record of it to be the client's.
func TestDeletionIsCut(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	listed := []ocispec.Descriptor{s.pushBlob("app", "held")}
	for i := range 1500 {
		listed = append(listed, descriptorOf(fmt.Sprint("absent ", i)))
	}
	body := listing(listed...)
	index := s.pushManifest("app", "", body, typeOf(body))
	tags := s.tagMany("app", index, 1000)
	counted := &countedStore{Store: s.store}
	s.store = counted
	got := s.want(s.do("DELETE", "/v2/app/manifests/"+index.digest.String(), nil), 202, "")
	if most := counted.most.Load(); most == 0 || most > 1000 {
		t.Errorf("a transaction changed %d rows", most)
	}
	r := s.record(got.header.Get("Hallmark-Record"))
	s.wantEnds(index.digest, r.Index, tags, "", r.Actor)
	if n := s.rows(goingTable) + s.rows(tagTable) + s.rows(taggedTable) + s.rows(needsTable) + s.rows(neededTable); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	s.wantClean()
}

// countedStore counts the changes of the largest Update.
type countedStore struct {
	storage.Store
	most atomic.Int64
}

func (c *countedStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return c.Store.Update(ctx, func(tx storage.Tx) error {
		n := &countedTx{Tx: tx}
		err := fn(n)
		c.most.Store(max(c.most.Load(), n.changes)) // Updates run one after another
		return err
	})
}

type countedTx struct {
	storage.Tx
	changes int64
}

func (c *countedTx) Put(table storage.Table, key, value []byte) {
	c.changes++
	c.Tx.Put(table, key, value)
}

func (c *countedTx) Delete(table storage.Table, key []byte) {
	c.changes++
	c.Tx.Delete(table, key)
}

// TestImmutableAmongMany refuses to delete a manifest when any one of its many tags is immutable, and sees a tag
// or a rule that comes while they are looked at.
func TestImmutableAmongMany(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "", "one")
	tags := s.tagMany("app", one, checkStep+50)
	before, err := s.checkTags(background, "app", one.digest)
	if err != nil {
		t.Fatal(err)
	}
	s.pushManifest("app", "one-more", one.body)
	if _, err := s.beginDelete("app", one.digest, before); !errors.Is(err, errUnchecked) {
		t.Errorf("a tag came meanwhile: %v", err)
	}
	if before, err = s.checkTags(background, "app", one.digest); err != nil {
		t.Fatal(err)
	}
	if err := s.gate.(*access.Access).AddTeam(background, access.Operator, "core"); err != nil {
		t.Fatal(err)
	}
	if err := s.store.View(background, func(tx storage.Reader) error {
		now, err := s.checkedNow(tx, "app", one.digest)
		if now != before {
			t.Errorf("a team makes who deletes look again: %v, and was %v", now, before)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	s.fix("app", tags[len(tags)-1])
	if _, err := s.beginDelete("app", one.digest, before); !errors.Is(err, errUnchecked) {
		t.Errorf("a rule came meanwhile: %v", err)
	}
	records, _ := s.book.Len(background)
	got := s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 403, "DENIED")
	if !strings.Contains(got.body, tags[len(tags)-1]) {
		t.Errorf("it does not name the tag: %s", got.body)
	}
	s.want(s.do("GET", "/v2/app/manifests/"+tags[0], nil), 200, "")
	if after, _ := s.book.Len(background); after != records {
		t.Error("a refused deletion is on record")
	}
	s.wantClean()
}

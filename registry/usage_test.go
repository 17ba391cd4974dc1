package registry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// used is what a repository is said to use.
func (s *server) used(repo string) Usage {
	s.t.Helper()
	used, err := s.UsageOf(background, []string{repo})
	if err != nil {
		s.t.Fatal(err)
	}
	return used[0]
}

func (s *server) wantUsed(when, repo string, want Usage) {
	s.t.Helper()
	if got := s.used(repo); got != want {
		s.t.Errorf("%s %s uses %+v, want %+v", when, repo, got, want)
	}
}

// usageOfImage is what an image of one layer and its config uses.
func usageOfImage(content, body string) Usage {
	return Usage{Blobs: 2, BlobBytes: int64(len("layer "+content) + len(configOf(content))), Manifests: 1, ManifestBytes: int64(len(body))}
}

// TestUsage follows what repositories use through everything that changes it.
func TestUsage(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	one := s.pushImage("app", "1", "one")
	want := usageOfImage("one", one.body)
	want.Tags = 1
	s.wantUsed("pushed:", "app", want)
	s.pushImage("app", "1", "one")
	s.wantUsed("pushed again:", "app", want)
	s.pushManifest("app", "2", one.body)
	want.Tags++
	s.wantUsed("tagged:", "app", want)
	two := s.pushImage("app", "2", "two")
	want = want.Plus(usageOfImage("two", two.body))
	s.wantUsed("its tag moved:", "app", want)
	s.want(s.do("DELETE", "/v2/app/manifests/2", nil), 202, "")
	want.Tags--
	s.wantUsed("untagged:", "app", want)

	blob := descriptorOf("layer one")
	for range 2 {
		s.want(s.do("POST", "/v2/web/blobs/uploads/?from=app&mount="+blob.Digest.String(), nil), 201, "")
	}
	s.wantUsed("mounted:", "web", Usage{Blobs: 1, BlobBytes: blob.Size})
	s.want(s.do("DELETE", "/v2/web/blobs/"+blob.Digest.String(), nil), 202, "")
	s.wantUsed("unlinked:", "web", Usage{})

	large := s.pushManifest("index", "large", largeIndex(), header("Content-Type", ocispec.MediaTypeImageIndex))
	s.wantUsed("a large manifest:", "index", Usage{Blobs: 1, BlobBytes: int64(len(large.body)), Manifests: 1, Tags: 1})
	s.wantClean()

	for _, i := range []image{one, two} {
		s.want(s.do("DELETE", "/v2/app/manifests/"+i.digest.String(), nil), 202, "")
	}
	s.want(s.do("DELETE", "/v2/index/manifests/"+large.digest.String(), nil), 202, "")
	s.later(2 * time.Hour)
	s.wantFiles(0)
	for _, repo := range []string{"app", "index"} {
		s.wantUsed("emptied:", repo, Usage{})
	}
	if n := s.rows(usageTable); n != 0 {
		t.Errorf("%d rows are left of empty repositories", n)
	}
	s.wantClean()
}

// TestUsageOfTheGoing follows the tags of a manifest that goes in several transactions, one of which is set again meanwhile.
func TestUsageOfTheGoing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one, other := s.pushImage("app", "", "one"), s.pushImage("app", "", "other")
	tags := s.tagMany("app", one, 250)
	s.half("app", one.digest)
	s.pushManifest("app", tags[len(tags)-1], other.body)
	s.wantClean()
	if _, err := s.endDeletions(background); err != nil {
		t.Fatal(err)
	}
	if got := s.used("app").Tags; got != 1 {
		t.Errorf("%d tags are counted", got)
	}
	s.wantClean()
}

// TestCountUsage counts an older store, and one where counting was stopped in between.
func TestCountUsage(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for i := range 3 {
		s.pushImage(fmt.Sprint("app", i), "latest", fmt.Sprint(i))
	}
	s.tagMany("app0", s.pushImage("app0", "", "x"), usageStep+10)
	s.pushManifest("app1", "large", largeIndex(), header("Content-Type", ocispec.MediaTypeImageIndex))
	want := []Usage{s.used("app0"), s.used("app1"), s.used("app2")}
	for name, before := range map[string]func(tx storage.Tx){
		"none": func(tx storage.Tx) { tx.Delete(usageTable, []byte("app0")) },
		"some": func(tx storage.Tx) {
			tx.Put(usageTable, []byte("app2"), usageRow{changes: 1, Usage: Usage{Tags: 7}}.encode())
			tx.Put(usageTable, []byte("gone"), usageRow{changes: 1, Usage: Usage{Tags: 7}}.encode())
		},
	} {
		if err := s.store.Update(background, func(tx storage.Tx) error { before(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := CountUsage(background, s.store); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			s.wantUsed(name+" were counted:", fmt.Sprint("app", i), w)
		}
		s.wantClean()
	}
}

// TestUsageIsChecked finds each number that is wrong, also where the repository never rests.
func TestUsageIsChecked(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "latest", "one")
	s.pushImage("web", "latest", "two")
	set := func(repo string, edit func(*usageRow)) {
		t.Helper()
		err := s.store.Update(background, func(tx storage.Tx) error {
			row, err := readUsage(tx, repo)
			if edit(&row); err != nil || row == (usageRow{}) {
				tx.Delete(usageTable, []byte(repo))
				return err
			}
			tx.Put(usageTable, []byte(repo), row.encode())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := func() (all []string) {
		t.Helper()
		if _, err := s.Check(background, false, func(err error) { all = append(all, err.Error()) }); err != nil {
			t.Error(err)
		}
		return all
	}
	for name, edit := range map[string]func(*usageRow){
		"blobs":          func(u *usageRow) { u.Blobs++ },
		"blob bytes":     func(u *usageRow) { u.BlobBytes-- },
		"manifests":      func(u *usageRow) { u.Manifests = -5 },
		"manifest bytes": func(u *usageRow) { u.ManifestBytes++ },
		"tags":           func(u *usageRow) { u.Tags++ },
		"everything":     func(u *usageRow) { *u = usageRow{} },
	} {
		var was usageRow
		set("app", func(u *usageRow) { was = *u; edit(u) })
		if all := found(); len(all) == 0 || !strings.Contains(strings.Join(all, "\n"), "repository app") {
			t.Errorf("%s: found %q", name, all)
		}
		set("app", func(u *usageRow) { *u = was })
	}
	set("nobody/here", func(u *usageRow) { u.Tags = 1 })
	if all := found(); len(all) != 1 {
		t.Errorf("found %q", all)
	}
	set("nobody/here", func(u *usageRow) { *u = usageRow{} })

	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				s.tryPush("app", fmt.Sprint(i))
			}
		}
	})
	for range 5 {
		if all := found(); len(all) != 0 {
			t.Errorf("beside pushes the check found %q", all)
		}
	}
	close(stop)
	busy.Wait()
	s.wantClean()
}

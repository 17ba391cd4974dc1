package registry

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestServedFollowsFromRecords changes what is served by the keys of the store alone, with every other row as it would be,
// and wants to be told what was changed, from what to what, and since which record: nothing else.
func TestServedFollowsFromRecords(t *testing.T) {
	const repo = "team/app"
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage(repo, "latest", "one")                                                                               // record 0
	two := s.pushImage(repo, "latest", "two")                                                                               // record 1
	s.pushManifest(repo, "2.0", two.body)                                                                                   // record 2
	bare := s.pushImage(repo, "", "bare")                                                                                   // record 3
	s.artifact(repo, two.digest, "application/vnd.example.note", "a note")                                                  // record 4
	s.want(s.do("DELETE", "/v2/"+repo+"/manifests/2.0", nil), 202, "")                                                      // record 5
	if _, err := s.Hold(background, access.Operator, repo, one.digest, time.Now().Add(time.Hour), "an audit"); err != nil { // record 6
		t.Fatal(err)
	}
	s.wantClean()

	ones, twos := digestKey(one.digest), digestKey(two.digest)
	row := func(i image) []byte { return repoKey(repo, digestKey(i.digest)) }
	tag := func(name string) []byte { return repoKey(repo, []byte(name)) }
	cases := map[string]struct {
		tamper func(tx storage.Tx)
		says   []string
	}{
		"a tag is rolled back": {func(tx storage.Tx) {
			tx.Put(tagTable, tag("latest"), tagRow{0, one.digest}.encode())
			tx.Delete(taggedTable, repoKey(repo, twos, []byte("latest")))
			tx.Put(taggedTable, repoKey(repo, ones, []byte("latest")), nil)
		}, []string{"team/app:latest means ONE since record 0; by the records it means TWO since record 1"}},
		"a tag is dropped": {func(tx storage.Tx) {
			tx.Delete(tagTable, tag("latest"))
			tx.Delete(taggedTable, repoKey(repo, twos, []byte("latest")))
		}, []string{"team/app:latest is not there; by the records it means TWO since record 1"}},
		"a removed tag comes back": {func(tx storage.Tx) {
			tx.Put(tagTable, tag("2.0"), tagRow{2, two.digest}.encode())
			tx.Put(taggedTable, repoKey(repo, twos, []byte("2.0")), nil)
		}, []string{"team/app:2.0 means TWO since record 2; by the records it means nothing"}},
		"a tag is said to be older": {func(tx storage.Tx) {
			tx.Put(tagTable, tag("latest"), tagRow{0, two.digest}.encode())
		}, []string{"team/app:latest means TWO since record 0; by the records it means TWO since record 1"}},
		"a manifest goes": {func(tx storage.Tx) {
			tx.Delete(manifestTable, row(bare))
		}, []string{"team/app@BARE is not there; by the records it is, since record 3"}},
		"a manifest arrived otherwise": {func(tx storage.Tx) {
			value, err := tx.Get(manifestTable, row(one))
			if err != nil {
				t.Fatal(err)
			}
			m, err := decodeManifestRow(value)
			if err != nil {
				t.Fatal(err)
			}
			m.record = 3
			tx.Put(manifestTable, row(one), m.encode())
		}, []string{"team/app@ONE is there since record 3; by the records it came with record 0"}},
		"a manifest is copied to where it never was": {func(tx storage.Tx) {
			value, err := tx.Get(manifestTable, row(one))
			if err != nil {
				t.Fatal(err)
			}
			tx.Put(manifestTable, repoKey("other", ones), slices.Clone(value))
			tx.Put(repositoryTable, []byte("other"), nil)
		}, []string{"other@ONE is there since record 0; by the records it is not"}},
		"an image loses its provenance": {func(tx storage.Tx) {
			if err := removeRendered(tx, repo, twos); err != nil {
				t.Fatal(err)
			}
		}, []string{"team/app@TWO has no provenance among its referrers; by the records it has had a tag since record 1"}},
		"an image gets the provenance of another": {func(tx storage.Tx) {
			if err := removeRendered(tx, repo, twos); err != nil {
				t.Fatal(err)
			}
			out, err := renderRecord(tx, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := out.put(tx, repo, twos); err != nil {
				t.Fatal(err)
			}
		}, []string{"team/app@TWO has record 0 as its provenance; it came with record 1, and had its first tag with record 1"}},
		"an image without a tag gets provenance": {func(tx storage.Tx) {
			out, err := renderRecord(tx, 3)
			if err != nil {
				t.Fatal(err)
			}
			if err := out.put(tx, repo, digestKey(bare.digest)); err != nil {
				t.Fatal(err)
			}
		}, []string{"team/app@BARE has record 3 as its provenance; by the records it never had a tag"}},
		"what is known is said to be older": {func(tx storage.Tx) {
			tx.Put(knownTable, row(two), binary.AppendUvarint(nil, 2))
		}, []string{"what is known of team/app@TWO is said to have changed last with record 2; by the records it did with record 4"}},
		"a hold is dropped": {func(tx storage.Tx) {
			tx.Delete(heldTable, row(one))
		}, []string{"team/app@ONE is not held; by the records it is, until UNTIL by record 6"}},
		"a hold ends sooner": {func(tx storage.Tx) {
			tx.Put(heldTable, row(one), heldRow{record: 6}.encode())
		}, []string{"team/app@ONE is held until 1970-01-01T00:00:00.000000Z by record 6; by the records it is until UNTIL by record 6"}},
		"an image is held that nobody holds": {func(tx storage.Tx) {
			tx.Put(heldTable, row(two), heldRow{record: 1}.encode())
		}, []string{"team/app@TWO is held by record 1; by the records it is not"}},
		"what is known is said to be the first": {func(tx storage.Tx) {
			tx.Delete(knownTable, row(two))
		}, []string{"what is known of team/app@TWO is not said to have changed; by the records it did with record 4"}},
	}
	names := strings.NewReplacer("ONE", one.digest.String(), "TWO", two.digest.String(), "BARE", bare.digest.String(),
		"UNTIL", s.record("6").Hold.Until.String())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			undo := s.tamper(c.tamper)
			defer undo()
			said := s.said()
			for i, want := range c.says {
				c.says[i] = "damaged: " + names.Replace(want)
			}
			said = slices.DeleteFunc(said, func(line string) bool {
				return !strings.Contains(line, "by the records") && !strings.Contains(line, "it came with")
			})
			if !slices.Equal(said, c.says) {
				t.Errorf("fsck says\n%s\nand not\n%s", strings.Join(said, "\n"), strings.Join(c.says, "\n"))
			}
		})
	}
	s.wantClean()
}

// TestTypePutBack wants a check to find a manifest that is served as a type that it had before, or never had.
func TestTypePutBack(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	body := marshal(map[string]any{"schemaVersion": 2, "config": s.pushBlob("app", "{}"), "layers": []any{}})
	var one image
	for _, mediaType := range []string{ocispec.MediaTypeImageManifest, dockerManifest} {
		one = s.pushManifest("app", "1", body, header("Content-Type", mediaType))
	}
	s.wantClean()
	for _, mediaType := range []string{ocispec.MediaTypeImageManifest, "text/html"} {
		undo := s.tamper(func(tx storage.Tx) {
			key := repoKey("app", digestKey(one.digest))
			value, err := tx.Get(manifestTable, key)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := decodeManifestRow(value)
			m.mediaType = mediaType
			if err != nil {
				t.Error(err)
			}
			tx.Put(manifestTable, key, m.encode())
		})
		want := "damaged: app@" + one.digest.String() + " is served as " + mediaType + "; by the records it is " + dockerManifest
		if said := s.said(); !slices.Contains(said, want) {
			t.Errorf("fsck says %q", said)
		}
		undo()
	}
}

// tamper changes the store, and returns what puts everything back.
func (s *server) tamper(change func(storage.Tx)) (undo func()) {
	s.t.Helper()
	var j journal
	update := func(fn func(tx storage.Tx)) {
		if err := s.store.Update(background, func(tx storage.Tx) error { fn(tx); return nil }); err != nil {
			s.t.Fatal(err)
		}
	}
	update(func(tx storage.Tx) {
		j = journal{Tx: tx}
		change(&j)
	})
	return func() {
		update(func(tx storage.Tx) {
			for _, undo := range slices.Backward(j.undo) {
				undo(tx)
			}
		})
	}
}

// said is what a check says.
func (s *server) said() (said []string) {
	s.t.Helper()
	if _, err := s.Check(background, false, func(err error) { said = append(said, err.Error()) }); err != nil {
		s.t.Error(err)
	}
	return said
}

// journal is a transaction that can be undone by another.
type journal struct {
	storage.Tx
	undo []func(storage.Tx)
}

func (j *journal) remember(table storage.Table, key []byte) {
	key = slices.Clone(key)
	value, err := j.Get(table, key)
	value = slices.Clone(value)
	j.undo = append(j.undo, func(tx storage.Tx) {
		if err != nil {
			tx.Delete(table, key)
			return
		}
		tx.Put(table, key, value)
	})
}

func (j *journal) Put(table storage.Table, key, value []byte) {
	j.remember(table, key)
	j.Tx.Put(table, key, value)
}

func (j *journal) Delete(table storage.Table, key []byte) {
	j.remember(table, key)
	j.Tx.Delete(table, key)
}

// TestKept keeps something beside an image: nothing counts that this registry did not keep there, as it is, under its key.
func TestKept(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	two, one := s.pushImage("app", "2", "two"), s.pushImage("app", "1", "one") // nothing is kept under record 0
	parts := []digest.Digest{one.digest}
	place, other := repoKey("app", digestKey(one.digest)), repoKey("app", digestKey(two.digest))
	s.SetKeptKey([]byte("a key"))
	version, err := s.Version(background, "app", parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(background, "app", version, Kept{Of: parts, Body: []byte(`{"grade":"F"}`)}); err != nil {
		t.Fatal(err)
	}
	row := func(tx storage.Tx) []byte {
		value, err := tx.Get(keptTable, place)
		if err != nil {
			t.Error(err)
		}
		return slices.Clone(value)
	}
	for name, c := range map[string]struct {
		tamper func(tx storage.Tx)
		kept   string
		fault  bool
	}{
		"as it was": {func(storage.Tx) {}, `{"grade":"F"}`, false},
		"another opinion": {func(tx storage.Tx) {
			tx.Put(keptTable, place, []byte(strings.Replace(string(row(tx)), "F", "A", 1)))
		}, "", true},
		"another version": {func(tx storage.Tx) { tx.Put(keptTable, place, append([]byte{7}, row(tx)[1:]...)) }, "", true},
		"that of another image": {func(tx storage.Tx) {
			tx.Put(keptTable, place, s.keptKeyNow().row(other, version, Kept{Of: parts, Body: []byte("{}")}.encode()))
		}, "", true},
		"one that is cut": {func(tx storage.Tx) { tx.Put(keptTable, place, row(tx)[:20]) }, "", true},
		"one without a MAC": {func(tx storage.Tx) {
			tx.Put(keptTable, place, append(binary.AppendUvarint(nil, version), `{"grade":"A"}`...))
		}, "", false},
		"one under another key": {func(tx storage.Tx) {
			tx.Put(keptTable, place, keptKey("another key").row(place, version, Kept{Of: parts, Body: []byte(`{"grade":"A"}`)}.encode()))
		}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			undo := s.tamper(c.tamper)
			defer undo()
			if p, err := s.Reading(background, "app", one.digest); err != nil || string(p.Kept.Body) != c.kept {
				t.Errorf("%s is kept, %v", p.Kept.Body, err)
			}
			said := s.said()
			if fault := len(said) == 1 && strings.Contains(said[0], "what is kept of app@"+one.digest.String()); fault != c.fault || len(said) > 1 {
				t.Errorf("fsck says %q", said)
			}
		})
	}
}

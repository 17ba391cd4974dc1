package registry

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestRenderedAsReadBack wants a record that was just made to be rendered as it is ever after, when it is read from the store:
// whatever its texts, the shape of the tree and the changes of the key.
func TestRenderedAsReadBack(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for n := range 18 {
		if n%5 == 4 {
			next, err := receipt.GenerateSigner()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.book.Rotate(background, access.Operator, next); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range []string{"https://git.example/app", "a<b>&\u2028", "no \xff\xfe UTF-8", `\ufffd`, "\ufffd"} {
			s.wantRenderedAlike(text)
		}
	}
}

func (s *server) wantRenderedAlike(text string) {
	s.t.Helper()
	err := s.store.Update(background, func(tx storage.Tx) error {
		e := provenance.Event{Action: provenance.Push, Repository: "app", Who: access.Operator, Digest: digest.FromString(text)}
		e.Observed.MediaType, e.Observed.Size = "application/vnd.oci.image.manifest.v1+json", 7
		e.Tags = []provenance.TagMove{{Name: "1.0", Now: e.Digest}}
		e.Claimed = []provenance.Claim{{Fact: provenance.FactSource, Value: text}}
		r, proved, err := s.book.AppendProved(tx, e)
		if err != nil {
			return err
		}
		made, err := newestForm.renderProved(tx, r, proved)
		if err != nil {
			return err
		}
		again, err := renderRecord(tx, r.Index)
		if err != nil {
			return err
		}
		if !bytes.Equal(made.manifest, again.manifest) || !reflect.DeepEqual(made, again) {
			s.t.Errorf("%q, record %d is rendered as\n%s\nand from the store as\n%s", text, r.Index, made.manifest, again.manifest)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// BenchmarkRendered renders a record that was just made from what made it, and from the store: what lies between is what a push
// saves.
func BenchmarkRendered(b *testing.B) {
	s := startServer(b, b.TempDir(), Config{})
	s.pushImage("app", "", "one")
	err := s.store.Update(background, func(tx storage.Tx) error {
		e := provenance.Event{Action: provenance.Push, Repository: "app", Who: access.Operator, Digest: digest.FromString("x")}
		r, proved, err := s.book.AppendProved(tx, e)
		if err != nil {
			return err
		}
		b.Run("made", func(b *testing.B) {
			for b.Loop() {
				if _, err = newestForm.renderProved(tx, r, proved); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("read", func(b *testing.B) {
			for b.Loop() {
				if _, err = renderRecord(tx, r.Index); err != nil {
					b.Fatal(err)
				}
			}
		})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

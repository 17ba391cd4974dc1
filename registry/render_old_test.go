package registry

import (
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestRenderOld takes the provenance of images away, as stores have it that are older than it, and wants it to come
// back once: for images with tags, and for nothing else.
func TestRenderOld(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	const images = renderStep + 5
	for i := range images {
		s.pushImage("team/app", fmt.Sprint("t", i), fmt.Sprint("one", i))
	}
	tagged := s.pushImage("team/app", "again", "one0")
	untagged := s.pushImage("team/app", "", "none")
	about := s.artifact("team/app", tagged.digest, "application/sbom", "x")
	s.want(s.putManifest("team/app", "sbom", about.body), 201, "")
	kept := s.provenanceOf("team/app", tagged.digest).Digest
	rendered := s.rows(provenanceTable)
	take := func() {
		err := s.store.Update(background, func(tx storage.Tx) error {
			for item, err := range tx.Scan(provenanceTable, nil, nil) {
				if err != nil {
					return err
				}
				repo, key := cutRepo(item.Key)
				if err := removeRendered(tx, repo, key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	take()
	if n, err := s.renderOld(background); err != nil || n != images || s.rows(provenanceTable) != rendered {
		t.Errorf("rendered %d of %d, %v; %d rows, want %d", n, images, err, s.rows(provenanceTable), rendered)
	}
	if got := s.provenanceOf("team/app", tagged.digest).Digest; got != kept {
		t.Errorf("the referrer was %s and is %s", kept, got)
	}
	if all, _ := s.listReferrers("team/app", untagged.digest, ""); len(all) != 0 {
		t.Errorf("an image without a tag has %v", all)
	}
	s.wantClean()
	take()
	if n, err := s.renderOld(background); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
}

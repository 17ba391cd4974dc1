package web

import (
	"html/template"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// TestPiecesEscape wants the parts of pages that no template makes to show hostile text as text.
func TestPiecesEscape(t *testing.T) {
	const hostile = `"><script>alert('x')</script>&`
	actor := provenance.Actor{Kind: provenance.User, Handle: hostile}
	image := listedImage{Grade: hostile, Built: &provenance.Built{Class: hostile, Source: hostile, Revision: hostile}, Attached: []attached{{Tag: hostile}, {ArtifactType: hostile, Digest: hostile}}}
	record := &provenance.Record{Actor: actor, Action: hostile, Repository: hostile, Digest: hostile, Tags: []provenance.TagMove{{Name: hostile}}}
	last := &happenedLast{Actor: actor}
	last.Image = &struct {
		Digest digest.Digest `json:"digest"`
		Tags   []string      `json:"tags"`
		listedImage
	}{hostile, []string{hostile}, image}
	for name, piece := range map[string]template.HTML{
		"tags":         repositoryView{Repository: hostile, Removes: true, Tags: []tagEntry{{Name: hostile, Digest: hostile, Actor: actor, listedImage: image}}}.Rows(),
		"repositories": homeView{Repositories: []repositoryEntry{{Name: hostile, Newest: last}}}.Rows(),
		"moves":        historyView{Repository: hostile, Moves: []move{{Move: provenance.Move{From: hostile, To: "sha256:" + hostile, Record: record}, Built: image.Built}}}.Rows(),
		"changes":      changeRows(linesOf([]*provenance.Record{record}), nil, time.Now()),
		"class":        classPiece(hostile), "digest": digestPiece("sha256:" + hostile), "grade": gradePiece(hostile), "image": imageLink(hostile, hostile),
		"moment": momentPiece(provenance.At(time.Time{}), time.Now()), "record": recordLink(7),
	} {
		if s := string(piece); strings.Contains(s, "<script") || strings.Contains(s, `""`) || strings.Contains(s, "alert('") {
			t.Errorf("%s: %s", name, s)
		}
	}
}

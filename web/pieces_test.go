package web

import (
	"html/template"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestPiecesEscape wants the parts of pages that no template makes to show hostile text as text.
func TestPiecesEscape(t *testing.T) {
	const hostile = `"><script>alert('x')</script>&`
	for name, piece := range map[string]template.HTML{
		"class": classPiece(hostile), "digest": digestPiece("sha256:" + hostile), "grade": gradePiece(hostile), "image": imageLink(hostile, hostile),
		"moment": momentPiece(provenance.At(time.Time{}), time.Now()), "record": recordLink(7),
	} {
		if s := string(piece); strings.Contains(s, "<script") || strings.Contains(s, `""`) || strings.Contains(s, "alert('") {
			t.Errorf("%s: %s", name, s)
		}
	}
}

package provenance

import (
	"strings"
	"testing"
)

// TestFormerRecord is what a signed record may say of the one before, and what is a gap.
func TestFormerRecord(t *testing.T) {
	t.Parallel()
	d, three, nine := dig("x"), uint64(3), uint64(9)
	stated, old := &Record{Index: 9, Manifest: ManifestAdded}, &Record{Index: 9}
	for name, c := range map[string]struct {
		record     *Record
		move       TagMove
		before     uint64
		ends, says string
	}{
		"the first":           {stated, TagMove{Now: d}, 0, "it meant nothing before", ""},
		"a former one":        {stated, TagMove{Now: d, Previous: d, Since: &three}, 3, "", ""},
		"an older version":    {old, TagMove{Previous: d}, 0, "record 9 is of a version that did not name the record before", ""},
		"a gap":               {stated, TagMove{Now: d, Previous: d}, 0, "", "there is a gap: record 9 says that it meant sha256:"},
		"itself":              {stated, TagMove{Now: d, Previous: d, Since: &nine}, 0, "", "since record 9"},
		"nothing since three": {stated, TagMove{Now: d, Since: &three}, 0, "", `it meant "" since record 3`},
	} {
		before, ends, err := c.record.Former(c.move)
		if before != c.before || ends != c.ends || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d, %q, %v", name, before, ends, err)
		}
	}
	r := &Record{Index: 9, Action: Push, Repository: "team/app", Digest: d, Tags: []TagMove{{Name: "1", Now: d}}}
	if _, err := r.SetsTag("team/app", "1", d); err != nil {
		t.Error(err)
	}
	if _, err := r.SetsTag("team/app", "1", dig("y")); err == nil || !strings.Contains(err.Error(), "is to have set it to") {
		t.Error(err)
	}
	r.Repository = "team/other"
	if _, err := r.SetsTag("team/app", "1", d); err == nil || !strings.Contains(err.Error(), "does not name it") {
		t.Error(err)
	}
}

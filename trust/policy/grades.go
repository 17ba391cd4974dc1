package policy

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
)

// Lists show grades, and inspect nothing: they show what is kept of reports that were made for another reason, because a rule
// asked for one, or because somebody did.

// Grades returns the grade of each image by the report that is kept beside it: "" where none is kept that counts, or
// where it has no grade.
func (e *Engine) Grades(ctx context.Context, images []registry.RepoDigest) ([]trust.Grade, error) {
	grades := make([]trust.Grade, len(images))
	stamp := e.stamp(e.c.Inspect())
	err := e.c.Registry.KeptOf(ctx, images, func(i int, k registry.Kept) {
		if grades[i] = ""; k.Body == nil {
			return
		}
		if head := headOf(k.Body); head.By == stamp && e.now().Before(head.Until) {
			grades[i] = head.Grade
		}
	})
	return grades, err
}

// headOf reads what stands before the report. It is the zero value where an older version wrote it, without a grade there.
func headOf(body []byte) (head keptReport) {
	d := json.NewDecoder(bytes.NewReader(body))
	_, err := d.Token() // {
	for _, field := range []struct {
		name  string
		value any
	}{{"by", &head.By}, {"until", &head.Until}, {"grade", &head.Grade}} {
		if err != nil {
			return keptReport{}
		}
		if name, _ := d.Token(); name != field.name {
			return keptReport{}
		}
		err = d.Decode(field.value)
	}
	if err != nil {
		return keptReport{}
	}
	return head
}

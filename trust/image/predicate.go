package image

import (
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// What checks need of a document is taken from it while it is read: a large one is not kept.

// inPlace is a JSON value where it lies in the text that is read. It implements json.Unmarshaler.
type inPlace []byte

// UnmarshalJSON implements json.Unmarshaler.
func (p *inPlace) UnmarshalJSON(text []byte) error {
	*p = text
	return nil
}

// read takes from a document, or the predicate of a statement, what checks ask for.
func (d *document) read(text []byte) {
	switch d.kind {
	case sbomKind:
		d.licensed = licencesIn(text)
	case vulnerabilityKind:
		d.reported = reportedIn(text)
	}
}

// time is when a report was made: by what it says itself, else by what its manifest says.
func (d *document) time() time.Time {
	if !d.reported.IsZero() {
		return d.reported.UTC()
	}
	return d.made.UTC()
}

// reportedIn is when a report was made, or zero.
func reportedIn(report []byte) time.Time {
	var p struct {
		Metadata struct {
			ScanFinishedOn time.Time `json:"scanFinishedOn"`
		} `json:"metadata"`
		CreatedAt time.Time `json:"CreatedAt"` // trivy
	}
	if strictjson.Unmarshal(report, &p) != nil {
		return time.Time{}
	}
	if p.Metadata.ScanFinishedOn.IsZero() {
		return p.CreatedAt
	}
	return p.Metadata.ScanFinishedOn
}

// visit is told of one thing, by what it has functions for. It implements strictjson.Visitor.
type visit struct {
	member  func(key string) strictjson.Visitor
	element func() strictjson.Visitor
	text    func(s string)
}

// Member implements strictjson.Visitor.
func (v visit) Member(key []byte) (strictjson.Visitor, error) {
	if v.member == nil {
		return nil, nil
	}
	return v.member(string(key)), nil
}

// Element implements strictjson.Visitor.
func (v visit) Element(int) strictjson.Visitor {
	if v.element == nil {
		return nil
	}
	return v.element()
}

// Text implements strictjson.Visitor.
func (v visit) Text(s string) {
	if v.text != nil {
		v.text(s)
	}
}

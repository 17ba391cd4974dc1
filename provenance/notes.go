package provenance

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The annotations that a provenance referrer has.
const (
	NoteRecord = OwnAnnotations + "record"       // the index of its record
	NoteClass  = OwnAnnotations + "source-class" // what the source and the revision rest on
)

// NamesOfFacts are the annotations in which a referrer repeats what a record claims, by the fact.
var NamesOfFacts = map[string]string{FactSource: ocispec.AnnotationSource, FactRevision: ocispec.AnnotationRevision}

// Notes are the annotations of a provenance referrer that every record gives.
func Notes(r *Record) map[string]string {
	return map[string]string{
		NoteRecord: strconv.FormatUint(r.Index, 10), OwnAnnotations + "pushed-at": r.Time.String(), OwnAnnotations + "pushed-by": r.Actor.Known(),
	}
}

// WrongNote returns the first annotation of a provenance referrer, by name, that says what its record does not: one that only a
// registry may give, or a source or revision. want is what the record says, or "".
func WrongNote(r *Record, annotations map[string]string) (name, want string, wrong bool) {
	says, facts := Notes(r), map[string]string{}
	says[NoteClass] = string(Claimed)
	for fact, name := range NamesOfFacts {
		facts[name] = fact
	}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		value, fact := annotations[name], facts[name]
		claims := func(c Claim) bool { return c.Fact == fact && c.Value == value }
		switch want, known := says[name]; {
		case known && value != want, strings.HasPrefix(name, OwnAnnotations) && !known:
			return name, want, true
		case fact != "" && !slices.ContainsFunc(r.Claimed, claims):
			return name, "", true
		}
	}
	return "", "", false
}

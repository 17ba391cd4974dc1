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

// WrongNote returns the first annotation of a provenance referrer, by name, that says what its record does not: one that every referrer
// has, or a source or revision. want is what the record says, or "". Those that a newer registry may have added are UnknownNotes.
func WrongNote(r *Record, annotations map[string]string) (name, want string, wrong bool) {
	says, facts := knownNotes(r), map[string]string{}
	for fact, name := range NamesOfFacts {
		facts[name] = fact
	}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		value, fact := annotations[name], facts[name]
		claims := func(c Claim) bool { return c.Fact == fact && c.Value == value }
		switch want, known := says[name]; {
		case known && value != want:
			return name, want, true
		case fact != "" && !slices.ContainsFunc(r.Claimed, claims):
			return name, "", true
		}
	}
	return "", "", false
}

// knownNotes are all annotations that a registry of this version gives a provenance referrer.
func knownNotes(r *Record) map[string]string {
	says := Notes(r)
	says[NoteClass] = string(Claimed)
	return says
}

// UnknownNotes are the annotations of a provenance referrer, by name, that only a registry may give and this version does not know. A newer
// registry may have given them, or anybody who copied the artifact: nothing proves what they say, so nothing is taken from them.
func UnknownNotes(annotations map[string]string) (names []string) {
	known := knownNotes(&Record{})
	for name := range annotations {
		if _, is := known[name]; !is && strings.HasPrefix(name, OwnAnnotations) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

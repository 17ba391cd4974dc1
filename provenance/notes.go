package provenance

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WrongNote returns the first annotation of a provenance referrer, by name, that says what its record does not: one that only a
// registry may give, or a source or revision. want is what the record says, or "".
func WrongNote(r *Record, annotations map[string]string) (name, want string, wrong bool) {
	says := map[string]string{
		OwnAnnotations + "record": strconv.FormatUint(r.Index, 10), OwnAnnotations + "pushed-at": r.Time.String(),
		OwnAnnotations + "pushed-by": r.Actor.Known(), OwnAnnotations + "source-class": string(Claimed),
	}
	facts := map[string]string{ocispec.AnnotationSource: FactSource, ocispec.AnnotationRevision: FactRevision}
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

package mirror

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Of an index some platforms can be left out. The index comes as it is, byte for byte, and lists what is not here: who asks for such a
// platform is told that it is not there.

// A Platform is one that is wanted: an operating system, an architecture and, where it matters, a variant.
type Platform struct{ OS, Architecture, Variant string }

var platformPattern = regexp.MustCompile(`^[a-z0-9_.-]{1,32}/[a-z0-9_.-]{1,32}(/[a-z0-9_.-]{1,32})?$`)

// ParsePlatform reads a Platform as UnmarshalText does.
func ParsePlatform(text string) (p Platform, err error) { return p, p.UnmarshalText([]byte(text)) }

// String is how UnmarshalText reads it.
func (p Platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// UnmarshalText reads OS/ARCHITECTURE[/VARIANT], as docker writes it.
func (p *Platform) UnmarshalText(text []byte) error {
	if !platformPattern.Match(text) {
		return fmt.Errorf("%.100q is no platform: write it as linux/amd64 or linux/arm/v7", text)
	}
	parts := append(strings.Split(string(text), "/"), "")
	*p = Platform{parts[0], parts[1], parts[2]}
	return nil
}

// is says whether a manifest for a platform is wanted by p. arm64 is of the variant v8 where none is named.
func (p Platform) is(has *ocispec.Platform) bool {
	variant := has.Variant
	if has.Architecture == "arm64" && variant == "" {
		variant = "v8"
	}
	return p.OS == has.OS && p.Architecture == has.Architecture && (p.Variant == "" || p.Variant == variant)
}

// The annotation with which BuildKit lists the attestations of a platform in an index.
const attestationOf = "vnd.docker.reference.digest"

// leftOut returns what an index lists and nobody wants: the manifests for other platforms, and their attestations. Error: it has none of
// the platforms.
func (j *Job) leftOut(body []byte) (map[digest.Digest]bool, error) {
	var index document
	if len(j.Platforms) == 0 || json.Unmarshal(body, &index) != nil { // one that is no document is refused by the registry
		return nil, nil
	}
	out, has, kept := map[digest.Digest]bool{}, []string{}, 0
	for _, d := range index.Manifests {
		if d.Platform == nil || d.Platform.OS == "" || d.Platform.OS == "unknown" {
			continue
		}
		if slices.ContainsFunc(j.Platforms, func(p Platform) bool { return p.is(d.Platform) }) {
			kept++
			continue
		}
		out[d.Digest] = true
		has = append(has, strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/"))
	}
	if len(out) > 0 && kept == 0 {
		return nil, fmt.Errorf("it is for none of the platforms that are wanted, but for %.200s", strings.Join(has, ", "))
	}
	for _, d := range index.Manifests {
		if out[digest.Digest(d.Annotations[attestationOf])] {
			out[d.Digest] = true
		}
	}
	return out, nil
}

package provenance

import (
	"net/url"
	"slices"
)

// A StatementKind is what a signature is about: the image itself, or a statement about it. A statement whose predicate
// type is not in the table below is of a kind of its own, named by the full predicate type.
type StatementKind string

// The kinds that have a name.
const (
	ImageKind         StatementKind = "image"      // that somebody stands behind these bytes, and no more
	ProvenanceKind    StatementKind = "provenance" // how it was built
	VSAKind           StatementKind = "vsa"        // a summary of somebody's verification (SLSA)
	SVRKind           StatementKind = "svr"        // a simple verification result (in-toto)
	ReleaseKind       StatementKind = "release"
	SBOMKind          StatementKind = "sbom"
	VulnerabilityKind StatementKind = "vulnerabilities" // a scanner's report
	VEXKind           StatementKind = "vex"
	TestKind          StatementKind = "test"
	UntypedKind       StatementKind = "untyped" // a statement that names no predicate type; nobody can vouch for it
)

// Kinds are the kinds that a signer may vouch for by name, in the order of the documentation.
var Kinds = []StatementKind{ImageKind, ProvenanceKind, VSAKind, SVRKind, ReleaseKind, SBOMKind, VulnerabilityKind, VEXKind, TestKind}

// kindOf is the table of predicate types. They match exactly: another version may mean something else.
var kindOf = map[string]StatementKind{
	"https://sigstore.dev/cosign/sign/v1": ImageKind,

	slsaV01: ProvenanceKind,
	slsaV02: ProvenanceKind,
	slsaV1:  ProvenanceKind,

	VSAType: VSAKind,
	"https://in-toto.io/attestation/svr/v0.1":     SVRKind,
	"https://in-toto.io/attestation/release/v0.1": ReleaseKind,
	"https://in-toto.io/attestation/release/v0.2": ReleaseKind,

	"https://spdx.dev/Document":        SBOMKind,
	"https://spdx.dev/Document/v2.2":   SBOMKind,
	"https://spdx.dev/Document/v2.3":   SBOMKind,
	"https://spdx.dev/Document/v3.0":   SBOMKind,
	"https://spdx.dev/Document/v3.0.1": SBOMKind,
	"https://cyclonedx.org/bom":        SBOMKind,
	"https://cyclonedx.org/bom/v1.2":   SBOMKind,
	"https://cyclonedx.org/bom/v1.3":   SBOMKind,
	"https://cyclonedx.org/bom/v1.4":   SBOMKind,
	"https://cyclonedx.org/bom/v1.5":   SBOMKind,
	"https://cyclonedx.org/bom/v1.6":   SBOMKind,
	"https://cyclonedx.org/bom/v1.7":   SBOMKind,

	"https://cosign.sigstore.dev/attestation/vuln/v1": VulnerabilityKind,
	"https://in-toto.io/attestation/vuln/v0.1":        VulnerabilityKind,
	"https://in-toto.io/attestation/vulns/v0.1":       VulnerabilityKind,
	"https://in-toto.io/attestation/vulns/v0.2":       VulnerabilityKind,

	"https://openvex.dev/ns":        VEXKind,
	"https://openvex.dev/ns/v0.2.0": VEXKind,

	"https://in-toto.io/attestation/test-result/v0.1": TestKind,
}

// KindOf is the kind of a statement with this predicate type.
func KindOf(predicateType string) StatementKind {
	if k, known := kindOf[predicateType]; known {
		return k
	}
	if predicateType == "" {
		return UntypedKind
	}
	return StatementKind(predicateType)
}

// Valid says whether a signer can vouch for the kind: it has a name, or it is a full predicate type, as a verdict has it: what is
// cut there, as a query, would never match.
func (k StatementKind) Valid() bool {
	if slices.Contains(Kinds, k) {
		return true
	}
	u, err := url.Parse(string(k))
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != "") && Bounded(string(k)) == string(k)
}

// Is says whether a verdict is about a signature of a kind, named or a full predicate type.
func (v *Verdict) Is(k StatementKind) bool {
	return v.KindOf() == k || k != "" && string(k) == v.Evidence.PredicateType
}

// KindOf is what the signature is about. Records from before there were kinds do not say it: it follows from the rest.
func (v *Verdict) KindOf() StatementKind {
	switch {
	case v.Kind != "":
		return v.Kind
	case v.Evidence.PredicateType == "" && v.Form != "dsse": // over the image itself
		return ImageKind
	}
	return KindOf(v.Evidence.PredicateType)
}

package web

import "strings"

// kinds are what artifact types are about, in a word for people.
var kinds = map[string]string{
	"application/vnd.dev.cosign.artifact.sig.v1+json":  "signature",
	"application/vnd.cncf.notary.signature":            "signature",
	"application/vnd.dev.cosign.artifact.att.v1+json":  "attestation",
	"application/vnd.in-toto+json":                     "attestation",
	"application/vnd.dev.cosign.artifact.sbom.v1+json": "SBOM",
	"application/vnd.cyclonedx+json":                   "SBOM",
	"application/spdx+json":                            "SBOM",
	"text/spdx+json":                                   "SBOM",
	"text/spdx":                                        "SBOM",
	"application/vnd.cyclonedx+xml":                    "SBOM",
	"application/vnd.syft+json":                        "SBOM",
	"application/sarif+json":                           "report",
	"application/vnd.openvex+json":                     "VEX document",
	"application/vnd.hallmark.provenance.v1":           "registry's record",
}

// kindOf is what an artifact is, by its type, or by the tag that a signing tool gave it. A type that is not known is its own
// name.
func kindOf(artifactType, tag string) string {
	if kind := kinds[artifactType]; kind != "" {
		return kind
	}
	switch {
	case strings.HasPrefix(artifactType, "application/vnd.dev.sigstore.bundle"):
		return "signed bundle"
	case strings.HasSuffix(tag, ".sig"):
		return "signature"
	case strings.HasSuffix(tag, ".att"):
		return "attestation"
	case strings.HasSuffix(tag, ".sbom"):
		return "SBOM"
	case artifactType == "":
		return "artifact"
	}
	return artifactType
}

// Package documents knows what the documents say by which a registry decides: its policy, whom it trusts, and the issuers of its CI jobs.
//
// A document holds all that it needs, because it goes where the administrator's files are not. The package reads files of theirs into
// documents, and refuses what is wrong in one, with its line. Where documents are kept is for package provenance, and what comes of them
// for package server.
package documents

import (
	"bytes"
	"fmt"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// Gather reads a file of a kind into a document. Errors name the file, and the line.
func Gather(k provenance.RuleKind, path string) ([]byte, error) {
	switch k {
	case provenance.PolicyRules:
		data, err := yamlfile.Read(path, policy.MaxFile)
		if err == nil {
			_, err = policy.Parse(path, data)
		}
		return data, err
	case provenance.TrustRules:
		return signature.Gather(path)
	case provenance.IssuerRules:
		return oidc.Gather(path)
	}
	return nil, fmt.Errorf("there is no document of the kind %q", k)
}

// Parsed is what a document says. One of its fields is set.
type Parsed struct {
	Policy  *policy.Set
	Trust   *signature.Trust
	Issuers []oidc.Issuer
}

// Parse reads a document. Errors name its kind, and the line.
func Parse(k provenance.RuleKind, text []byte) (p Parsed, err error) {
	if len(text) > provenance.MaxRules {
		return p, fmt.Errorf("the %s document has %d bytes, and may have %d", k, len(text), provenance.MaxRules)
	}
	name := string(k)
	switch k {
	case provenance.PolicyRules:
		p.Policy, err = policy.Parse(name, text)
	case provenance.TrustRules:
		p.Trust, err = signature.Parse(name, text)
	case provenance.IssuerRules:
		p.Issuers, err = oidc.Parse(name, text)
	default:
		err = fmt.Errorf("there is no document of the kind %q", k)
	}
	return p, err
}

// SameAs says whether a document is what a configuration names, by the key that names it, if anything does.
func SameAs(c config.Config, k provenance.RuleKind, text []byte) (key string, same bool) {
	file := c.Policy.File
	switch key = "policy.file"; k {
	case provenance.TrustRules:
		key, file = "trust.file", c.Trust.File
	case provenance.IssuerRules:
		issuers, err := oidc.Parse(string(k), text)
		return "oidc", len(c.OIDC) == 0 || err == nil && oidc.Same(c.OIDC, issuers)
	}
	if file == "" {
		return key, true
	}
	is, err := Gather(k, file)
	return key, err == nil && bytes.Equal(is, text)
}

package signature

import (
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/provenance"
)

// What a signer vouches for, as the file of whom to trust has it.

// fileVerifier is a verifier for which a signer speaks: SLSA wants the two to be named together.
type fileVerifier struct {
	ID        yamlfile.Word `yaml:"id"`
	Resources yamlfile.List `yaml:"resources"` // patterns; default: the image's repository under the registry's names
	MaxAge    yamlfile.Word `yaml:"maxAge"`    // 90d, 24h; default: there is no bound
	Policies  []filePolicy  `yaml:"policies"`  // default: any
}

type filePolicy struct {
	URI    yamlfile.Word `yaml:"uri"`
	Digest yamlfile.Word `yaml:"digest"` // sha256:…
}

// vouches reads the kinds of statements that a signer vouches for.
func (r *reader) vouches(list yamlfile.List) (all vouches) {
	for _, w := range list {
		k := provenance.StatementKind(w.Text)
		if !k.Valid() {
			r.failf(w, "%.60q is no kind of signed statement: `vouches` may name %s, or a full predicate type, as https://in-toto.io/attestation/scai/v0.3", w.Text, vouches(provenance.Kinds))
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return byDefault
	}
	return all
}

// named reads what a signer's signatures have to call an image.
func (r *reader) named(list yamlfile.List) (n named) {
	for _, w := range list {
		if w.Text == ownRepository {
			n.repository = true
			continue
		}
		g, err := access.ParseGlob(w.Text)
		if err != nil {
			r.failf(w, "`names` may have the word %s, for the image's own, or patterns of names, as registry.example/prod/**: %s", ownRepository, err)
		}
		n.patterns = append(n.patterns, g)
	}
	return n
}

// verifiers reads for whom a signer speaks. Who vouches for verification summaries speaks for somebody, and who does not
// for nobody.
func (r *reader) verifiers(of yamlfile.Word, kinds vouches, list []fileVerifier) (all verifiers) {
	vsa := kinds.forWhat(&provenance.Verdict{Kind: provenance.VSAKind, Evidence: provenance.Evidence{PredicateType: provenance.VSAType}})
	switch {
	case vsa && len(list) == 0:
		r.failf(of, "%s vouches for vsa, so it needs `verifiers`: the `id` of each verifier for which it speaks", of.Text)
	case !vsa && len(list) > 0:
		r.failf(list[0].ID, "%s speaks for `verifiers`, and does not vouch for their statements: add vsa to its `vouches`", of.Text)
	}
	for _, f := range list {
		all = append(all, r.verifier(of, f))
	}
	return all
}

func (r *reader) verifier(of yamlfile.Word, f fileVerifier) checker {
	v := checker{id: f.ID.Text}
	if v.id == "" {
		r.failf(of, "each of the `verifiers` of %s needs `id`, as https://verifier.example/v1", of.Text)
	}
	r.kept(f.ID, "the id of a verifier")
	for _, w := range f.Resources {
		g, err := access.ParseGlob(w.Text)
		if err != nil {
			r.failf(w, "the verifier %s: %s", v.id, err)
		}
		v.resources = append(v.resources, g)
	}
	if !f.MaxAge.IsZero() {
		var age units.Duration
		if err := age.UnmarshalText([]byte(f.MaxAge.Text)); err != nil || age == 0 {
			r.failf(f.MaxAge, "the verifier %s: maxAge: %.60q is not a length of time: write 90d, 24h, 15m or 30s", v.id, f.MaxAge.Text)
		}
		v.maxAge = age
	}
	for _, p := range f.Policies {
		if p.URI.IsZero() && p.Digest.IsZero() || !p.Digest.IsZero() && !strings.Contains(p.Digest.Text, ":") {
			r.failf(firstOfWords(p.Digest, f.ID), "the verifier %s: each of its `policies` needs `uri`, `digest` as sha256:…, or both", v.id)
		}
		r.kept(p.URI, "a policy")
		v.policies = append(v.policies, policy{p.URI.Text, p.Digest.Text})
	}
	return v
}

// kept wants a URI to be one that is kept of a summary as it is: another would never match.
func (r *reader) kept(uri yamlfile.Word, what string) {
	if is := provenance.Bounded(uri.Text); is != uri.Text {
		r.failf(uri, "%.120q is never found in a verification summary: a query, credentials and long texts are cut there. Name %s whose URI has none of these, or a policy by its digest", uri.Text, what)
	}
}

// firstOfWords is the first word that was written.
func firstOfWords(a, b yamlfile.Word) yamlfile.Word {
	if a.IsZero() {
		return b
	}
	return a
}

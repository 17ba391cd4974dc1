package provenance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Built is what provenance says of how an image was built. It is Attested or Claimed, and never follows from a login:
// that proves who pushed.
type Built struct {
	Class    Class  `json:"class,omitempty"` // absent where nothing that was read names a source
	Source   string `json:"source,omitempty"`
	Revision string `json:"revision,omitempty"`
	Builder  string `json:"builder,omitempty"`
	Signer   string `json:"signer,omitempty"` // of the configuration; of what is attested
	From     string `json:"from,omitempty"`   // where the source stands
	// Disputed are the facts that are stated in this class in ways that cannot all be true. They are absent above.
	Disputed []string `json:"disputed,omitempty"`
	// Unread is why more may be said than is known here: what may say it was not read.
	Unread string `json:"unread,omitempty"`
}

// saidOf is a fact of one class.
type saidOf struct {
	fact, value, from, signer string
	voice                     string // see VoiceOf
	document                  string // in which it stands, and about what
}

func newSaidOf(c Claim, signer string) saidOf {
	return saidOf{c.Fact, c.Value, c.From, signer, signer + " " + VoiceOf(c), signer + " " + string(c.Evidence.Digest) + " " + string(c.About)}
}

// VoiceOf is what claims have in common that were made together: the same place of a document, or the labels or the
// annotations of an image. A source of one voice was claimed at no revision of another.
func VoiceOf(c Claim) string {
	if c.Evidence.Digest != "" {
		return c.From + " " + string(c.Evidence.Digest) + " " + string(c.About)
	}
	kind, _, _ := strings.Cut(c.From, " ")
	return kind + " " + string(c.About)
}

// Built returns what is attested of the source, by signatures that still count, or else what is claimed of it, with what
// was not read; nil where there is nothing of these.
func (sum *ByClass) Built() *Built {
	b := sum.built()
	unread := sum.unread()
	if unread == "" {
		return b
	}
	if b == nil {
		b = &Built{}
	}
	b.Unread = unread
	return b
}

// unread says in words what was not read, or "".
func (sum *ByClass) unread() string {
	switch n := len(sum.Unread) + sum.unreadLeftOut; {
	case n == 0:
		return ""
	case len(sum.Unread) == 0:
		return fmt.Sprintf("%d documents were not read, and its records have no room to list them", n)
	case n == 1:
		return sum.Unread[0].String()
	default:
		return fmt.Sprintf("%s; and %d more", sum.Unread[0], n-1)
	}
}

// String says in words what was not read.
func (u UnreadDocument) String() string {
	return fmt.Sprintf("%s was not read: %s", shortDigest(u.Document), u.Why)
}

func (sum *ByClass) built() *Built {
	var attested []saidOf
	for _, a := range sum.Attested {
		if sum.counts(a.Records) {
			attested = append(attested, newSaidOf(Claim{Fact: a.Fact, Value: a.Value, About: a.About, From: a.From, Evidence: a.Evidence}, a.Signer))
		}
	}
	if b := builtOf(Attested, attested); b != nil {
		return b
	}
	return sum.ClaimedSource()
}

// ClaimedSource is what is claimed of the source alone, or nil. Nothing is said of what was not read.
func (sum *ByClass) ClaimedSource() *Built {
	var claimed []saidOf
	for _, c := range sum.Claimed {
		if isOfSource(c.Fact) && sum.isWhole(c.Claim) {
			claimed = append(claimed, newSaidOf(c.Claim, ""))
		}
	}
	return builtOf(Claimed, claimed)
}

// ClaimedSource is what a record claims of the source of its image, or nil.
func (r *Record) ClaimedSource() *Built {
	sum := ByClass{platforms: platformsOf([]*Record{r}), claimsCut: r.claimsCut()}
	for _, c := range r.Claimed {
		sum.Claimed = append(sum.Claimed, Stated{Claim: c})
	}
	return sum.ClaimedSource()
}

// isOfSource says that a fact is one of those that Built tells.
func isOfSource(fact string) bool {
	return fact == FactSource || fact == FactRevision || fact == FactBuilder
}

// isWhole says that a claim is not known to be one about some platforms of an index alone: what is claimed of some is not known
// of the index. Where not all claims were read, those about the others may be missing.
func (sum *ByClass) isWhole(c Claim) bool {
	if sum.claimsCut || !slices.Contains(sum.platforms, c.About) {
		return true
	}
	return !slices.ContainsFunc(sum.platforms, func(p digest.Digest) bool {
		return !slices.ContainsFunc(sum.Claimed, func(of Stated) bool { return of.Fact == c.Fact && of.About == p })
	})
}

// counts says whether the signature behind one of some records counts now, where that was asked.
func (sum *ByClass) counts(records []uint64) bool {
	counts := func(v WeighedVerdict) bool {
		return slices.Contains(records, v.Record) && v.Result == Good && (v.Standing == nil || v.Standing.Counts)
	}
	return slices.ContainsFunc(sum.Verdicts, counts) || slices.ContainsFunc(sum.Behind, func(b Behind) bool { return counts(b.WeighedVerdict) })
}

// builtOf is what one voice says of a class: the first that names a source and a revision of it, or else a source. The builder
// is the one that its document names. A fact that another voice disputes is not told.
func builtOf(class Class, said []saidOf) *Built {
	source := firstSource(said)
	if source == nil {
		return nil
	}
	b := &Built{Class: class, From: source.from, Signer: source.signer, Source: source.value}
	for _, s := range said {
		switch {
		case s.fact == FactRevision && s.voice == source.voice:
			b.Revision = cmp.Or(b.Revision, s.value)
		case s.fact == FactBuilder && s.document == source.document:
			b.Builder = cmp.Or(b.Builder, s.value)
		}
	}
	for _, f := range []struct {
		fact string
		told *string
	}{{FactSource, &b.Source}, {FactRevision, &b.Revision}, {FactBuilder, &b.Builder}} {
		if isDisputed(f.fact, said) {
			*f.told, b.Disputed = "", append(b.Disputed, f.fact)
		}
	}
	return b
}

// firstSource is the first source of a voice that names a revision, too, or else the first.
func firstSource(said []saidOf) (first *saidOf) {
	whole := map[string]bool{}
	for _, s := range said {
		whole[s.voice] = whole[s.voice] || s.fact == FactRevision
	}
	for i, s := range said {
		if s.fact != FactSource {
			continue
		}
		if whole[s.voice] {
			return &said[i]
		}
		if first == nil {
			first = &said[i]
		}
	}
	return first
}

// isDisputed says whether a fact is stated in ways that do not mean the same.
func isDisputed(fact string, said []saidOf) bool {
	value := ""
	for _, s := range said {
		if s.fact == fact {
			if value = cmp.Or(value, s.value); !Same(fact, value, s.value) {
				return true
			}
		}
	}
	return false
}

package registry

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Who changes what others may change too can say what they saw: the entity tag of a manifest is its digest, in quotation marks, for its
// tags and its digest alike.

// isConditional says whether a request has a condition.
func (c *call) isConditional() bool {
	return len(c.r.Header.Values("If-Match"))+len(c.r.Header.Values("If-None-Match")) > 0
}

// mayChange says whether what a request changes is what its client wants it to be (RFC 9110, sections 13.1.1 and 13.1.2): is is what
// the name means now, or "". It is asked in the transaction that makes the change. A token may be for pushes alone: what is there is told
// to those who may pull.
func (g *Registry) mayChange(c *call, is digest.Digest) error {
	now := "means " + is.String()
	switch {
	case is == "":
		now = "is not there"
	case !g.gate.May(c.who, access.Pull, c.repo):
		now = "means something"
	}
	if !matches(c.r.Header.Values("If-Match"), is) {
		return newFailure(http.StatusPreconditionFailed, "DENIED", "%s %s by now, which is not what If-Match names", c.ref, now)
	}
	if is != "" && clientHas(c.r, is) {
		return newFailure(http.StatusPreconditionFailed, "DENIED", "%s %s by now, and If-None-Match excludes that", c.ref, now)
	}
	return nil
}

// matches says whether one of the entity tags of If-Match is that of a digest, "" where there is nothing; or there is no If-Match. Weak
// ones never match.
func matches(headers []string, is digest.Digest) bool {
	if len(headers) == 0 {
		return true
	}
	for tag := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		if tag = strings.Trim(tag, " \t"); is != "" && (tag == "*" || tag == `"`+is.String()+`"`) {
			return true
		}
	}
	return false
}

// mayPut is mayChange for the tag or the digest under which a manifest is put. One that is imported or brought back was named otherwise,
// and has no conditions.
func (g *Registry) mayPut(tx storage.Reader, p *push) error {
	if p.action() != provenance.Push || !p.isConditional() {
		return nil
	}
	if p.call.digest == "" {
		move, _, err := moveOf(tx, p.repo, p.ref, p.digest)
		if err != nil {
			return err
		}
		return g.mayChange(p.call, move.Previous)
	}
	there, err := p.present(tx)
	if err != nil {
		return err
	}
	is := p.digest
	if there == nil {
		is = ""
	}
	return g.mayChange(p.call, is)
}

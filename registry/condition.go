package registry

import (
	"errors"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Who changes what others may change too can say what they saw: the entity tag of a manifest is its digest, in quotation marks, for its
// tags and its digest alike.

// mayChange says whether what a request changes is what its client wants it to be (RFC 9110, sections 13.1.1 and 13.1.2): is is what
// the name means now, or "". It is asked in the transaction that makes the change.
func (c *call) mayChange(is digest.Digest) error {
	now := "means " + is.String()
	if is == "" {
		now = "is not there"
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

// mayPut is mayChange for the tag or the digest under which a manifest comes.
func (p *push) mayPut(tx storage.Reader) error {
	if p.call.digest != "" {
		there, err := p.present(tx)
		if err != nil {
			return err
		}
		if there == nil {
			return p.mayChange("")
		}
		return p.mayChange(p.digest)
	}
	tag, err := readTag(tx, p.repo, p.ref)
	if errors.Is(err, ErrUnknown) {
		return p.mayChange("")
	}
	if err != nil {
		return err
	}
	going, err := isGoing(tx, p.repo, digestKey(tag.digest))
	if err != nil {
		return err
	}
	if going { // the tag has ended with it
		tag.digest = ""
	}
	return p.mayChange(tag.digest)
}

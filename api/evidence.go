package api

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// byClass is what records say of one digest in one repository.
type byClass struct {
	Observed      []observed      `json:"observed"`
	Authenticated []authenticated `json:"authenticated,omitempty"`
	Claimed       []claimed       `json:"claimed,omitempty"`
}

// observed is one thing that happened to the image.
type observed struct {
	Record uint64               `json:"record"`
	Time   provenance.Time      `json:"time"`
	Action provenance.Action    `json:"action"`
	Tags   []provenance.TagMove `json:"tags,omitempty"`
}

// authenticated is who did some of it, as the login proved.
type authenticated struct {
	provenance.Login
	Actor   provenance.Actor `json:"actor"`
	Records []uint64         `json:"records"`
}

// claimed is what was claimed with some of it.
type claimed struct {
	provenance.Claim
	Records []uint64 `json:"records"`
}

// sumUp sorts the records of an image into classes, and adds what others claim about it and its parts. The
// same login, or the same claim, of several records stands once.
func sumUp(records, others []*provenance.Record, parts []digest.Digest) (sum byClass) {
	for _, r := range records {
		sum.Observed = append(sum.Observed, observed{r.Index, r.Time, r.Action, r.Tags})
		sum.addLogin(r)
		for _, claim := range r.Claimed {
			sum.addClaim(claim, r.Index)
		}
	}
	for _, r := range others {
		for _, claim := range r.Claimed {
			if slices.Contains(parts, claim.About) {
				sum.addClaim(claim, r.Index)
			}
		}
	}
	return sum
}

func (sum *byClass) addLogin(r *provenance.Record) {
	if r.Authenticated == nil {
		return
	}
	for i := range sum.Authenticated {
		known := &sum.Authenticated[i]
		if known.Actor == r.Actor && known.Method == r.Authenticated.Method && known.Issuer == r.Authenticated.Issuer &&
			known.Credential == r.Authenticated.Credential && maps.Equal(known.Claims, r.Authenticated.Claims) {
			known.Records = append(known.Records, r.Index)
			return
		}
	}
	sum.Authenticated = append(sum.Authenticated, authenticated{*r.Authenticated, r.Actor, []uint64{r.Index}})
}

func (sum *byClass) addClaim(claim provenance.Claim, record uint64) {
	for i := range sum.Claimed {
		if sum.Claimed[i].Claim == claim {
			sum.Claimed[i].Records = append(sum.Claimed[i].Records, record)
			return
		}
	}
	sum.Claimed = append(sum.Claimed, claimed{claim, []uint64{record}})
}

// contradictions compares what is claimed of an image and its parts, and what the logins say that pushed it.
func (sum *byClass) contradictions(d digest.Digest) []provenance.Contradiction {
	said := map[string][]provenance.Said{}
	for _, c := range sum.Claimed {
		said[c.Fact] = append(said[c.Fact], provenance.Said{
			Value: c.Value, Class: provenance.Claimed, From: c.From, About: c.About, Records: c.Records,
		})
	}
	for _, login := range sum.Authenticated {
		for fact, s := range login.Facts() {
			s.About, s.Records = d, login.Records
			said[fact] = append(said[fact], s)
		}
	}
	return provenance.Contradictions(said)
}

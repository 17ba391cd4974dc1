package provenance

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ByClass is what records say of one digest in one repository.
type ByClass struct {
	Observed      []Happened `json:"observed"`
	Authenticated []SignedIn `json:"authenticated,omitempty"`
	Claimed       []Stated   `json:"claimed,omitempty"`
}

// Happened is one thing that happened to the image.
type Happened struct {
	Record uint64    `json:"record"`
	Time   Time      `json:"time"`
	Action Action    `json:"action"`
	Tags   []TagMove `json:"tags,omitempty"`
}

// SignedIn is who did some of it, as the login proved.
type SignedIn struct {
	Login
	Actor   Actor    `json:"actor"`
	Records []uint64 `json:"records"`
}

// Stated is what was claimed with some of it.
type Stated struct {
	Claim
	Records []uint64 `json:"records"`
}

// SumUp sorts the records of an image into classes, and adds what others claim about it and its parts. The
// same login, or the same claim, of several records stands once.
func SumUp(records, others []*Record, parts []digest.Digest) (sum ByClass) {
	for _, r := range records {
		sum.Observed = append(sum.Observed, Happened{r.Index, r.Time, r.Action, r.Tags})
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

func (sum *ByClass) addLogin(r *Record) {
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
	sum.Authenticated = append(sum.Authenticated, SignedIn{*r.Authenticated, r.Actor, []uint64{r.Index}})
}

func (sum *ByClass) addClaim(claim Claim, record uint64) {
	for i := range sum.Claimed {
		if sum.Claimed[i].Claim == claim {
			sum.Claimed[i].Records = append(sum.Claimed[i].Records, record)
			return
		}
	}
	sum.Claimed = append(sum.Claimed, Stated{claim, []uint64{record}})
}

// Contradictions compares what is claimed of an image and its parts, and what the logins say that pushed it.
func (sum *ByClass) Contradictions(d digest.Digest) []Contradiction {
	said := map[string][]Said{}
	for _, c := range sum.Claimed {
		said[c.Fact] = append(said[c.Fact], Said{
			Value: c.Value, Class: Claimed, From: c.From, About: c.About, Records: c.Records,
		})
	}
	for _, login := range sum.Authenticated {
		for fact, s := range login.Facts() {
			s.About, s.Records = d, login.Records
			said[fact] = append(said[fact], s)
		}
	}
	return Contradictions(said)
}

package provenance

import (
	"context"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ByClass is what records say of one digest in one repository.
type ByClass struct {
	Observed      []Happened       `json:"observed"`
	Authenticated []SignedIn       `json:"authenticated,omitempty"`
	Attested      []Signed         `json:"attested,omitempty"`
	Claimed       []Stated         `json:"claimed,omitempty"`
	Unread        []StatedUnread   `json:"unread,omitempty"`   // what may claim something of it, and was not read
	Verdicts      []WeighedVerdict `json:"verdicts,omitempty"` // of its signatures, newest first
	// Behind are the verdicts of signatures of other manifests, of its platforms and of statements about it, by which something
	// is attested of it.
	Behind []Behind `json:"-"`

	unreadLeftOut int             // documents that were not read, beyond what records list
	platforms     []digest.Digest // of an index
	claimsCut     bool            // more may be claimed than Claimed has
}

// Behind is what was found of a signature of another manifest.
type Behind struct {
	Digest digest.Digest // of that manifest
	WeighedVerdict
}

// Happened is one thing that happened to the image.
type Happened struct {
	Record uint64    `json:"record"`
	Time   Time      `json:"time"`
	Action Action    `json:"action"`
	Tags   []TagMove `json:"tags,omitempty"`
}

// SignedIn is who did something with it, as the login proved. It proves that act, and nothing of the bytes.
type SignedIn struct {
	Login
	Means   Means    `json:"means"`
	Action  Action   `json:"action"`
	Actor   Actor    `json:"actor"`
	Records []uint64 `json:"records"`
}

// Stated is what was claimed with some of it.
type Stated struct {
	Claim
	Records []uint64 `json:"records"`
}

// StatedUnread is a document that was not read when it came with some of the records.
type StatedUnread struct {
	UnreadDocument
	Records []uint64 `json:"records"`
}

// Parts are the digests of an image and of what it lists, the image first.
func Parts(image digest.Digest, children []Child) []digest.Digest {
	parts := []digest.Digest{image}
	for _, c := range children[:min(len(children), MaxChildren)] {
		parts = append(parts, c.Digest)
	}
	return parts
}

// Cut are the lists of what is said of an image that are not whole: because records left something out, or there was more
// than is looked at.
func (t *Testimony) Cut(children int) (lists []string) {
	claimed, attested, unread := len(t.Beside) >= maxTestimony || children > MaxChildren, false, false
	for _, r := range slices.Concat(t.Records, t.Beside) {
		claimed, attested, unread = claimed || r.ClaimedLeftOut > 0, attested || r.AttestedLeftOut > 0, unread || r.UnreadLeftOut > 0
	}
	if unread {
		lists = append(lists, "provenance.unread")
	}
	if claimed {
		lists = append(lists, "provenance.claimed")
	}
	if attested {
		lists = append(lists, "provenance.attested")
	}
	return lists
}

// maxTestimony bounds the records that are looked at of an image, and of those that are about it.
const maxTestimony = 100

// A Testimony is what records say of an image.
type Testimony struct {
	Page             // records of its digest, newest first
	Beside []*Record // of others, newest first, that claim something about it or its parts
}

// Testimony returns the newest records of an image, whose digest is first of its parts, and those of other digests
// that claim something about them, or attest something of its parts: attestations that were attached to it. They are of the
// same repository only: who may push to it speaks beside this image, and nobody else.
func (b *Book) Testimony(ctx context.Context, repo string, parts []digest.Digest) (said Testimony, err error) {
	if said.Page, err = b.Find(ctx, Query{Repository: repo, Digest: parts[0], Descending: true, Limit: maxTestimony}); err != nil {
		return said, err
	}
	for i, d := range parts {
		asked := []Query{{About: d}}
		if i > 0 {
			asked = append(asked, Query{Digest: d, Class: Attested})
		}
		for _, q := range asked {
			q.Repository, q.Descending, q.Limit = repo, true, maxTestimony-len(said.Beside)
			page, err := b.Find(ctx, q)
			if err != nil {
				return said, err
			}
			for _, r := range page.Records {
				if r.Digest != parts[0] && !slices.ContainsFunc(said.Beside, func(known *Record) bool { return known.Index == r.Index }) {
					said.Beside = append(said.Beside, r)
				}
			}
			if len(said.Beside) >= maxTestimony {
				return said, nil
			}
		}
	}
	return said, nil
}

// Signed is what a statement says whose signature was good when it came.
type Signed struct {
	Attestation
	Records []uint64 `json:"records"`
}

// A WeighedVerdict is what was found of a signature at the time of a record, and what that is worth now.
type WeighedVerdict struct {
	Verdict
	Record   uint64    `json:"record"`
	Time     Time      `json:"time"`
	Standing *Standing `json:"standing,omitempty"` // absent where nobody was asked
}

// Standing is what a verdict is worth by what is configured now.
type Standing struct {
	Counts bool   `json:"counts"`
	Reason Reason `json:"reason,omitempty"` // why not
	Detail string `json:"detail,omitempty"`
}

// SumUp sorts the records of an image into classes, and adds what others claim about it and its parts. The
// same login, or the same claim, of several records stands once.
func SumUp(records, others []*Record, parts []digest.Digest) ByClass {
	sum := summing{attested: map[Attestation]int{}, claimed: map[Claim]int{}, leftOut: map[digest.Digest]int{}}
	for _, r := range records {
		sum.Observed = append(sum.Observed, Happened{r.Index, r.Time, r.Action, r.Tags})
		sum.addLogin(r)
		sum.addVerdict(r)
		for _, claim := range r.Claimed {
			sum.addClaim(claim, r.Index)
		}
		sum.addUnread(r, parts)
	}
	for _, r := range others {
		sum.addUnread(r, parts)
		for _, claim := range r.Claimed {
			if slices.Contains(parts, claim.About) {
				sum.addClaim(claim, r.Index)
			}
		}
		sum.addAttestedOf(parts[0], r)
		if r.Verdict != nil && len(r.Attested) > 0 {
			sum.Behind = append(sum.Behind, Behind{r.Digest, WeighedVerdict{Verdict: *r.Verdict, Record: r.Index, Time: r.Time}})
		}
	}
	sum.platforms = platformsOf(records)
	sum.addPlatforms(sum.platforms, others)
	for _, n := range sum.leftOut {
		sum.unreadLeftOut += n
	}
	sum.claimsCut = len(others) >= maxTestimony || slices.ContainsFunc(slices.Concat(records, others), (*Record).claimsCut)
	return sum.ByClass
}

// summing is a sum with where in its lists is what: records may hold thousands of facts.
type summing struct {
	ByClass
	attested map[Attestation]int
	claimed  map[Claim]int
	leftOut  map[digest.Digest]int // the most that a record of a digest left out of Unread
}

// claimsCut says that more may be claimed than the record has. Who makes the record of an index looks at no more of its children
// once it is full.
func (r *Record) claimsCut() bool {
	return r.ClaimedLeftOut > 0 || r.Observed.ChildrenLeftOut > 0 || len(r.Claimed) >= MaxClaims
}

// platformsOf are the images that an index lists, as its own push says.
func platformsOf(records []*Record) (platforms []digest.Digest) {
	for _, r := range records {
		for _, c := range r.Observed.Children {
			if !IsUnknownPlatform(c.Platform) && !slices.Contains(platforms, c.Digest) {
				platforms = append(platforms, c.Digest)
			}
		}
	}
	return platforms
}

// addPlatforms adds the facts that are attested of each of the platforms. What is attested of some of them alone is not known
// of the index.
func (sum *summing) addPlatforms(platforms []digest.Digest, others []*Record) {
	of := map[string]map[digest.Digest]bool{}
	for _, r := range others {
		for _, a := range r.Attested {
			if of[a.Fact] == nil {
				of[a.Fact] = map[digest.Digest]bool{}
			}
			of[a.Fact][a.About] = true
		}
	}
	for _, r := range others {
		for _, a := range r.Attested {
			some := slices.ContainsFunc(platforms, func(d digest.Digest) bool { return !of[a.Fact][d] })
			if !some && slices.Contains(platforms, a.About) {
				sum.addAttested(a, r.Index)
			}
		}
	}
}

func (sum *summing) addLogin(r *Record) {
	if r.Authenticated == nil {
		return
	}
	for i := range sum.Authenticated {
		known := &sum.Authenticated[i]
		if known.Action == r.Action && known.Actor == r.Actor && known.Method == r.Authenticated.Method && known.Issuer == r.Authenticated.Issuer &&
			known.Credential == r.Authenticated.Credential && maps.Equal(known.Claims, r.Authenticated.Claims) {
			known.Records = append(known.Records, r.Index)
			return
		}
	}
	sum.Authenticated = append(sum.Authenticated, SignedIn{*r.Authenticated, r.Means(), r.Action, r.Actor, []uint64{r.Index}})
}

func (sum *summing) addVerdict(r *Record) {
	if r.Verdict != nil {
		sum.Verdicts = append(sum.Verdicts, WeighedVerdict{Verdict: *r.Verdict, Record: r.Index, Time: r.Time})
	}
	sum.addAttestedOf(r.Digest, r)
}

// addAttestedOf adds what a record attests of an image. A signature over a manifest of statements attests facts of others.
func (sum *summing) addAttestedOf(image digest.Digest, r *Record) {
	for _, a := range r.Attested {
		if a.About == image {
			sum.addAttested(a, r.Index)
		}
	}
}

func (sum *summing) addAttested(a Attestation, record uint64) {
	i, known := sum.attested[a]
	if !known {
		i = len(sum.Attested)
		sum.attested[a], sum.Attested = i, append(sum.Attested, Signed{Attestation: a})
	}
	sum.Attested[i].Records = append(sum.Attested[i].Records, record)
}

func (sum *summing) addClaim(claim Claim, record uint64) {
	i, known := sum.claimed[claim]
	if !known {
		i = len(sum.Claimed)
		sum.claimed[claim], sum.Claimed = i, append(sum.Claimed, Stated{Claim: claim})
	}
	sum.Claimed[i].Records = append(sum.Claimed[i].Records, record)
}

// addUnread adds what may claim something of an image or its parts, and was not read.
func (sum *summing) addUnread(r *Record, parts []digest.Digest) {
	for _, u := range r.Unread {
		if !slices.Contains(parts, u.About) {
			continue
		}
		i := slices.IndexFunc(sum.Unread, func(known StatedUnread) bool { return known.UnreadDocument == u })
		if i < 0 {
			i = len(sum.Unread)
			sum.Unread = append(sum.Unread, StatedUnread{UnreadDocument: u})
		}
		sum.Unread[i].Records = append(sum.Unread[i].Records, r.Index)
	}
	// Of which image or part nobody knows. Records of one digest leave out the same documents.
	sum.leftOut[r.Digest] = max(sum.leftOut[r.Digest], r.UnreadLeftOut)
}

// Contradictions compares what is claimed and attested of an image and its parts, and where the CI job ran that was the
// first to push it, if it counts as that job's. oneBase is as in the function Contradictions.
func (sum *ByClass) Contradictions(d digest.Digest, first *Act, oneBase func(a, b string) bool) []Contradiction {
	said := map[string][]Said{}
	for _, c := range sum.Claimed {
		said[c.Fact] = append(said[c.Fact], Said{
			Value: c.Value, Class: Claimed, From: c.From, About: c.About, Records: c.Records,
		})
	}
	for _, a := range sum.Attested {
		said[a.Fact] = append(said[a.Fact], Said{
			Value: a.Value, Class: Attested, From: a.From + ", signed by " + a.Signer, About: a.About, Records: a.Records,
		})
	}
	if first != nil && first.Job != nil && first.Job.Counts {
		for fact, s := range first.login.Facts() {
			s.About, s.Records = d, []uint64{first.Record}
			said[fact] = append(said[fact], s)
		}
	}
	return Contradictions(said, oneBase)
}

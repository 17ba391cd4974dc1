// Package provenance keeps what is known about every push: who pushed what, from which source, and how
// well each of these facts is known.
//
// A [Record] is one event. It is appended in the transaction of the change that it describes, is never
// changed or removed afterwards, and carries every fact under its class of evidence: what the registry
// observed, what the login authenticated, what a signature attested, what the image or the client only
// claimed. No code here turns one class into another.
//
// The package owns the type that says who is signed in ([Identity]), because records outlive accounts.
// It knows nothing of HTTP, and of images only what a record says.
package provenance

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// The bounds of a record, in bytes and entries. What exceeds them is cut, and the cut is marked.
const (
	MaxRecord   = 32 << 10 // the stored statement
	MaxValue    = 1 << 10  // one claimed value
	MaxClaims   = 64       // claimed facts
	MaxAttested = 32       // attested facts
	MaxUnread   = 4        // documents that were not read
	MaxChildren = 64       // children of an index
	MaxTags     = 100      // tags that one event moves; more are more events

	MaxWrongSizes = 8 // descriptors whose sizes are wrong
)

// An Action says what happened.
type Action string

// The actions that the registry records.
const (
	Push   Action = "push"   // a manifest arrived, and set the tags named in the record
	Tag    Action = "tag"    // tags were set or moved to a manifest that was there
	Untag  Action = "untag"  // tags were removed; Digest is what they meant
	Delete Action = "delete" // a manifest was removed, and the tags named in the record with it
	Grant  Action = "grant"  // somebody was given a right; Digest is that of the access document
	Revoke Action = "revoke" // a right was taken away
	Attest Action = "attest" // a signature was looked at; Digest is the image's
	// Undelete is a manifest that was brought back from the trash, with the tags named in the record.
	Undelete Action = "undelete"
	// Purge is a manifest that was removed from the trash before its time.
	Purge Action = "purge"
	// Import is a manifest that came from elsewhere, and is read like a push; Observed.Origin says from where.
	Import Action = "import"

	KeyChange  Action = "key"      // another key signs from the next record on, or from this one in a new log
	Restore    Action = "restore"  // a backup was restored, and a new log begun
	Rules      Action = "rules"    // another policy, or another choice of whom to trust, came into force
	HoldChange Action = "hold"     // an image is kept for a while whatever rules say, or no longer: Hold
	Baseline   Action = "baseline" // rows from before their kind was on record were found, once
	Adopt      Action = "adopt"    // the first log began, and there were records already: they were found, not seen to happen
)

// Actions lists every Action, in the order of their declaration.
var Actions = []Action{Push, Import, Tag, Untag, Delete, Undelete, Purge, Attest, Grant, Revoke, KeyChange, Restore, Rules, HoldChange, Baseline, Adopt}

// A Class says how well a fact is known.
type Class string

// The classes of evidence, from the strongest that needs no signature to the weakest.
const (
	Observed      Class = "observed"      // the registry saw it itself
	Authenticated Class = "authenticated" // the login proves it
	Attested      Class = "attested"      // a signature over it was verified
	Claimed       Class = "claimed"       // the image or the client says so
)

// Classes lists every Class, in the order of their declaration.
var Classes = []Class{Observed, Authenticated, Attested, Claimed}

// A Kind says what sort of account acts.
type Kind string

// The kinds of an Actor.
const (
	User      Kind = "user"
	Robot     Kind = "robot"     // an account of a machine
	CI        Kind = "ci"        // a CI job, which has no account: its issuer vouches for its claims
	Anonymous Kind = "anonymous" // nobody signed in
	System    Kind = "system"    // the operator, through the data directory
)

// ActorKinds lists every Kind of an actor.
var ActorKinds = []Kind{User, Robot, CI, Anonymous, System}

// An Actor is who did something, as it will be shown for as long as the record lives.
type Actor struct {
	Kind   Kind   `json:"kind"`
	Handle string `json:"handle"`
	// Account is never used again, also when another account takes the same handle later.
	Account string `json:"account,omitempty"`
}

// A Login is what signing in proved.
type Login struct {
	Method   string `json:"method"`           // "basic"
	Issuer   string `json:"issuer,omitempty"` // who vouches for the identity
	Identity string `json:"identity"`
	// Credential identifies the password or token that was used, and says nothing of its secret.
	Credential string `json:"credential,omitempty"`
	// RestsOn is the password that a session came from, which no record is of. Older records do not say it.
	RestsOn string            `json:"restsOn,omitempty"`
	Claims  map[string]string `json:"claims,omitempty"`
	// Cut are the claims from whose values something was cut that records never have. It is not recorded.
	Cut []string `json:"-"`
}

// An Identity is who makes a request. Login is nil when nobody signed in.
type Identity struct {
	Actor Actor
	Login *Login
	// Ceiling is what a token allows at most of its owner's rights; nil where nothing narrows them.
	Ceiling Ceiling
}

// A Ceiling narrows what an identity may do. on is a repository, or a pattern of them.
type Ceiling interface{ Allows(right, on string) bool }

// A Record is one event as it is shown: the predicate of the stored statement, with what is not signed
// beside it. A field that is absent is unknown.
type Record struct {
	Version    int           `json:"version"`
	Index      uint64        `json:"index"`
	Time       Time          `json:"time"` // the clock as read; the order of records is Index
	Action     Action        `json:"action"`
	Registry   string        `json:"registry"`
	Repository string        `json:"repository,omitempty"`
	Tags       []TagMove     `json:"tags,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
	// Manifest is what happened to the manifest Digest in its repository; absent where nothing did.
	Manifest ManifestChange `json:"manifest,omitempty"`
	// Before is the index of the newest record of the same repository before this one; absent in its first.
	Before *uint64 `json:"before,omitempty"`
	// Of is the index of the record of the deletion that this record goes on with: an untag of more tags than a record moves, which
	// ended with the deletion; or a deletion of what went along with the image. Of the action attest it is the record with which came what
	// was looked at, where that is not the record before it: from then on something else is known of the image.
	Of *uint64 `json:"of,omitempty"`
	// Reason is by which rule something was removed or brought; absent where a person asked for just that.
	Reason *RuleReason `json:"reason,omitempty"`
	// PURL and PackageID say the same as an in-toto release predicate would.
	PURL      string `json:"purl,omitempty"`
	PackageID string `json:"packageId,omitempty"`
	Nonce     []byte `json:"nonce"` // 16 random bytes, so that a hash of the record gives nothing away
	Actor     Actor  `json:"actor"`

	Observed       Observation      `json:"observed"`
	Authenticated  *Login           `json:"authenticated,omitempty"`
	Claimed        []Claim          `json:"claimed,omitempty"`
	ClaimedLeftOut int              `json:"claimedLeftOut,omitempty"` // claims beyond the bounds of a record
	Unread         []UnreadDocument `json:"unread,omitempty"`         // what may claim something, and was not read
	UnreadLeftOut  int              `json:"unreadLeftOut,omitempty"`  // those beyond the bounds of a record

	Verdict         *Verdict      `json:"verdict,omitempty"` // of the action attest
	Word            *Word         `json:"word,omitempty"`    // of the action attest, about another registry's record
	Attested        []Attestation `json:"attested,omitempty"`
	AttestedLeftOut int           `json:"attestedLeftOut,omitempty"` // facts beyond the bounds of a record

	Hold  *Hold         `json:"hold,omitempty"`  // of the action hold
	Grant *RightsChange `json:"grant,omitempty"` // of the actions grant and revoke
	Key   *KeyStep      `json:"key,omitempty"`   // of the actions key and restore
	// Continues names the log that this record's log follows. It is in the first record of a log, and in
	// that of the first log not.
	Continues *LogEnd `json:"continues,omitempty"`
	Found     *Found  `json:"found,omitempty"` // of the action adopt
	// Baseline is in the record of the action baseline, of which there is at most one: what was found, by kind. The record's
	// digest is that of the list of it all, which the registry keeps.
	Baseline []FoundKind `json:"baseline,omitempty"`
	// Rules is in records of the action rules: the record's digest is that of its JSON.
	Rules *RuleFiles `json:"rules,omitempty"`
	// Log is absent in records from before there was a log. An older version made them leaves all the same: there
	// their leaf is their index.
	Log *LeafID `json:"log,omitempty"`

	// Unsigned is not part of the stored statement, and is erased after a while.
	Unsigned *Unsigned `json:"unsigned,omitempty"`
}

// A RuleReason names the rule by which something was removed, and the plan that somebody had carried out; or the rule of a mirror by which
// something was brought.
type RuleReason struct {
	Rule string        `json:"rule"`
	Plan digest.Digest `json:"plan,omitempty"`
}

// MovedElsewhere says that a tag moved because it did so at a mirror's upstream: who moved it there, nobody knows here.
func (r *Record) MovedElsewhere(t TagMove) bool {
	return r.Action == Import && r.Reason != nil && t.Previous != "" && t.Previous != t.Now
}

// A TagMove says that a tag was set, moved or removed.
type TagMove struct {
	Name     string        `json:"name"`
	Previous digest.Digest `json:"previous,omitempty"` // what it meant before
	// Now is what it means from here on; absent where it was removed. Pushes from before records stated their effects
	// do not say it: [Record.Meaning].
	Now   digest.Digest `json:"now,omitempty"`
	Since *uint64       `json:"since,omitempty"` // the record that set what it meant before
}

// A ManifestChange is what an event did to a manifest in its repository.
type ManifestChange string

// The changes of manifests. A removed one takes all of its tags along, also those that its record has no room for.
const (
	ManifestAdded   ManifestChange = "added"
	ManifestAgain   ManifestChange = "again" // it was there, and came again
	ManifestRemoved ManifestChange = "removed"
)

// StatesEffects says that a record is of a version whose records state what they change: Manifest, Before, and what tags
// mean now and since when.
func (r *Record) StatesEffects() bool { return r.Manifest != "" || r.Before != nil }

// Meaning is what a tag means from this record on, whose move t is, or "" where it was removed.
func (r *Record) Meaning(t TagMove) digest.Digest {
	if t.Now == "" && (r.Action == Push || r.Action == Tag) {
		return r.Digest // from before records stated their effects: these actions never remove a tag
	}
	return t.Now
}

// An Observation is what the registry saw itself: the manifest, whose types, children and subject are as it
// names them, and of sizes only those that the registry knows of its own.
type Observation struct {
	MediaType    string `json:"mediaType,omitempty"`
	ArtifactType string `json:"artifactType,omitempty"`
	Size         int64  `json:"size,omitempty"` // of the manifest, in bytes
	// ImageSize is how many bytes the config, the layers and the blobs have that are in the repository, each
	// digest once. Layers that are fetched from elsewhere do not count, and neither do the children of an index.
	ImageSize       int64         `json:"imageSize,omitempty"`
	Children        []Child       `json:"children,omitempty"`
	ChildrenLeftOut int           `json:"childrenLeftOut,omitempty"` // children beyond MaxChildren
	Subject         digest.Digest `json:"subject,omitempty"`
	// WrongSizes are what the manifest says of sizes of what is in the repository, and is not so.
	WrongSizes        []WrongSize `json:"wrongSizes,omitempty"`
	WrongSizesLeftOut int         `json:"wrongSizesLeftOut,omitempty"` // those beyond MaxWrongSizes
	// KeptUntil is until when a deleted manifest can be brought back, by the clock as read; absent where it is gone at once.
	KeptUntil *Time `json:"keptUntil,omitempty"`
	// Origin is where an imported manifest was taken from.
	Origin    *Origin `json:"origin,omitempty"`
	RequestID string  `json:"requestId,omitempty"`
}

// An Origin is the place that an imported manifest was taken from, as the registry saw it. A directory or an archive of the server's
// machine has no host, and its path is not told.
type Origin struct {
	Kind      OriginKind    `json:"kind"`
	Host      string        `json:"host,omitempty"`      // of a registry, with its port where it has one of its own
	Reference string        `json:"reference,omitempty"` // there: REPOSITORY:TAG, or REPOSITORY@DIGEST
	Digest    digest.Digest `json:"digest"`              // that it meant there when it was read
	TLSKey    digest.Digest `json:"tlsKey,omitempty"`    // of the SubjectPublicKeyInfo with which the host answered; absent over plain HTTP
}

// String names it for people: host/reference of a registry, else what kind of place on a disk it is.
func (o *Origin) String() string {
	if o.Kind == FromRegistry {
		return o.Host + "/" + o.Reference
	}
	said := map[OriginKind]string{FromDistribution: "a registry's data directory", FromLayout: "an OCI image layout", FromArchive: "an archive"}[o.Kind]
	if said == "" {
		said = string(o.Kind)
	}
	if o.Reference == "" {
		return said
	}
	return o.Reference + " in " + said
}

// An OriginKind is what sort of place images are taken from.
type OriginKind string

// The kinds of places.
const (
	FromRegistry     OriginKind = "registry"     // that runs, over the network
	FromDistribution OriginKind = "distribution" // a data directory of distribution
	FromLayout       OriginKind = "layout"       // an OCI image layout, or a directory of them
	FromArchive      OriginKind = "archive"      // an OCI image layout in a tar file
)

// A WrongSize is the size in bytes that a manifest says of something, and the size that it has.
type WrongSize struct {
	Digest digest.Digest `json:"digest"`
	Says   int64         `json:"says"`
	Has    int64         `json:"has"`
}

// A Child is a manifest that an index lists.
type Child struct {
	Digest   digest.Digest `json:"digest"`
	Platform string        `json:"platform,omitempty"` // os/architecture[/variant]
}

// IsUnknownPlatform says that a platform is how BuildKit names that of attestations, which an index lists beside the images.
func IsUnknownPlatform(name string) bool { return name == "unknown" || name == "unknown/unknown" }

// A Claim is a fact that the image or the client states about a digest, and where it was found.
type Claim struct {
	Fact  string        `json:"fact"`
	Value string        `json:"value"`
	About digest.Digest `json:"about"`
	From  string        `json:"from"`
	Name  string        `json:"name,omitempty"` // what the claim calls the image that Value is the digest of
	Cut   bool          `json:"cut,omitempty"`  // the value was longer than MaxValue
	// Evidence is the document that says so, where it is not the image itself.
	Evidence Evidence `json:"evidence,omitzero"`
}

// An UnreadDocument is a document beside an image that may claim something about it, and was not read to its end: what it says is unknown.
type UnreadDocument struct {
	Document digest.Digest `json:"document"`
	About    digest.Digest `json:"about"` // the image that it is attached to
	Why      string        `json:"why"`   // for people
}

// Evidence names a document that makes claims.
type Evidence struct {
	Digest        digest.Digest `json:"digest"`
	PredicateType string        `json:"predicateType,omitempty"`
}

// A Hold says until when retention keeps an image, whatever its rules say, or that it was released before. The newest one of an image
// in a repository counts. It stays when the image is deleted, and holds it again when that comes back.
type Hold struct {
	Until    *Time  `json:"until,omitempty"` // absent where it was released
	Reason   string `json:"reason,omitempty"`
	Released bool   `json:"released,omitempty"`
}

// Ends returns whether this ends a hold; one without a time holds nothing either.
func (h *Hold) Ends() bool { return h.Released || h.Until == nil }

// MaxReason bounds the reason of a hold, in bytes.
const MaxReason = 500

// A RightsChange is what a grant gives or a revoke takes away: a role in some repositories; the membership
// of a team, and a team itself; with Tags, the right to move these tags once they are set; with Change, to sign
// in as an account.
type RightsChange struct {
	Subject string   `json:"subject,omitempty"` // as it was then: user:alice, team:core, ci:…, everyone, anonymous
	Account string   `json:"account,omitempty"` // of a user or robot; never used again
	Team    string   `json:"team,omitempty"`
	Pattern string   `json:"pattern,omitempty"` // of the repositories
	Role    string   `json:"role,omitempty"`
	Tags    string   `json:"tags,omitempty"`
	Except  []string `json:"except,omitempty"` // tags that may be moved all the same
	Version uint64   `json:"version"`          // of the access document whose digest the record has

	// Change is what happened to the account itself: where no right changed, or beside the right that it was made with. Former is the name that it had
	// before, and Credential the id of the secret or password that it has now, as logins name it.
	Change     AccountChange `json:"change,omitempty"`
	Former     string        `json:"former,omitempty"`
	Credential string        `json:"credential,omitempty"`
	// Scopes and Expires are of a token that was made: all that it may do, and until when. Older versions stated neither.
	Scopes  []TokenScope `json:"scopes,omitempty"`
	Expires *Time        `json:"expires,omitempty"`
}

// A TokenScope is a part of what a personal token may do: exactly these rights, in the repositories of a pattern.
type TokenScope struct {
	Pattern string   `json:"pattern"`
	Rights  []string `json:"rights"`
}

// An AccountChange is what happened to an account.
type AccountChange string

// The changes of accounts, and of the personal tokens of one. All but those that remove or end are of the action grant:
// they let somebody sign in.
const (
	AccountAdded   AccountChange = "added"
	AccountRenamed AccountChange = "renamed"
	AccountSecret  AccountChange = "secret" // it has another password, or secret
	AccountRemoved AccountChange = "removed"
	AccountAdopted AccountChange = "adopted" // it is from before accounts were on record, and was found
	TokenAdded     AccountChange = "token"   // Credential is its id
	TokenEnded     AccountChange = "token-ended"
)

// A KeyStep says which key signs records from here on. Keys are named by the SHA-256 of their
// SubjectPublicKeyInfo, in hexadecimal; that of the new key is the record's digest.
type KeyStep struct {
	Hint     string `json:"hint"`
	Previous string `json:"previous"`
	Reason   string `json:"reason"` // "rotated", "stolen", "lost", "restored"
}

// A LogEnd is how a log ended, as its last known checkpoint has it.
type LogEnd struct {
	Origin     string `json:"origin"`
	Size       uint64 `json:"size"`
	RootHash   []byte `json:"rootHash"`
	Checkpoint string `json:"checkpoint"` // the signed note itself
	Records    uint64 `json:"records"`    // of all logs, that are here before this one
}

// A LeafID is where a record is in the transparency log.
type LeafID struct {
	Origin string `json:"origin"` // the log's name
	Leaf   uint64 `json:"leaf"`
}

// FoundKind says how many rows of a kind were found that no record explains, with the digest of their list: a line each, in
// order.
type FoundKind struct {
	Kind   string        `json:"kind"` // "account", "token"
	Count  int           `json:"count"`
	Digest digest.Digest `json:"digest"`
}

// Unsigned is what must be erasable: it names addresses.
type Unsigned struct {
	ClientAddress string `json:"clientAddress,omitempty"`
	ForwardedFor  string `json:"forwardedFor,omitempty"` // as the client or a proxy gave it, unchecked
	UserAgent     string `json:"userAgent,omitempty"`
}

// An Event is what a room hands to Append: a record before it has its place and time.
type Event struct {
	Action     Action
	Repository string
	Tags       []TagMove
	Digest     digest.Digest
	Manifest   ManifestChange
	Of         *uint64 // the record of the deletion that this is a part of
	Reason     *RuleReason
	Who        Identity
	Observed   Observation
	Claimed    []Claim
	Unread     []UnreadDocument
	Verdict    *Verdict
	Word       *Word
	Attested   []Attestation
	Hold       *Hold
	Grant      *RightsChange
	Key        *KeyStep
	Continues  *LogEnd
	Found      *Found
	Baseline   []FoundKind
	Rules      *RuleFiles
	Unsigned   Unsigned
}

// Time is a moment in UTC with microseconds, which JSON shows as RFC 3339 with six decimals.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000000Z"

// At returns t as a Time.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// String returns the moment as JSON shows it.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

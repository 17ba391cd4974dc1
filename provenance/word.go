package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// Another registry's record comes with an image as an artifact, and its word counts where the operator says so. It is a
// class of its own within attested: attested *by that registry*, which says what it saw. It is no signature of the image,
// it says nothing of what a tag means here or now, and its accounts are not ours.

// A Word is what was found of another registry's record of an image, at the time of our record. What it is worth later is
// asked of the configuration.
type Word struct {
	// Result is good where the record is proved by a log and a key of a registry that is known here, and is about this image;
	// failed where it names such a log and that does not hold; foreign where nobody who is known here speaks.
	Result Result `json:"result"`
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"` // for people
	// Registry is the configuration's name for whose word it is.
	Registry string `json:"registry,omitempty"`
	// Own says that it is this registry's own record, come back.
	Own bool `json:"own,omitempty"`
	// Said is what the record says. It is absent where that was not verified.
	Said *Saying `json:"said,omitempty"`
	// Checkpoint is what proves it, a signed note. Two of one log that contradict each other prove that it forked.
	Checkpoint string `json:"checkpoint,omitempty"`
	// Entry is the hash of its leaf, and Proof leads from it to the root hash of the checkpoint (RFC 6962): they fix what is in the log
	// at other sizes too.
	Entry *tlog.Hash  `json:"entry,omitempty"`
	Proof []tlog.Hash `json:"proof,omitempty"`
	// Leaf is where its record is in that log, where Said does not tell: some of the artifact was not read.
	Leaf *uint64 `json:"leaf,omitempty"`
	// Against is the record here with the checkpoint that this one contradicts.
	Against  *uint64       `json:"against,omitempty"`
	Key      string        `json:"key,omitempty"` // the hint of the key that signed the record
	Evidence Evidence      `json:"evidence"`      // the layer that was looked at
	Manifest digest.Digest `json:"manifest"`      // what carried it
}

// The reasons why a word does not count, beside those of signatures.
const (
	NoReceipt      Reason = "receipt"     // there is none, or it does not hold
	OtherEnvelope  Reason = "envelope"    // the statement beside the receipt is another one
	OtherNotes     Reason = "annotations" // the artifact's annotations contradict its statement
	LogClosed      Reason = "closed"      // its log was closed, and it is not proved to the end of that
	NotCosigned    Reason = "witnesses"   // no quorum of witnesses has cosigned its checkpoint
	LogForked      Reason = "fork"        // its log has shown two histories
	NotInOurLog    Reason = "own"         // it says to be this registry's own, and is not
	UnknownKey     Reason = "key"         // its log is known here, and the key that signed it is not
	OtherStatement Reason = "statement"   // it is no record of an image
	NotRead        Reason = "unread"      // it was not read to its end, so nothing is known of it
)

// A Saying is a record of another registry, with its own names and numbers.
type Saying struct {
	At         string `json:"at"` // what the registry calls itself
	Record     uint64 `json:"record"`
	Time       Time   `json:"time"` // by its clock
	Action     Action `json:"action"`
	Repository string `json:"repository"`
	Actor      Actor  `json:"actor"`
	Login      *Login `json:"authenticated,omitempty"`
	Log        LeafID `json:"log"`
	// Of is whose word that registry has recorded, where its record is of one: what it says of others is its word, and not theirs.
	Of *Saying `json:"of,omitempty"`
}

// SayingOf is what a record of another registry says, whose statement was verified. Ids of accounts and credentials mean
// nothing outside that registry, and stay behind. It goes on record here, so its texts are bounded and without credentials,
// whatever that registry let in, and of a login's claims only those stay that say where a job ran.
func SayingOf(r *Record, log LeafID) *Saying {
	s := &Saying{
		At: r.Registry, Record: r.Index, Time: r.Time, Action: r.Action, Repository: r.Repository, Actor: r.Actor, Login: r.Authenticated, Log: log,
	}
	s = s.abroad()
	if r.Word != nil && r.Word.Said != nil {
		s.Of = r.Word.Said.abroad() // and nobody needs to know of whom that is the word
	}
	return s
}

// abroad is a saying of another registry, as it may stand in a record here: without that of yet another one.
func (s *Saying) abroad() *Saying {
	cut := &Saying{
		At: Bounded(s.At), Record: s.Record, Time: s.Time, Action: Action(Bounded(string(s.Action))), Repository: Bounded(s.Repository),
		Actor: Actor{Kind: Kind(Bounded(string(s.Actor.Kind))), Handle: Bounded(s.Actor.Handle)},
		Log:   LeafID{Origin: Bounded(s.Log.Origin), Leaf: s.Log.Leaf},
	}
	if s.Login != nil {
		cut.Login = s.Login.abroad()
	}
	return cut
}

// claimsAbroad are the claims of a login that are taken over from another registry.
var claimsAbroad = []string{
	"repository", "repository_id", "sha", "ref", "event_name", "run_id", "run_attempt", "workflow_ref", "job_workflow_ref", // GitHub
	"project_path", "project_id", "pipeline_source", "pipeline_id", "job_id", "ci_config_ref_uri", // GitLab
}

// abroad is a login at another registry, as it may stand in a record here.
func (l *Login) abroad() *Login {
	login := &Login{Method: Bounded(l.Method), Issuer: Bounded(l.Issuer), Identity: Bounded(l.Identity)}
	for _, name := range claimsAbroad {
		if value := Bounded(l.Claims[name]); value != "" {
			if login.Claims == nil {
				login.Claims = map[string]string{}
			}
			login.Claims[name] = value
		}
	}
	return login
}

// done is what a record's action did to its image.
var done = map[Action]string{
	Push: "pushed", Import: "imported", Tag: "tagged", Untag: "untagged", Delete: "deleted",
	Undelete: "brought back", Purge: "removed from the trash", Attest: "looked at signatures of",
}

// String says it in words. The time is that registry's own.
func (s *Saying) String() string {
	did := done[s.Action]
	if did == "" {
		did = string(s.Action)
	}
	text := fmt.Sprintf("%s by %s at %s, record %d of %s, %s by its clock",
		did, s.Actor.Known(), s.At, s.Record, s.Repository, s.Time.UTC().Format(time.RFC3339))
	if s.Login != nil && s.Actor.Kind == CI {
		text += ", signed in by " + s.Login.Issuer + " (" + onlyAct + ")"
	}
	if s.Of != nil {
		text += "; it says that the record of another registry says: " + s.Of.String()
	}
	return text
}

// A WeighedWord is a word with what it is worth now.
type WeighedWord struct {
	Word
	Class    Class    `json:"class"` // attested by that registry where it counts, else claimed; observed where it is our own
	Says     string   `json:"says"`  // in words
	Standing Standing `json:"standing"`
	// Witnesses are the names of those that cosigned the checkpoint which proves it, where witnesses are demanded of its registry.
	Witnesses []string `json:"witnesses,omitempty"`
	// Before is when it was first verified here, where a record says so.
	Before *Verified `json:"before,omitempty"`
}

// SaysBesideClass is Says without the class, for where that stands before it.
func (w WeighedWord) SaysBesideClass() string {
	says := strings.TrimPrefix(w.Says, string(w.Class))
	return strings.TrimLeft(says, ": ")
}

// Verified is a record here by which something was verified.
type Verified struct {
	Record uint64 `json:"record"`
	Time   Time   `json:"time"`
}

// Facts are what a word that counts attests: who pushed it at that registry, and where the CI job ran that did, by name. These
// are of an act, so they have names of their own: whether the job built what it pushed, or was the first to push it, one record
// does not tell. What the image claimed there it claims here as well.
func (w *WeighedWord) Facts() map[string]Said {
	facts := map[string]Said{}
	if w.Class != Attested || w.Said == nil || w.Said.Action != Push && w.Said.Action != Import {
		return facts
	}
	from := fmt.Sprintf("record %d of %s at %s", w.Said.Record, w.Said.Repository, w.Said.At)
	facts[FactPushedBy] = Said{Value: w.Said.Actor.Known(), Class: Attested, From: from}
	if w.Said.Login == nil || w.Said.Actor.Kind != CI || w.Said.Action != Push {
		return facts
	}
	if job := w.Said.Login.Job(); job.Counts {
		from = "login of " + w.Said.Login.Issuer + ", " + from
		facts[FactPushedFrom] = Said{Value: job.Source, Class: Attested, From: from}
		facts[FactPushedRevision] = Said{Value: job.Revision, Class: Attested, From: from}
	}
	return facts
}

// The facts of an act at another registry.
const (
	FactPushedBy       = "pushed-by"       // who pushed the image
	FactPushedFrom     = "pushed-from"     // the source at which the CI job ran that pushed it
	FactPushedRevision = "pushed-revision" // the revision at which it ran
)

// Weigh says what a word is worth, where it does not count for a reason that is not empty.
func Weigh(w Word, why Reason, detail string) WeighedWord {
	ww := WeighedWord{Word: w, Class: Claimed, Standing: Standing{Counts: why == "", Reason: why, Detail: detail}}
	switch {
	case w.Own && why == "":
		ww.Class = Observed
	case why == "":
		ww.Class = Attested
	}
	ww.Says = w.says(ww.Class)
	return ww
}

func (w *Word) says(class Class) string {
	switch {
	case w.Result == Unread:
		return "a record that was not read to its end"
	case w.Said == nil:
		return "a record that nobody who is known here stands for"
	case w.Own && class == Observed:
		return "this registry's own record, come back: " + w.Said.String()
	case class == Attested:
		return "attested by registry " + w.Registry + ": " + w.Said.String()
	}
	return "claimed: " + w.Said.String()
}

// Holds says whether the log of an origin is one of this registry's, and whether it holds a statement as its record. Anyone who has the
// statement knows all that the record says.
func (b *Book) Holds(ctx context.Context, origin string, index uint64, payload []byte) (ours, held bool, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		ours, held = false, false
		if _, err := log.Open(tx, origin); errors.Is(err, log.ErrNoLog) {
			return nil
		} else if err != nil {
			return err
		}
		ours = true
		s, err := ReadSignedRecord(tx, index)
		if errors.Is(err, ErrNoRecord) || errors.Is(err, ErrNotSigned) {
			return nil
		}
		held = err == nil && bytes.Equal(s.Payload, payload)
		return err
	})
	return ours, held, err
}

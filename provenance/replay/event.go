package replay

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// event is a record of a repository, on its way in.
type event struct {
	*provenance.Record
	index  uint64
	in     *Repository
	states bool // a record at this place states what it changes
	wrong  func(error)
}

func (e *event) wrongf(format string, args ...any) {
	e.wrong(fmt.Errorf("record %d: "+format, append([]any{e.index}, args...)...))
}

func (s *State) inRepository(e *event) {
	e.chain()
	change := e.change()
	if change == "" && len(e.Tags) == 0 && !slices.Contains(provenance.Actions, e.Action) {
		e.in.Unknown = &e.index
	}
	if e.in.Unknown != nil {
		return
	}
	e.hold()
	gone := e.manifest(change)
	for _, t := range e.Tags {
		s.move(e, t)
	}
	if change == provenance.ManifestRemoved {
		delete(e.in.Manifests, e.Digest)
		e.in.Removed[e.Digest] = e.index
		e.intoTrash(gone)
	}
	if e.Action == provenance.Purge {
		if _, ok := e.in.Trash[e.Digest]; !ok {
			e.wrongf("it says that %s@%s was removed from the trash, where it was not", e.Repository, e.Digest)
		}
		delete(e.in.Trash, e.Digest)
	}
	s.evidence(e, change, gone)
}

// chain compares the record with the one that its repository had before.
func (e *event) chain() {
	switch {
	case e.Before == nil && (!e.in.seen || !e.states):
	case e.Before == nil:
		e.wrongf("it says that it is the first of %s, and record %d was before it", e.Repository, e.in.Newest)
	case !e.in.seen:
		e.wrongf("it names record %d as the one before it in %s, which has none", *e.Before, e.Repository)
	case *e.Before != e.in.Newest:
		e.wrongf("it names record %d as the one before it in %s, and that is %d", *e.Before, e.Repository, e.in.Newest)
	}
	e.in.Newest, e.in.seen = e.index, true
}

// change is what happened to the manifest. Records from before they stated it are read by their action.
func (e *event) change() provenance.ManifestChange {
	_, there := e.in.Manifests[e.Digest]
	if e.Manifest == "" && e.states && (e.Arrives() || e.Action == provenance.Delete) {
		e.wrongf("it does not state what became of %s@%s", e.Repository, e.Digest)
	}
	switch {
	case e.Manifest != "":
		return e.Manifest
	case e.Action == provenance.Push && there:
		return provenance.ManifestAgain
	case e.Action == provenance.Push:
		return provenance.ManifestAdded
	case e.Action == provenance.Delete:
		return provenance.ManifestRemoved
	}
	return ""
}

// hold notes that the image is held, or released.
func (e *event) hold() {
	switch _, held := e.in.Holds[e.Digest]; {
	case e.Hold == nil:
	case e.Hold.Released && !held:
		e.wrongf("it releases %s@%s, which nobody held", e.Repository, e.Digest)
	case e.Hold.Released:
		delete(e.in.Holds, e.Digest)
	case e.Hold.Ends():
		e.wrongf("it holds %s@%s, and does not state until when", e.Repository, e.Digest)
	default:
		e.in.Holds[e.Digest] = Hold{*e.Hold.Until, e.index}
	}
}

// manifest applies what happened to the manifest, but for its end, and returns it where it ends.
func (e *event) manifest(change provenance.ManifestChange) (gone *Manifest) {
	m := e.in.Manifests[e.Digest]
	switch {
	case change == "":
		return nil
	case change == provenance.ManifestAdded && m != nil:
		e.wrongf("it says that %s@%s was added, and that was there since record %d", e.Repository, e.Digest, m.Added)
	case change != provenance.ManifestAdded && m == nil:
		e.wrongf("it says of %s@%s: %s; and that was not there", e.Repository, e.Digest, change)
	}
	if change == provenance.ManifestRemoved {
		return m
	}
	if m == nil {
		m = &Manifest{Digest: e.Digest, Added: e.index, First: e.index, Subject: e.Observed.Subject, Type: e.Observed.MediaType}
		e.outOfTrash(m)
		e.in.Manifests[e.Digest] = m
		delete(e.in.Removed, e.Digest)
	} else if e.states || m.Type == e.Observed.MediaType {
		m.Type = e.Observed.MediaType
	} else {
		m.Type = "" // older versions served what came first
	}
	return nil
}

// intoTrash notes that a manifest can be brought back, where its deletion says so.
func (e *event) intoTrash(gone *Manifest) {
	if until := e.Observed.KeptUntil; until != nil && gone != nil {
		e.in.Trash[e.Digest] = Trashed{e.index, *until, gone.First, gone.Tagged, gone.HadTag}
	}
}

// outOfTrash takes a manifest that is there again out of the trash. One that was brought back arrived when it did before; one
// that was pushed again arrives anew.
func (e *event) outOfTrash(m *Manifest) {
	t, ok := e.in.Trash[e.Digest]
	delete(e.in.Trash, e.Digest)
	switch {
	case e.Action != provenance.Undelete:
	case !ok:
		e.wrongf("it says that %s@%s was brought back from the trash, where it was not", e.Repository, e.Digest)
	default:
		m.First, m.Tagged, m.HadTag = t.First, t.Tagged, t.HadTag
	}
}

// move applies what happened to a tag.
func (s *State) move(e *event, t provenance.TagMove) {
	was, lives := e.in.Tag(t.Name)
	if e.Of != nil { // it ended with its manifest, of which this is a later part
		if ended, ok := e.in.Ended(t.Name); ok {
			was, lives = ended, true
		}
	}
	now := e.Meaning(t)
	e.compare(t, was, lives)
	if lives && e.Of == nil && now != was.Digest {
		s.against(e, t, was, now)
	}
	if now == "" {
		delete(e.in.tags, t.Name)
		return
	}
	m := e.in.Manifests[now]
	if m == nil {
		e.wrongf("%s:%s was set to %s, which was not there", e.Repository, t.Name, now)
		delete(e.in.tags, t.Name)
		return
	}
	if !m.HadTag {
		m.HadTag, m.Tagged = true, e.index
	}
	e.in.tags[t.Name] = Tag{m.Digest, e.index}
}

// compare wants a move to begin where the tag was.
func (e *event) compare(t provenance.TagMove, was Tag, lives bool) {
	switch {
	case !lives && t.Previous != "":
		e.wrongf("it says that %s:%s meant %s, and it meant nothing", e.Repository, t.Name, t.Previous)
	case lives && t.Previous != was.Digest:
		e.wrongf("it says that %s:%s meant %s, and it meant %s since record %d", e.Repository, t.Name, orNothing(t.Previous), was.Digest, was.Since)
	case lives && t.Since == nil && e.states:
		e.wrongf("it does not state which record set %s:%s, and that was record %d", e.Repository, t.Name, was.Since)
	case lives && t.Since != nil && *t.Since != was.Since:
		e.wrongf("it says that %s:%s was set by record %d, and it was by record %d", e.Repository, t.Name, *t.Since, was.Since)
	}
}

// orNothing is a digest as sentences have it.
func orNothing(d digest.Digest) string {
	if d == "" {
		return "nothing"
	}
	return d.String()
}

// against reports a move that a rule forbade.
func (s *State) against(e *event, t provenance.TagMove, was Tag, now digest.Digest) {
	if s.options.Covers == nil {
		return
	}
	for _, right := range s.Rights {
		if right.Tags != "" && s.options.Covers(right.RightsChange, e.Repository, t.Name) {
			e.wrongf("%s:%s went from %s to %s, against the rule that record %d made: tags %s in %s stay as they are",
				e.Repository, t.Name, was.Digest, orNothing(now), right.Record, right.Tags, right.Pattern)
		}
	}
}

// evidence notes of what more or less is known by a record: what its manifest refers to, what its tags are about, the manifest itself when
// it comes again, and what was found later of something that had come before.
func (s *State) evidence(e *event, change provenance.ManifestChange, gone *Manifest) {
	about := make([]digest.Digest, 0, 4)
	switch {
	case gone != nil:
		about = append(about, gone.Subject)
	case change == provenance.ManifestAdded:
		about = append(about, e.Observed.Subject)
	case change == provenance.ManifestAgain:
		about = append(about, e.Observed.Subject, e.Digest)
	case e.Action == provenance.Attest && e.Of != nil:
		about = append(about, e.Digest)
	}
	for _, t := range e.Tags {
		if s.options.About != nil {
			about = append(about, s.options.About(t.Name))
		}
	}
	for _, d := range about {
		if m := e.in.Manifests[d]; m != nil {
			m.Known = e.index
		}
	}
}

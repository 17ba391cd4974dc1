package retention

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// A manifest stays that something keeps, and with it what it lists, what refers to it, and what stands beside it under a tag made
// from its digest. What is left goes.

// evaluateManifests lets each manifest stay or go, and the tags beside it.
func (e *evaluator) evaluateManifests() {
	e.evaluateOrphans()
	for i := range e.f.Manifests {
		if why := e.root(i); why != "" {
			e.keep(i, why)
		}
	}
	e.keepAround()
	if e.set.Untagged == nil { // those that are beside each other, in a circle
		for i := range e.f.Manifests {
			e.keep(i, notUntagged)
		}
		e.keepAround()
	}
	for i := range e.f.Manifests {
		if v := &e.Manifests[i]; v.Why == "" {
			*v = Disposition{Goes: true, Rule: Untagged, Why: "nothing keeps it"}
			e.dropBeside(i, short(e, i)+" goes, which it is beside")
		}
	}
}

// evaluateOrphans evaluates the tags that are made from digests which are not here. A client may copy a signature before its image, so
// they have the time of what has no tag.
func (e *evaluator) evaluateOrphans() {
	for _, t := range e.beside[-1] {
		switch v, keep := &e.Tags[t], e.set.Untagged; {
		case v.Why != "":
		case keep == nil:
			v.Why = notUntagged
		case *keep > 0 && e.f.Tags[t].Record >= e.at.Since(*keep):
			v.Why = "set less than untagged.keep ago, and its image may still come"
		default:
			*v = Disposition{Goes: true, Rule: Untagged, Why: "it is beside an image that is not here"}
		}
	}
}

// dropBeside lets the tags go that are beside a manifest.
func (e *evaluator) dropBeside(i int, why string) {
	for _, t := range e.beside[i] {
		if v := &e.Tags[t]; v.Why == "" {
			*v = Disposition{Goes: true, Rule: Untagged, Why: why}
		}
	}
}

func (e *evaluator) keep(i int, why string) {
	if v := &e.Manifests[i]; v.Why == "" {
		v.Why = why
		e.queue = append(e.queue, i)
	}
}

// keepAround keeps the neighbours of all that stays.
func (e *evaluator) keepAround() {
	for len(e.queue) > 0 {
		i := e.queue[len(e.queue)-1]
		e.queue = e.queue[:len(e.queue)-1]
		e.keepNeighbours(i)
	}
}

// keepNeighbours keeps what a manifest that stays lists, what refers to it, and what stands beside it.
func (e *evaluator) keepNeighbours(i int) {
	for _, listed := range e.f.Manifests[i].Lists {
		e.keep(listed, "listed by "+short(e, i))
	}
	for _, referrer := range e.referrers[i] {
		e.keep(referrer, "its subject "+short(e, i)+" stays")
	}
	for _, t := range e.beside[i] {
		if v := &e.Tags[t]; v.Why == "" {
			v.Why = "beside " + short(e, i) + ", which stays"
		}
		e.keep(e.f.Tags[t].Manifest, "tag "+e.f.Tags[t].Name)
	}
}

// root says what keeps a manifest by itself, or "".
func (e *evaluator) root(i int) string {
	if held := e.f.Manifests[i].Held; held != "" {
		return "held " + held
	}
	for _, t := range e.tags[i] {
		if e.Tags[t].Why != "" && !e.Tags[t].Goes {
			return "tag " + e.f.Tags[t].Name
		}
	}
	return e.former(i)
}

// notUntagged is why manifests stay that have no tag, by default.
const notUntagged = "untagged.keep is not set, so what has no tag stays for ever"

// former says whether untagged.keep lets a manifest stay: it counts from when the last tag left it, or from its arrival where it
// never had one, and from its last pull by digest.
func (e *evaluator) former(i int) string {
	m, keep := &e.f.Manifests[i], e.set.Untagged
	losesTag, beside := false, false
	for _, t := range e.tags[i] {
		beside, losesTag = beside || e.isBeside[t], losesTag || !e.isBeside[t] // none of them stays by itself
	}
	attached := m.Subject >= 0 || beside
	switch {
	case keep == nil && attached && !losesTag:
		return "" // it follows what it is attached to, which stays
	case keep == nil:
		return notUntagged
	case *keep == 0:
		return ""
	case losesTag:
		return "had a tag until now, and untagged.keep is " + units.Duration(*keep).String()
	case m.Meant != nil && *m.Meant >= e.at.Since(*keep):
		return fmt.Sprintf("had a tag until record %d, and untagged.keep is %s", *m.Meant, units.Duration(*keep))
	case !m.Pulled.IsZero() && m.Pulled.After(e.at.Now.Add(-*keep)):
		return "pulled by digest at " + m.Pulled.UTC().Format(time.RFC3339)
	case !attached && m.Record >= e.at.Since(*keep):
		return fmt.Sprintf("arrived with record %d, and untagged.keep is %s", m.Record, units.Duration(*keep))
	}
	return ""
}

// short is a manifest as sentences name it.
func short(e *evaluator, i int) string {
	d := e.f.Manifests[i].Digest.String()
	if cut := strings.IndexByte(d, ':') + 13; cut < len(d) {
		d = d[:cut]
	}
	return d
}

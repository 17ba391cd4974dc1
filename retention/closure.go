package retention

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// A manifest stays that something keeps, and with it what it lists, what refers to it, and what stands beside it under a tag made
// from its digest. What is left goes.

// judgeManifests lets each manifest stay or go, and the tags beside it.
func (j *judge) judgeManifests() {
	j.judgeOrphans()
	for i := range j.f.Manifests {
		if why := j.root(i); why != "" {
			j.keep(i, why)
		}
	}
	j.keepAround()
	if j.set.Untagged == nil { // those that are beside each other, in a circle
		for i := range j.f.Manifests {
			j.keep(i, notUntagged)
		}
		j.keepAround()
	}
	for i := range j.f.Manifests {
		if v := &j.Manifests[i]; v.Why == "" {
			*v = Verdict{Goes: true, Rule: Untagged, Why: "nothing keeps it"}
			j.dropBeside(i, short(j, i)+" goes, which it is beside")
		}
	}
}

// judgeOrphans judges the tags that are made from digests which are not here. A client may copy a signature before its image, so
// they have the time of what has no tag.
func (j *judge) judgeOrphans() {
	for _, t := range j.beside[-1] {
		switch v, keep := &j.Tags[t], j.set.Untagged; {
		case v.Why != "":
		case keep == nil:
			v.Why = notUntagged
		case *keep > 0 && j.f.Tags[t].Record >= j.at.Since(*keep):
			v.Why = "set less than untagged.keep ago, and its image may still come"
		default:
			*v = Verdict{Goes: true, Rule: Untagged, Why: "it is beside an image that is not here"}
		}
	}
}

// dropBeside lets the tags go that are beside a manifest.
func (j *judge) dropBeside(i int, why string) {
	for _, t := range j.beside[i] {
		if v := &j.Tags[t]; v.Why == "" {
			*v = Verdict{Goes: true, Rule: Untagged, Why: why}
		}
	}
}

func (j *judge) keep(i int, why string) {
	if v := &j.Manifests[i]; v.Why == "" {
		v.Why = why
		j.queue = append(j.queue, i)
	}
}

// keepAround keeps the neighbours of all that stays.
func (j *judge) keepAround() {
	for len(j.queue) > 0 {
		i := j.queue[len(j.queue)-1]
		j.queue = j.queue[:len(j.queue)-1]
		j.keepNeighbours(i)
	}
}

// keepNeighbours keeps what a manifest that stays lists, what refers to it, and what stands beside it.
func (j *judge) keepNeighbours(i int) {
	for _, listed := range j.f.Manifests[i].Lists {
		j.keep(listed, "listed by "+short(j, i))
	}
	for _, referrer := range j.referrers[i] {
		j.keep(referrer, "its subject "+short(j, i)+" stays")
	}
	for _, t := range j.beside[i] {
		if v := &j.Tags[t]; v.Why == "" {
			v.Why = "beside " + short(j, i) + ", which stays"
		}
		j.keep(j.f.Tags[t].Manifest, "tag "+j.f.Tags[t].Name)
	}
}

// root says what keeps a manifest by itself, or "".
func (j *judge) root(i int) string {
	if held := j.f.Manifests[i].Held; held != "" {
		return "held " + held
	}
	for _, t := range j.tags[i] {
		if j.Tags[t].Why != "" && !j.Tags[t].Goes {
			return "tag " + j.f.Tags[t].Name
		}
	}
	return j.former(i)
}

// notUntagged is why manifests stay that have no tag, by default.
const notUntagged = "untagged.keep is not set, so what has no tag stays for ever"

// former says whether untagged.keep lets a manifest stay: it counts from when the last tag left it, or from its arrival where it
// never had one, and from its last pull by digest.
func (j *judge) former(i int) string {
	m, keep := &j.f.Manifests[i], j.set.Untagged
	losesTag, beside := false, false
	for _, t := range j.tags[i] {
		beside, losesTag = beside || j.isBeside[t], losesTag || !j.isBeside[t] // none of them stays by itself
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
	case m.Meant != nil && *m.Meant >= j.at.Since(*keep):
		return fmt.Sprintf("had a tag until record %d, and untagged.keep is %s", *m.Meant, units.Duration(*keep))
	case !m.Pulled.IsZero() && m.Pulled.After(j.at.Now.Add(-*keep)):
		return "pulled by digest at " + m.Pulled.UTC().Format(time.RFC3339)
	case !attached && m.Record >= j.at.Since(*keep):
		return fmt.Sprintf("arrived with record %d, and untagged.keep is %s", m.Record, units.Duration(*keep))
	}
	return ""
}

// short is a manifest as sentences name it.
func short(j *judge, i int) string {
	d := j.f.Manifests[i].Digest.String()
	if cut := strings.IndexByte(d, ':') + 13; cut < len(d) {
		d = d[:cut]
	}
	return d
}

package api

import (
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
)

// expiry is what a list says of how long a tag stays, where it is asked.
type expiry struct {
	HeldUntil *provenance.Time `json:"heldUntil,omitempty"` // its image is held
	// Expiry is what rules of retention would make of it, for those who may push to the repository; absent where none names it.
	Expiry *retention.Expiry `json:"expiry,omitempty"`
}

// addExpiries says of each tag until when it stays. Its holds are for whoever may pull, its rules for those who may push.
func (a *API) addExpiries(c *call, repo string, tags []tagEntry) error {
	entries := make([]registry.TagEntry, len(tags))
	for i, t := range tags {
		entries[i] = registry.TagEntry{Name: t.Name, Digest: t.Digest, Record: t.Record}
	}
	protected, err := a.Images.Protections(c.Context(), repo, entries, time.Now())
	if err != nil {
		return err
	}
	aged := make([]retention.Aged, len(tags))
	for i, p := range protected {
		if !p.Held.IsZero() {
			tags[i].HeldUntil = &p.Held
		}
		aged[i] = retention.Aged{TagEntry: entries[i], Set: tags[i].Time.Time, Protection: p}
	}
	if !a.Gate.May(c.who, access.Push, repo) {
		return nil
	}
	all, err := a.Retention.Expiries(c.Context(), repo, aged)
	for i := range all {
		tags[i].Expiry = &all[i]
	}
	return err
}

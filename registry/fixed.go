package registry

import (
	"context"

	"github.com/seed-260924e6/hallmark/storage"
)

// mayMove is an error where a rule keeps a tag that is set as it is. It is asked in the transaction that
// would move or remove the tag, or remove what it means: a rule that was committed before counts, and who
// may do what does not matter, because a rule is of use only when nobody is above it. An administrator can
// take the rule away, which is on record.
func (g *Registry) mayMove(tx storage.Reader, repo, tag string) error {
	rule, err := g.gate.Fixed(tx, repo, tag)
	if err == nil && rule != "" {
		return errDenied("tag %.60s is immutable here (%.80s): use another tag, or ask an administrator", tag, rule)
	}
	return err
}

// Fixed returns a sentence about the rule that keeps a tag as it is, or "".
func (g *Registry) Fixed(ctx context.Context, repo, tag string) (rule string, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		rule, err = g.gate.Fixed(tx, repo, tag)
		return err
	})
	return rule, err
}

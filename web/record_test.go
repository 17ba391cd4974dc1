package web

import (
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestRights says in words what became of accounts and rights.
func TestRights(t *testing.T) {
	for want, r := range map[string]provenance.Record{
		"granted user:bob pull on base/**": {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bob", Role: "pull", Pattern: "base/**"}},
		"granted user:bob team core":       {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bob", Team: "core"}},
		"revoked on team/** tags v*":       {Action: provenance.Revoke, Grant: &provenance.RightsChange{Pattern: "team/**", Tags: "v*"}},
		"added user:bob":                   {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bob", Change: provenance.AccountAdded}},
		"added user:admin, and granted user:admin admin on **": {Action: provenance.Grant, Grant: &provenance.RightsChange{
			Subject: "user:admin", Role: "admin", Pattern: "**", Change: provenance.AccountAdded,
		}},
		"renamed user:bob to user:bert":            {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bert", Former: "user:bob", Change: provenance.AccountRenamed}},
		"gave user:bob another password or secret": {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bob", Change: provenance.AccountSecret}},
		"made a personal token for user:bob":       {Action: provenance.Grant, Grant: &provenance.RightsChange{Subject: "user:bob", Change: provenance.TokenAdded}},
		"ended a personal token of user:bob":       {Action: provenance.Revoke, Grant: &provenance.RightsChange{Subject: "user:bob", Change: provenance.TokenEnded}},
		"removed user:bob":                         {Action: provenance.Revoke, Grant: &provenance.RightsChange{Subject: "user:bob", Change: provenance.AccountRemoved}},
	} {
		if got := rights(&r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

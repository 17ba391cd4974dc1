package access

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestWhy wants the grants by which somebody has a right, and none exactly where they have not.
func TestWhy(t *testing.T) {
	a, _ := testAccess(t)
	addUser(t, a, "root", true)
	carol, bob := addUser(t, a, "carol", false), addUser(t, a, "bob", false)
	for _, err := range []error{a.AddTeam(background, Operator, "core"), a.JoinTeam(background, Operator, "core", []string{"carol"})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const job = "ci:https://ci.example:repository_id=7"
	grant(t, a, "team:core team/** push", "user:carol team/app delete", "everyone lib/** pull", "anonymous open/** pull", job+" team/** push")
	who := map[string]provenance.Identity{"user:carol": carol, "user:bob": bob, "anonymous": {Actor: provenance.Actor{Kind: provenance.Anonymous}}}
	for question, want := range map[string][]string{
		"user:carol team/app push":                                        {"team:core team/** push", "user:carol team/app delete"},
		"user:carol team/app delete":                                      {"user:carol team/app delete"},
		"user:carol team/web delete":                                      {},
		"user:carol lib/x pull":                                           {"everyone lib/** pull"},
		"user:bob team/app pull":                                          {},
		"user:bob open/x pull":                                            {"anonymous open/** pull"},
		"user:root team/app admin":                                        {"user:root ** admin"},
		"team:core team/app push":                                         {"team:core team/** push"},
		"team:core lib/x pull":                                            {"everyone lib/** pull"},
		"everyone lib/x pull":                                             {"everyone lib/** pull"},
		"anonymous lib/x pull":                                            {},
		"anonymous open/x pull":                                           {"anonymous open/** pull"},
		job + " team/app push":                                            {job + " team/** push"},
		job + " lib/x pull":                                               {},
		"ci:https://ci.example:repository_id=8 team/app push":             {},
		"ci:https://ci.example:ref=main,repository_id=7 team/app pull":    {job + " team/** push"},
		"ci:https://other.example:ref=main,repository_id=7 team/app pull": {},
	} {
		g := testGrant(t, question)
		found, err := a.Why(background, g.Subject, g.Role, g.Pattern.String())
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, f := range found {
			got = append(got, f.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
		if id, ok := who[g.Subject.String()]; ok && a.May(id, g.Role, g.Pattern.String()) != (len(got) > 0) {
			t.Errorf("%s: what is asked in a request has another answer", question)
		}
	}
	for _, c := range []struct {
		subject string
		want    error
	}{{"user:nobody", ErrUnknownUser}, {"team:none", ErrUnknownTeam}, {"robot:none", ErrUnknownRobot}} {
		if _, err := a.Why(background, mustSubject(t, c.subject), Pull, "x"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.subject, err)
		}
	}
}

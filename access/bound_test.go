package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestBound grants rights to jobs of issuers of each kind: what is no id of that issuer binds nothing.
func TestBound(t *testing.T) {
	a, p, _ := jobs(t)
	const audience = "https://registry.example"
	err := a.UseIssuers([]oidc.Issuer{
		{URL: p.URL, Audience: audience, Kind: "github", CA: p.CA()},
		{URL: "https://gitlab.example", Audience: audience, Kind: "gitlab"},
		{URL: "https://opaque.example", Audience: audience, IDs: []string{"sub"}},
		{URL: "https://named.example", Audience: audience, Claims: []string{"repository_id"}, IDs: []string{"pipeline_id"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = a.grantable(mustSubject(t, "ci:https://notyet.example:sub=9"))
	if err == nil || !strings.Contains(err.Error(), "https://notyet.example is not configured here: name it under `oidc` first, or name one of repository_id, ") {
		t.Errorf("granted to jobs of an issuer that nobody has named: %v", err)
	}
	for claims, want := range map[string]error{
		p.URL + ":repository_id=4711":                          nil,
		p.URL + ":repository_owner_id=77,repository=octo/*":    nil,
		p.URL + ":sub=repo:octo/app:ref:refs/heads/main":       ErrClaims, // the older sub, of names
		p.URL + ":sub=repo:octo@77/app@4711:*":                 ErrClaims,
		p.URL + ":repository=octo/app,ref=refs/heads/main":     ErrClaims,
		p.URL + ":repository_id=47*":                           ErrClaims,
		p.URL + ":project_id=4711":                             ErrClaims, // GitLab's
		"https://gitlab.example:project_id=7":                  nil,
		"https://gitlab.example:namespace_id=7,ref=main":       nil,
		"https://gitlab.example:project_path=team/app":         ErrClaims,
		"https://gitlab.example:sub=project_path:team/app":     ErrClaims,
		"https://opaque.example:sub=71c3":                      nil,
		"https://opaque.example:sub=7*":                        ErrClaims,
		"https://named.example:pipeline_id=9,sub=**":           nil,
		"https://named.example:sub=org:acme:pipeline:release":  ErrClaims,
		"https://named.example:repository_id=9":                ErrClaims,
		"https://notyet.example:repository_id=9":               nil,
		"https://notyet.example:sub=9":                         ErrClaims,
		"https://notyet.example:repository=9,repository_id=**": ErrClaims,
	} {
		g := Grant{mustSubject(t, "ci:"+claims), mustPattern(t, "team/**"), Push}
		if _, err := a.Grant(background, Operator, g); !errors.Is(err, want) {
			t.Errorf("granted to %s: %v", claims, err)
		}
		var entry *EntryError
		if _, _, err := a.Apply(background, Operator, File{Grants: []Grant{g}}, true); want != nil && (!errors.Is(err, want) || !errors.As(err, &entry)) {
			t.Errorf("a file with %s: %v", claims, err)
		}
	}
}

// TestUnboundGrant finds a grant in the store from a time when more passed for an id: it gives nothing, and can be
// taken back.
func TestUnboundGrant(t *testing.T) {
	a, p, clock := jobs(t)
	old := Grant{mustSubject(t, "ci:"+p.URL+":repository=octo/app"), mustPattern(t, "team/**"), Push}
	err := a.change(background, func(tx storage.Tx) error {
		_, err := a.edit(tx, Operator, func(d *Document) error { d.Grants = append(d.Grants, old); return nil })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, nil)), "192.0.2.1:1"))
	if err != nil || who.Actor.Kind != provenance.CI {
		t.Fatal(who, err)
	}
	if a.May(who, Pull, "team/app") || len(a.Prefixes(who)) > 0 {
		t.Error("a name is enough")
	}
	if err := a.Revoke(background, Operator, old); err != nil {
		t.Error(err)
	}
}

package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// worldSecret has the shape of a secret.
var worldSecret = "hmrk_" + strings.Repeat("a", 33)

// two cuts a list of two as a room does: behind a name, and no longer than limit.
func two[T any](after, first string, limit int, one, other T) []T {
	list := []T{one, other}
	if after == first {
		list = list[1:]
	}
	return list[:min(limit, len(list))]
}

func worldAccount(name string) access.User {
	return access.User{Name: name, Account: "account-" + name, Created: worldTime, PasswordSet: worldTime}
}

// Users implements Users.
func (w *world) Users(_ context.Context, after string, limit int) ([]access.User, error) {
	return two(after, "admin", limit, worldAccount("admin"), worldAccount("alice")), w.asked()
}

// AddUser implements Users.
func (w *world) AddUser(_ context.Context, _ provenance.Identity, name, _ string, _ bool) (access.User, error) {
	return worldAccount(name), w.asked()
}

// SetPassword implements Users.
func (w *world) SetPassword(context.Context, provenance.Identity, string, string) error {
	return w.asked()
}

// RemoveUser implements Users.
func (w *world) RemoveUser(context.Context, provenance.Identity, string) error { return w.asked() }

// RenameUser implements Users.
func (w *world) RenameUser(_ context.Context, _ provenance.Identity, _, to string) (access.User, error) {
	return worldAccount(to), w.asked()
}

// AccountOf implements Accounts.
func (w *world) AccountOf(_ context.Context, name string) (string, error) {
	if err := w.asked(); err != nil {
		return "", err
	}
	if name == "nobody" {
		return "", access.ErrUnknownUser
	}
	return "account-" + name, nil
}

// Holders implements Accounts.
func (w *world) Holders(_ context.Context, of []provenance.Actor) ([]provenance.Actor, error) {
	return of, w.asked()
}

func worldGrant(subject string) access.GrantEntry {
	g := access.GrantEntry{Account: "account-alice"}
	for text, into := range map[string]interface{ UnmarshalText([]byte) error }{subject: &g.Subject, "team/**": &g.Pattern, "pull": &g.Role} {
		if err := into.UnmarshalText([]byte(text)); err != nil {
			panic(err) // a bug of the test
		}
	}
	return g
}

// Grants implements Grants: all that there are, in order.
func (w *world) Grants(context.Context, provenance.Identity, access.GrantQuery) ([]access.GrantEntry, error) {
	return []access.GrantEntry{worldGrant("user:alice"), worldGrant("user:bob")}, w.asked()
}

// Grant implements Grants. What alice gets is new, and what others do is not.
func (w *world) Grant(_ context.Context, _ provenance.Identity, g access.Grant) (bool, error) {
	return g.Subject.String() == "user:alice", w.asked()
}

// Revoke implements Grants.
func (w *world) Revoke(context.Context, provenance.Identity, access.Grant) error { return w.asked() }

// Why implements Grants.
func (w *world) Why(context.Context, access.Subject, access.Right, string) ([]access.GrantEntry, error) {
	return []access.GrantEntry{worldGrant("user:alice")}, w.asked()
}

// Teams implements Teams.
func (w *world) Teams(_ context.Context, after string, limit int) ([]access.TeamEntry, error) {
	one, other := access.TeamEntry{Name: "core", Members: []string{"alice"}}, access.TeamEntry{Name: "web", Members: []string{}}
	return two(after, "core", limit, one, other), w.asked()
}

// Team implements Teams.
func (w *world) Team(_ context.Context, name string) (access.TeamEntry, error) {
	if err := w.asked(); err != nil {
		return access.TeamEntry{}, err
	}
	if name != "core" {
		return access.TeamEntry{}, access.ErrUnknownTeam
	}
	return access.TeamEntry{Name: "core", Members: []string{"alice"}}, nil
}

// AddTeam, RemoveTeam, JoinTeam and LeaveTeam implement Teams.
func (w *world) AddTeam(context.Context, provenance.Identity, string) error    { return w.asked() }
func (w *world) RemoveTeam(context.Context, provenance.Identity, string) error { return w.asked() }
func (w *world) JoinTeam(context.Context, provenance.Identity, string, []string) error {
	return w.asked()
}

func (w *world) LeaveTeam(context.Context, provenance.Identity, string, []string) error {
	return w.asked()
}

func worldRobot(name string) access.Robot {
	return access.Robot{Name: name, Account: "account-" + name, Created: worldTime, SecretSet: worldTime}
}

// Robots implements Robots.
func (w *world) Robots(_ context.Context, after string, limit int) ([]access.Robot, error) {
	return two(after, "builder", limit, worldRobot("builder"), worldRobot("scanner")), w.asked()
}

// AddRobot implements Robots.
func (w *world) AddRobot(_ context.Context, _ provenance.Identity, name string, _ time.Time) (access.Robot, string, error) {
	return worldRobot(name), worldSecret, w.asked()
}

// RotateRobot implements Robots.
func (w *world) RotateRobot(_ context.Context, _ provenance.Identity, name string, _ time.Time) (access.Robot, string, error) {
	return worldRobot(name), worldSecret, w.asked()
}

// RemoveRobot implements Robots.
func (w *world) RemoveRobot(context.Context, provenance.Identity, string) error { return w.asked() }

func worldFix(tags string) (f access.FixedTags) {
	for text, into := range map[string]interface{ UnmarshalText([]byte) error }{"team/**": &f.Repositories, tags: &f.Tags} {
		if err := into.UnmarshalText([]byte(text)); err != nil {
			panic(err) // a bug of the test
		}
	}
	return f
}

// Fixes, Fix and Unfix implement TagRules. A rule for v* is new, and others are not.
func (w *world) Fixes(provenance.Identity) []access.FixedTags {
	return []access.FixedTags{worldFix("v*")}
}

func (w *world) Fix(_ context.Context, _ provenance.Identity, f access.FixedTags) (bool, error) {
	return f.Tags.String() == "v*", w.asked()
}

func (w *world) Unfix(context.Context, provenance.Identity, access.FixedTags) error { return w.asked() }

// Export implements Document.
func (w *world) Export(context.Context) (access.File, digest.Digest, error) {
	f := access.File{Version: 7, Teams: map[string][]string{}, Grants: []access.Grant{}, Immutable: []access.FixedTags{}}
	return f, digest.FromString("document"), w.asked()
}

// Apply implements Document.
func (w *world) Apply(context.Context, provenance.Identity, access.File, bool) ([]access.Change, uint64, error) {
	return nil, 8, w.asked()
}

// DocumentText implements Document.
func (w *world) DocumentText(context.Context) ([]byte, error) { return []byte("{}"), w.asked() }

func worldSession(id string) access.Session {
	return access.Session{ID: id, Kind: access.TokenSession, Owner: worldUser("alice").Actor, Created: worldTime, Expires: worldTime}
}

// Sessions implements Sessions.
func (w *world) Sessions(_ context.Context, _ string, _ access.SessionKind, after string, limit int) ([]access.Session, error) {
	return two(after, "s1", limit, worldSession("s1"), worldSession("s2")), w.asked()
}

// AddToken implements Sessions.
func (w *world) AddToken(context.Context, provenance.Identity, access.NewToken) (access.Session, string, error) {
	return worldSession("s3"), worldSecret, w.asked()
}

// EndSession implements Sessions.
func (w *world) EndSession(context.Context, provenance.Identity, string) error { return w.asked() }

// SignIn implements Logins.
func (w *world) SignIn(_ *http.Request, name, _ string) (provenance.Identity, error) {
	return worldUser(name), w.asked()
}

// Refresh implements Logins.
func (w *world) Refresh(*http.Request, string) (provenance.Identity, error) {
	return worldUser("alice"), w.asked()
}

// Issue implements Logins.
func (w *world) Issue(context.Context, provenance.Identity, access.TokenAsk) (access.Tokens, error) {
	return access.Tokens{Token: "token", Lasts: 5 * time.Minute, Issued: worldTime.Time}, w.asked()
}

// checkAccounts is the check of the accounts.
func (w *world) checkAccounts(context.Context, func(error)) (int, error) { return 2, w.asked() }

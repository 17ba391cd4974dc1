package replay

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// right applies a record of a right or an account.
func (s *State) right(index uint64, r *provenance.Record, wrong func(error)) {
	s.document(index, r, wrong)
	g := *r.Grant
	if g.Change != "" {
		s.account(index, g, wrong)
	}
	if g.Change != "" && g.Role == "" {
		return
	}
	key := KeyOf(g)
	// A rule for tags withholds: it comes with a revoke, and goes with a grant.
	if comes := (r.Action == provenance.Grant) == (g.Tags == ""); comes {
		s.Rights[key] = Right{g, index}
		return
	}
	if _, ok := s.Rights[key]; !ok {
		wrong(fmt.Errorf("record %d ends a right that no record gave: %s", index, Describe(g)))
	}
	delete(s.Rights, key)
}

// document wants the access document to change with its version, and its version to grow.
func (s *State) document(index uint64, r *provenance.Record, wrong func(error)) {
	now := Access{index, r.Grant.Version, r.Digest}
	switch was := s.Access; {
	case was.Digest == "":
	case now.Version < was.Version:
		wrong(fmt.Errorf("record %d is about version %d of the access document, and record %d was about version %d", index, now.Version, was.Record, was.Version))
	case now.Version == was.Version && now.Digest != was.Digest:
		wrong(fmt.Errorf("record %d says that version %d of the access document is %s, and record %d that it is %s", index, now.Version, now.Digest, was.Record, was.Digest))
	}
	s.Access = now
}

// account applies what happened to an account itself. One that is from before accounts were on record comes into view with
// its first record.
func (s *State) account(index uint64, g provenance.RightsChange, wrong func(error)) {
	was, known := s.Accounts[g.Account]
	if g.Credential != "" && g.Change != provenance.TokenEnded {
		s.Introduced[g.Credential] = g.Account
	}
	switch g.Change {
	case provenance.TokenAdded:
		s.Tokens[g.Credential] = Token{g.Account, index, Reach{g.Scopes, g.Expires}}
		return
	case provenance.TokenEnded:
		if _, ok := s.Tokens[g.Credential]; !ok && IsOnRecord(g.Credential) {
			wrong(fmt.Errorf("record %d ends the token %s, which no record made", index, g.Credential))
		}
		delete(s.Tokens, g.Credential)
		return
	case provenance.AccountRemoved:
		delete(s.Accounts, g.Account)
		maps.DeleteFunc(s.Tokens, func(_ string, t Token) bool { return t.Account == g.Account })
		return
	case provenance.AccountAdded:
		if known {
			wrong(fmt.Errorf("record %d adds account %s, which record %d knew already as %s", index, g.Account, was.Record, was.Subject))
		}
	case provenance.AccountRenamed, provenance.AccountSecret:
		if before := cmp.Or(g.Former, g.Subject); known && before != was.Subject {
			wrong(fmt.Errorf("record %d says that account %s was %s, and record %d that it is %s", index, g.Account, before, was.Record, was.Subject))
		}
	}
	now := Account{Subject: g.Subject, Credential: g.Credential, Record: index}
	if now.Credential == "" {
		now.Credential = was.Credential
	}
	s.Accounts[g.Account] = now
}

// login wants the secret of a login to be one that a record before introduced, for the account that signed in with it. A session is on no
// record, and the password that it rests on is. Of ids from before secrets were on record it cannot be told.
func (s *State) login(index uint64, r *provenance.Record, wrong func(error)) {
	if r.Authenticated == nil || s.Skipped {
		return
	}
	for _, id := range []string{r.Authenticated.Credential, r.Authenticated.RestsOn} {
		account, known := s.Introduced[id]
		switch {
		case !IsOnRecord(id):
		case !known:
			wrong(fmt.Errorf("record %d says that %s:%s signed in with %s, which no record before it introduced", index, r.Actor.Kind, r.Actor.Handle, id))
		case account != r.Actor.Account:
			wrong(fmt.Errorf("record %d says that %s:%s, account %s, signed in with %s, which is the secret of account %s", index, r.Actor.Kind, r.Actor.Handle, r.Actor.Account, id, account))
		}
	}
}

// KeyOf tells rights apart. An account is named by its id where there is one: its name may change.
func KeyOf(g provenance.RightsChange) string {
	who := g.Account
	if who == "" {
		who = g.Subject
	}
	return strings.Join(append([]string{who, g.Team, g.Pattern, g.Role, g.Tags}, g.Except...), "\x00")
}

// Describe says what is given or withheld, without whether it is.
func Describe(g provenance.RightsChange) string {
	switch {
	case g.Tags != "":
		return fmt.Sprintf("tags %s in %s stay as they are", g.Tags, g.Pattern)
	case g.Team != "" && g.Subject == "":
		return "team " + g.Team
	case g.Team != "":
		return g.Subject + " in team " + g.Team
	}
	return fmt.Sprintf("%s for %s on %s", g.Role, g.Subject, g.Pattern)
}

// HashedPrefix begins the ids of passwords and secrets that are on record. That of a personal token has it behind "token-".
const HashedPrefix = "s-"

// IsOnRecord says that the id of a password, secret or token is from when each of them was on record: then it is a hash of
// the account and of what is stored of the secret.
func IsOnRecord(credential string) bool {
	return strings.HasPrefix(strings.TrimPrefix(credential, "token-"), HashedPrefix)
}

package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// accounts asks for who may sign in, which only administrators may see: users and robots, by name, with their accounts.
func (r *run) accounts() *question {
	return &question{
		byRecords: func(s *replay.State) view {
			all := make(view)
			for id, a := range s.Accounts {
				all[a.Subject] = meaning{since: a.Record, as: id}
			}
			return all
		},
		served: func(ctx context.Context) (view, error) {
			all := make(view)
			for _, list := range []struct{ kind, path string }{{"user:", "/api/v1/users?limit=1000"}, {"robot:", "/api/v1/access/robots?limit=1000"}} {
				err := r.accountsOf(ctx, list.path, func(name, account string) { r.account(all, list.kind+name, account) })
				if err != nil {
					return nil, err
				}
			}
			return all, nil
		},
		says: func(name string, served, byRecords *meaning) string {
			switch {
			case served == nil:
				return fmt.Sprintf("%s is not there; by record %d it has the account %s", name, byRecords.since, byRecords.as)
			case byRecords == nil:
				return fmt.Sprintf("%s has the account %s; by the records nobody of this name has one", name, served.as)
			}
			return fmt.Sprintf("%s has the account %s; by record %d it has %s", name, served.as, byRecords.since, byRecords.as)
		},
		called: func(name string) string { return name },
	}
}

// account adds one that is served. What no record is about counts only where each account is on record.
func (r *run) account(all view, name, account string) {
	is := meaning{as: account}
	known, ok := r.memory.State.Accounts[account]
	switch {
	case ok && known.Subject == name:
		is.since = known.Record
	case !ok && !r.memory.State.Founded:
		return
	}
	all[name] = is
}

// accountsOf tells fn of each user or robot.
func (r *run) accountsOf(ctx context.Context, path string, fn func(name, account string)) error {
	return r.eachPage(ctx, path, func(data []byte) (string, error) {
		var page struct {
			Users, Robots []struct{ Name, Account string }
			Next          string
		}
		err := json.Unmarshal(data, &page)
		for _, a := range append(page.Users, page.Robots...) {
			fn(a.Name, a.Account)
		}
		return page.Next, err
	})
}

// tokens asks for the personal tokens of an account, each of which a record made. That one is gone, which no record ended,
// is nothing: it expired, or was ended where nothing could be signed.
func (r *run) tokens(account string) *question {
	byRecords := func(s *replay.State) view {
		all := make(view)
		for id, t := range s.Tokens {
			if t.Account == account {
				all[id] = meaning{since: t.Record, as: t.Says()}
			}
		}
		return all
	}
	return &question{
		byRecords: byRecords,
		served: func(ctx context.Context) (view, error) {
			all := byRecords(r.memory.State)
			err := r.eachPage(ctx, "/api/v1/access/tokens?limit=1000&account="+url.QueryEscape(account), func(data []byte) (string, error) {
				var page struct {
					Sessions []struct {
						ID string `json:"id"`
						replay.Reach
					}
					Next string
				}
				err := json.Unmarshal(data, &page)
				for _, t := range page.Sessions {
					r.token(all, t.ID, t.Says())
				}
				return page.Next, err
			})
			return all, err
		},
		says: func(id string, served, byRecords *meaning) string {
			if byRecords == nil {
				return fmt.Sprintf("account %s has the token %s; by the records nobody made it", account, id)
			}
			return fmt.Sprintf("the token %s of account %s is for %s; by record %d it is for %s", id, account, served.as, byRecords.since, byRecords.as)
		},
		called: func(id string) string { return id },
	}
}

// token adds one that is served.
func (r *run) token(all view, id, says string) {
	known, ok := all[id]
	switch {
	case ok && known.as == "": // its record is of an older version, which stated no scopes
	case ok:
		all[id] = meaning{since: known.since, as: says}
	case r.memory.State.Founded || replay.IsOnRecord(id):
		all[id] = meaning{as: says}
	}
}

// people are the accounts whose tokens are asked for, of those that are served.
func (r *run) people(ctx context.Context) (all []pull, err error) {
	err = r.accountsOf(ctx, "/api/v1/users?limit=1000", func(_, account string) { all = append(all, pull{ref: account}) })
	return r.some(all), err
}

// repositoriesIn wants a list of repositories to have those that have a manifest.
func (r *run) repositoriesIn(path string, list func(context.Context) ([]string, error)) *question {
	unknown := func(name string) bool {
		p := r.memory.State.Repositories[name]
		return p != nil && p.Unknown != nil
	}
	return &question{
		byRecords: func(s *replay.State) view {
			all := make(view)
			for name, p := range s.Repositories {
				if len(p.Manifests) > 0 && p.Unknown == nil {
					all[name] = meaning{}
				}
			}
			return all
		},
		served: func(ctx context.Context) (view, error) {
			names, err := list(ctx)
			all := make(view)
			for _, name := range names {
				if !unknown(name) {
					all[name] = meaning{}
				}
			}
			return all, err
		},
		says: func(name string, served, _ *meaning) string {
			if served == nil {
				return fmt.Sprintf("the repository %s is not in %s; by the records it has manifests", name, path)
			}
			return fmt.Sprintf("the repository %s is in %s; by the records it has no manifest", name, path)
		},
		called: func(name string) string { return name },
	}
}

// catalog lists the repositories as clients do.
func (r *run) catalog(ctx context.Context) (names []string, err error) {
	err = r.eachPage(ctx, "/v2/_catalog?n=1000", func(data []byte) (string, error) {
		var page struct{ Repositories []string }
		if err := json.Unmarshal(data, &page); err != nil || len(page.Repositories) == 0 {
			return "", err
		}
		names = append(names, page.Repositories...)
		return "/v2/_catalog?n=1000&last=" + url.QueryEscape(page.Repositories[len(page.Repositories)-1]), nil
	})
	return names, err
}

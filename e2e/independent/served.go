package independent

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// compareServed compares what is served with what follows from the records, in both directions.
func (v *visit) compareServed(ctx context.Context, _ *Memory) error {
	if err := v.catalog(ctx); err != nil {
		return err
	}
	for name, p := range v.state.repositories {
		if p.unknown != nil || len(p.manifests) == 0 {
			continue
		}
		v.report.Repositories++
		if err := v.repository(ctx, name, p); err != nil {
			return err
		}
	}
	if err := v.accounts(ctx); err != nil {
		return err
	}
	return v.document(ctx)
}

// catalog wants the repositories to be those that have a manifest.
func (v *visit) catalog(ctx context.Context) error {
	var served, follow []string
	err := v.pages(ctx, "/v2/_catalog?n=1000", func(page []byte) error {
		var list struct{ Repositories []string }
		err := json.Unmarshal(page, &list)
		served = append(served, list.Repositories...)
		return err
	})
	for name, p := range v.state.repositories {
		if p.unknown != nil || len(p.manifests) > 0 {
			follow = append(follow, name)
		}
	}
	return same(err, "the repositories", served, follow)
}

// same wants two lists to hold the same.
func same(err error, what string, served, follow []string) error {
	if err != nil {
		return err
	}
	slices.Sort(served)
	slices.Sort(follow)
	for _, name := range served {
		if !slices.Contains(follow, name) {
			return refuse("%s: %s is there, and by the records it is not", what, name)
		}
	}
	for _, name := range follow {
		if !slices.Contains(served, name) {
			return refuse("%s: %s is not there, and by the records it is", what, name)
		}
	}
	return nil
}

// repository compares the tags of one, what they mean, and its manifests, also those that were removed.
func (v *visit) repository(ctx context.Context, name string, p *repository) error {
	var served, follow []string
	err := v.pages(ctx, "/v2/"+name+"/tags/list?n=1000", func(page []byte) error {
		var list struct{ Tags []string }
		err := json.Unmarshal(page, &list)
		served = append(served, list.Tags...)
		return err
	})
	for tag := range maps.Keys(p.tags) {
		if _, ok := p.means(tag); ok {
			follow = append(follow, tag)
		}
	}
	if err := same(err, "the tags of "+name, served, follow); err != nil {
		return err
	}
	for _, tag := range follow {
		v.report.Tags++
		if err := v.manifest(ctx, name, tag, p.tags[tag].digest, p.tags[tag].since, p.manifests[p.tags[tag].digest].mediaType); err != nil {
			return err
		}
	}
	for digest, m := range p.manifests {
		if m.added%v.each != 0 {
			continue
		}
		v.report.Manifests++
		if err := v.manifest(ctx, name, digest, digest, m.added, m.mediaType); err != nil {
			return err
		}
	}
	return v.removed(ctx, name, p)
}

// removed wants what was removed, and did not come again, not to be there.
func (v *visit) removed(ctx context.Context, name string, p *repository) error {
	for digest, by := range p.removed {
		if _, again := p.manifests[digest]; again || by%v.each != 0 {
			continue
		}
		v.report.Removed++
		a, err := v.ask(ctx, http.MethodHead, "/v2/"+name+"/manifests/"+digest)
		if err != nil {
			return err
		}
		if a.status != http.StatusNotFound {
			return refuse("%s@%s was removed by record %d, and the answer to who asks for it is %d", name, digest, by, a.status)
		}
	}
	return nil
}

// manifest wants a reference to mean a digest since a record, and to be served as its media type, if that is known.
func (v *visit) manifest(ctx context.Context, name, ref, digest string, since uint64, mediaType string) error {
	a, err := v.ask(ctx, http.MethodHead, "/v2/"+name+"/manifests/"+ref)
	if err != nil {
		return err
	}
	got, by := a.header.Get("Docker-Content-Digest"), a.header.Get("Hallmark-Record")
	if a.status != http.StatusOK || got != digest || by != strconv.FormatUint(since, 10) {
		return refuse("%s %s: status %d, %s by record %s; by the records it is %s since record %d", name, ref, a.status, got, by, digest, since)
	}
	if as := a.header.Get("Content-Type"); mediaType != "" && as != mediaType {
		return refuse("%s %s is served as %s; by the records it is %s", name, ref, as, mediaType)
	}
	return nil
}

// document wants the access document in force to be the one that the newest record of a right names.
func (v *visit) document(ctx context.Context) error {
	if v.state.access == nil {
		return nil
	}
	a, err := v.ask(ctx, http.MethodGet, "/api/v1/access/document")
	if err != nil {
		return err
	}
	if got := strings.Trim(a.header.Get("ETag"), `"`); a.status != http.StatusOK || got != v.state.access.digest {
		return refuse("the access document is %s; by the records it is %s, version %d", got, v.state.access.digest, v.state.access.version)
	}
	return nil
}

// accounts wants those who can sign in to be those who were given an account, and their personal tokens to be those that they made.
func (v *visit) accounts(ctx context.Context) error {
	var served []string
	for _, list := range []struct{ kind, path string }{{"user:", "/api/v1/users"}, {"robot:", "/api/v1/access/robots"}} {
		err := v.pages(ctx, list.path+"?limit=100", func(page []byte) error {
			var all struct {
				Users, Robots []struct{ Name, Account string }
			}
			err := json.Unmarshal(page, &all)
			for _, a := range slices.Concat(all.Users, all.Robots) {
				served = append(served, list.kind+a.Name)
				if err == nil && list.kind == "user:" {
					err = v.tokens(ctx, a.Account)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	v.report.Accounts = len(served)
	return same(nil, "the accounts", served, slices.Collect(maps.Values(v.state.accounts)))
}

// tokens wants a record of each personal token of an account, of one that may do as much as long.
func (v *visit) tokens(ctx context.Context, account string) error {
	return v.pages(ctx, "/api/v1/access/tokens?limit=100&account="+account, func(page []byte) error {
		var list struct {
			Sessions []struct {
				ID string
				reach
			}
		}
		if err := json.Unmarshal(page, &list); err != nil {
			return err
		}
		for _, t := range list.Sessions {
			is, ok := v.state.tokens[t.ID]
			if !ok || is.account != account || !reflect.DeepEqual(is.reach, t.reach) {
				return refuse("the token %s of account %s: %v; by the records it is %v", t.ID, account, t.reach, is)
			}
		}
		return nil
	})
}

package api

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// userPage is a page of accounts.
type userPage struct {
	Users []access.User `json:"users"`
	Next  string        `json:"next,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes []string `json:"namesakes,omitempty"`
}

func (p userPage) nextPage() string { return p.Next }

// users answers GET /api/v1/users.
func (a *API) users(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	found, err := a.Access.Users(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	page := userPage{Users: append([]access.User{}, found...)}
	if len(found) > limit {
		page.Users = page.Users[:limit]
		page.Next = c.nextURL(map[string]string{"after": found[limit-1].Name})
	}
	var actors []provenance.Actor
	for _, u := range page.Users {
		actors = append(actors, provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account})
	}
	page.Namesakes, err = a.Book.Namesakes(c.Context(), actors) // they are the accounts of now
	return page, err
}

// addUser answers POST /api/v1/users.
func (a *API) addUser(c *call) (any, error) {
	var want struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	u, err := a.Access.AddUser(c.Context(), c.who, want.Name, want.Password, want.Admin)
	if err != nil {
		return nil, err
	}
	a.Log.Info("user added", "user", u.Name, "admin", u.Admin, "by", c.who.Actor.Handle)
	return created{u}, nil
}

// setPassword answers PUT /api/v1/users/{name}/password.
func (a *API) setPassword(c *call) (any, error) {
	var want struct {
		Password string `json:"password"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	name := c.PathValue("name")
	if !access.OwnsAccount(c.who, name) && !a.Access.Administers(c.who) {
		return nil, c.forbid("only administrators may set the passwords of others; to set your own, sign in with the one that you have")
	}
	if err := a.Access.SetPassword(c.Context(), c.who, name, want.Password); err != nil {
		return nil, err
	}
	a.Log.Info("password changed", "user", name, "by", c.who.Actor.Handle)
	return done{}, nil
}

// removeUser answers DELETE /api/v1/users/{name}.
func (a *API) removeUser(c *call) (any, error) {
	name := c.PathValue("name")
	if err := a.Access.RemoveUser(c.Context(), c.who, name); err != nil {
		return nil, err
	}
	a.Log.Info("user removed", "user", name, "by", c.who.Actor.Handle)
	return done{}, nil
}

// certificateAnswer describes the certificate that the server shows, and its authority.
type certificateAnswer struct {
	URL    string           `json:"url"` // the registry's public name
	Server certificateEntry `json:"server"`
	// CA is absent with a certificate of another authority.
	CA *certificateEntry `json:"ca,omitempty"`
}

type certificateEntry struct {
	Subject     string          `json:"subject"`
	Issuer      string          `json:"issuer"`
	Names       []string        `json:"names"` // those it is for, or, of a CA, those it may sign for
	NotBefore   provenance.Time `json:"notBefore"`
	NotAfter    provenance.Time `json:"notAfter"`
	Fingerprint string          `json:"fingerprint"` // SHA-256, as openssl prints it
	PEM         string          `json:"pem"`
}

// certificate answers GET /api/v1/certificate.
func (a *API) certificate(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.certificateAnswer()
}

func (a *API) certificateAnswer() (any, error) {
	if a.Certificates == nil {
		return nil, problemf(http.StatusNotFound, "this server speaks plain HTTP, and has no certificate")
	}
	answer := certificateAnswer{URL: a.URL, Server: entryOf(a.Certificates.Certificate())}
	if ca := a.Certificates.CA(); ca != nil {
		entry := entryOf(ca)
		answer.CA = &entry
	}
	return answer, nil
}

func entryOf(cert *x509.Certificate) certificateEntry {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, cert.PermittedDNSDomains...)
	for _, ipRange := range cert.PermittedIPRanges {
		names = append(names, ipRange.String())
	}
	return certificateEntry{
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Names: names,
		NotBefore: provenance.At(cert.NotBefore), NotAfter: provenance.At(cert.NotAfter),
		Fingerprint: certs.Fingerprint(cert), PEM: string(certs.EncodePEM(cert)),
	}
}

// renewCertificate answers POST /api/v1/certificate.
func (a *API) renewCertificate(c *call) (any, error) {
	var want struct {
		CA bool `json:"ca"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if a.Certificates == nil {
		return a.certificateAnswer()
	}
	if err := a.Certificates.Renew(want.CA); err != nil {
		return nil, problemf(http.StatusConflict, "%s", err)
	}
	a.Log.Info("certificate renewed", "ca", want.CA, "by", c.who.Actor.Handle)
	return a.certificateAnswer()
}

// checkLine is one line of the answer to GET /api/v1/check. Exactly one field is set.
type checkLine struct {
	Step    string   `json:"step,omitempty"`    // what is being checked now
	Problem string   `json:"problem,omitempty"` // something that does not fit
	Note    string   `json:"note,omitempty"`    // something that cannot be told, and is no problem
	Done    *checked `json:"done,omitempty"`    // the last line
	Failed  string   `json:"failed,omitempty"`  // the last line, when the check could not go on
}

// checked counts what was looked at.
type checked struct {
	Records      uint64 `json:"records"`
	Accounts     int    `json:"accounts"`
	Repositories int    `json:"repositories"`
	Manifests    int    `json:"manifests"`
	Tags         int    `json:"tags"`
	Blobs        int    `json:"blobs"`
	BytesRead    int64  `json:"bytesRead"`
	Problems     int    `json:"problems"`
}

// check answers GET /api/v1/check with one JSON object a line, as they come.
func (a *API) check(c *call) (any, error) {
	q := c.query()
	deep := q.oneOf("deep", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", jsonLines)
	enc, flush := json.NewEncoder(c.w), http.NewResponseController(c.w)
	say := func(line checkLine) {
		_ = enc.Encode(line) // a client that left ends the check through its context
		_ = flush.Flush()
	}
	result, err := a.runChecks(c, deep, say)
	if err != nil {
		a.Log.Error("a check could not go on", "err", err)
		say(checkLine{Failed: err.Error()})
		return streamed{}, nil
	}
	say(checkLine{Done: &result})
	return streamed{}, nil
}

func (a *API) runChecks(c *call, deep bool, say func(checkLine)) (result checked, err error) {
	bad := func(err error) {
		var older *access.NotOnRecordError
		if errors.As(err, &older) {
			say(checkLine{Note: err.Error()})
			return
		}
		result.Problems++
		say(checkLine{Problem: err.Error()})
	}
	for _, step := range []struct {
		name  string
		check func() error
	}{
		{"pages of the store", func() error {
			if a.Store == nil {
				return nil
			}
			return a.Store.Check(c.Context(), bad)
		}},
		{"records", func() (err error) { result.Records, err = a.Book.Check(c.Context(), bad); return err }},
		{"accounts and rights", func() (err error) { result.Accounts, err = a.Access.Check(c.Context(), bad); return err }},
		{"images and files", func() error {
			images, err := a.Registry.Check(c.Context(), deep, bad)
			result.Repositories, result.Manifests, result.Tags = images.Repositories, images.Manifests, images.Tags
			result.Blobs, result.BytesRead = images.Blobs, images.Bytes
			return err
		}},
	} {
		say(checkLine{Step: step.name})
		err := step.check()
		if errors.Is(err, storage.ErrCorrupt) { // what is damaged in one place keeps nobody from looking at others
			bad(fmt.Errorf("%w; the rest of the %s could not be checked", err, step.name))
		} else if err != nil {
			return result, err
		}
	}
	return result, nil
}

package api

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"golang.org/x/mod/sumdb/note"
)

// world is every room of a small registry, as fakes. Each question to a room counts, and one of them can be made to fail. Who
// asks is the name of the login: admin may do everything, alice may pull from team/**, and bob nothing.
type world struct {
	calls    int   // questions that were asked
	failAt   int   // the number of the one that fails, from 1 on; 0: none
	err      error // with which it does
	gateErr  error // with which Identify fails
	open     bool  // strangers may pull from public/**
	key      *receipt.Key
	logKey   ed25519.PublicKey
	cert     *x509.Certificate
	rules    *policy.Set
	evidence evidence.Book
	plain    bool // the server speaks plain HTTP
}

const worldURL = "https://registry.example:5443"

// newWorld returns a world, and an API that asks it.
func newWorld(t *testing.T) (*world, *API) {
	t.Helper()
	signer, err := receipt.GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"registry.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Parse("policy", []byte("rules: [{name: never, repositories: '**', at: pull, require: 'false', owner: alice}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{key: signer.Key(), logKey: public, cert: cert, rules: rules, evidence: bookOfOne(t)}
	_, vkey, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return w, New(Config{
		URL: worldURL, Gate: w, Accounts: w, Names: w, Images: w, Content: w, Holds: w, Retention: worldRetention{w}, Layers: w, Records: w, Testimonies: w, Origins: w, Proofs: w,
		Evidence: failingBook{w.evidence, w}, Transparency: w, Cosigner: w, Users: w, Grants: w, Teams: w, Robots: w, TagRules: w, Quotas: w, Document: w, Sessions: w,
		Logins: w, Policy: w, Documents: w, Keys: w, Scrubber: w, Puller: w, Trash: w, Imports: w, Mirrors: w, Checks: Checks{Store: w.checkStore, Records: w.checkRecords, Accounts: w.checkAccounts, Images: w.checkImages},
		Certificates: func() Certificates {
			if w.plain {
				return nil
			}
			return w
		},
		Witnesses: []note.Verifier{witness},
	})
}

// bookOfOne is a real book with the record of one push: a prover cannot be made without one.
func bookOfOne(t *testing.T) *provenance.Book {
	t.Helper()
	store, err := bolt.Open(t.TempDir()+"/store.db", bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	book, err := provenance.NewBook(store, worldURL)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := provenance.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Begin(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), func(tx storage.Tx) error {
		_, err := book.Append(tx, provenance.Event{Action: provenance.Push, Repository: "team/app", Digest: app.digest, Tags: []provenance.TagMove{{Name: "1.0"}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// asked counts a question, and is an error where it is the one that fails.
func (w *world) asked() error {
	if w.calls++; w.calls == w.failAt {
		return w.err
	}
	return nil
}

// fail has the nth question of the next request fail.
func (w *world) fail(n int, err error) { w.calls, w.failAt, w.err = 0, n, err }

func worldUser(name string) provenance.Identity {
	return provenance.Identity{
		Actor: provenance.Actor{Kind: provenance.User, Handle: name, Account: "account-" + name},
		Login: &provenance.Login{Method: "basic", Issuer: worldURL, Identity: name, Credential: "credential-" + name},
	}
}

// Identify implements Gate.
func (w *world) Identify(r *http.Request) (provenance.Identity, error) {
	if w.gateErr != nil {
		return provenance.Identity{}, w.gateErr
	}
	name, _, ok := r.BasicAuth()
	switch {
	case slices.Contains([]string{"admin", "alice", "bob"}, name):
		return worldUser(name), nil
	case ok:
		return provenance.Identity{}, access.ErrBadLogin
	case w.open:
		return access.Stranger(), nil
	default:
		return provenance.Identity{}, access.ErrNoLogin
	}
}

// May implements Gate.
func (w *world) May(who provenance.Identity, _ access.Right, repo string) bool {
	name := who.Actor.Handle
	return name == "admin" || name == "alice" && strings.HasPrefix(repo, "team/") || strings.HasPrefix(repo, "public/") && w.open
}

// Administers implements Gate.
func (w *world) Administers(who provenance.Identity) bool { return who.Actor.Handle == "admin" }

// AdministersAll implements Gate.
func (w *world) AdministersAll(who provenance.Identity, _ string) bool { return w.Administers(who) }

// Certificate, CA and Renew implement Certificates.
func (w *world) Certificate() *x509.Certificate { return w.cert }
func (w *world) CA() *x509.Certificate          { return w.cert }
func (w *world) Renew(bool) error               { return w.asked() }

// Rotate implements KeyKeeper.
func (w *world) Rotate(context.Context, provenance.Identity, string) (*provenance.Record, error) {
	return worldRecord(3), w.asked()
}

// request is one that a test makes.
type request struct {
	method, target, login, body string
	header                      http.Header
}

// brokenOff is the status of an answer that ends in its middle, as http.ErrAbortHandler has it.
const brokenOff = -1

// do makes a request. A login of "" is none.
func (q request) do(a *API) (w *httptest.ResponseRecorder) {
	r := httptest.NewRequest(q.method, q.target, strings.NewReader(q.body))
	for name, values := range q.header {
		r.Header[name] = values
	}
	if q.login != "" {
		r.SetBasicAuth(q.login, "a secret of "+q.login)
	}
	w = httptest.NewRecorder()
	defer func() {
		broken := recover()
		if err, ok := broken.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			w.Code = brokenOff
		} else if broken != nil {
			panic(broken)
		}
	}()
	if strings.HasPrefix(q.target, "/token") {
		a.ServeToken(w, r)
	} else {
		a.ServeHTTP(w, r)
	}
	return w
}

var errDisk = errors.New("a secret of the disk")

// Package api answers questions about images and their provenance over HTTP, under /api/v1, and lets
// administrators manage accounts. It has no rules of its own: the rooms below decide.
//
// A handler gets a parsed call and returns a value or an error; one place writes either (answer.go, failure.go).
// Errors are RFC 9457 problem details that say what was wrong and what to do. The parts in openapi/
// describe every route, and tests compare them with real answers.
package api

import (
	"context"
	"crypto/cipher"
	"log/slog"
	"net/http"

	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"golang.org/x/mod/sumdb/note"
)

// Config is what the API needs: the rooms that it asks, each behind the few questions that it has for it, and what an operator
// has set. Fields without a default are needed by the routes that their comments name, and by no other. [Over] fills in
// those of a registry.
type Config struct {
	// URL is the registry's public name, as https://registry.example:5443: the host of image names in searches and reports.
	URL string
	// Log takes what fails and what administrators do. Default: it is thrown away.
	Log *slog.Logger

	Gate     Gate     // every route: who asks, and what they may do
	Accounts Accounts // every route that shows actors: which account has a name now
	Names    Names    // every route that shows actors: which names more than one account had

	Images       Images        // repositories, tags, digests; image, search and policy/test
	Content      Content       // contents, image, report and evidence
	Retention    Retention     // retention
	Holds        Holds         // holds
	Layers       Layers        // image and descendants with derived=true
	Records      Records       // records and history; what removed an image, and who set a tag
	Testimonies  Testimonies   // image, report and evidence
	Origins      Origins       // sources, descendants, search and image
	Proofs       Proofs        // receipts, tlog-proofs and exports with receipts
	Evidence     evidence.Book // evidence files
	Transparency Transparency  // /log/, /keys/ and /trusted_root.json
	Cosigner     Cosigner      // /log/cosignature

	Users    Users    // users
	Grants   Grants   // access/grants and access/may
	Teams    Teams    // access/teams
	Robots   Robots   // access/robots
	TagRules TagRules // access/immutable
	Quotas   Quotas   // quota and usage
	Document Document // access/document, and the document in evidence files
	Sessions Sessions // access/tokens and access/sessions
	Logins   Logins   // /token

	Documents Documents // documents
	Policy    Policy    // policy, the rules in evidence files, and the grades in lists
	Keys      KeyKeeper // POST keys
	Scrubber  Scrubber  // scrub
	Puller    Puller    // pulls
	Trash     Trash     // trash
	Imports   Imports   // import
	Mirrors   Mirrors   // mirrors
	Checks    Checks    // check

	// AtOnce runs a function with a context in which all rooms are asked about one moment, and what they read is read together. Default:
	// each question is of a moment of its own.
	AtOnce func(ctx context.Context, fn func(ctx context.Context) error) error
	// Certificates returns the server's own, at each call. Default, and where it returns nil: plain HTTP, and 404.
	Certificates func() Certificates
	// Trust returns who is trusted to sign images, at each call. Default, and where it returns nil: nobody.
	Trust func() *signature.Trust
	// Witnesses are whose cosignatures are kept. Default: none, and /log/cosignature is forbidden.
	Witnesses []note.Verifier
	// PrivateLog keeps the transparency log for those who sign in. Default: everybody may read it.
	PrivateLog bool
}

// API serves /api/, /log/, /keys/, /trusted_root.json and /openapi.json, and /token as [API.ServeToken]. It is safe for
// concurrent use.
type API struct {
	Config // as it was made with: it does not change

	mux        *http.ServeMux
	inspecting *turns
	exporting  *turns
	cursors    cipher.AEAD // of where pages end
}

// maxInspections bounds the inspections that are made at once.
const maxInspections = 2

// New returns an API that asks what c names.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{
		Config: c, mux: http.NewServeMux(), cursors: newCursorCipher(),
		inspecting: newTurns(maxInspections), exporting: newTurns(maxEvidence),
	}
	for _, r := range a.routes() {
		a.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { a.serve(w, req, r) })
	}
	for _, r := range a.publicRoutes() {
		a.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { a.servePublic(w, req, r) })
	}
	a.mux.HandleFunc(selfPattern, a.describeSelf)
	return a
}

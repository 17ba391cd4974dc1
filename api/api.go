// Package api answers questions about images and their provenance over HTTP, under /api/v1, and lets
// administrators manage accounts. It has no rules of its own: the rooms below decide.
//
// A handler gets a parsed call and returns a value or an error; one place writes either (answer.go).
// Errors are RFC 9457 problem details whose sentence says what was wrong and what to do. The
// parts in openapi/ describe every route, and tests hold them against answers.
package api

import (
	"context"
	"crypto/cipher"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"golang.org/x/mod/sumdb/note"
)

// Certificates are the server's own. certs.Keeper is one.
type Certificates interface {
	Certificate() *x509.Certificate
	CA() *x509.Certificate // nil with a certificate of another authority
	Renew(newCA bool) error
}

// A Checker compares everything that is stored, and reports to bad what does not fit.
type Checker interface {
	Check(ctx context.Context, bad func(error)) error
}

// API serves /api/, /log/, /keys/, /trusted_root.json and /openapi.json. All its fields are set before it
// serves; only Certificates, Store and Trust may be nil. It is safe for concurrent use.
type API struct {
	Access       *access.Access
	Registry     *registry.Registry
	Book         *provenance.Book
	Certificates Certificates
	Store        Checker // checks the store's own file
	Keys         KeyKeeper
	Judge        *policy.Judge
	URL          string                  // the registry's public name
	PrivateLog   bool                    // the transparency log is for those who sign in
	Witnesses    []note.Verifier         // whose cosignatures are kept
	Trust        func() *signature.Trust // who is trusted to sign images; nil, and the nil Trust, are nobody
	Log          *slog.Logger

	mux        *http.ServeMux
	inspecting *turns
	exporting  *turns
	seal       cipher.AEAD // of where pages end
}

// maxInspections bounds the inspections that are made at once.
const maxInspections = 2

// handler answers one call.
type handler func(*call) (any, error)

// route is one thing that the API can do. admin routes are for administrators.
type route struct {
	pattern string
	name    string // labels metrics
	admin   bool
	handler handler
}

func (a *API) routes() []route {
	return []route{
		{"GET /api/v1/records", "records", false, a.records},
		{"GET /api/v1/records/statements", "statements", false, a.statements},
		{"GET /api/v1/records/export", "records-export", false, a.exportRecords},
		{"GET /api/v1/records/{index}", "record", false, a.record},
		{"GET /api/v1/records/{index}/receipt", "receipt", false, a.receipt},
		{"GET /api/v1/records/{index}/tlog-proof", "tlog-proof", false, a.tlogProof},
		{"GET /api/v1/repositories", "repositories", false, a.repositories},
		{"GET /api/v1/tags", "api-tags", false, a.tags},
		{"GET /api/v1/digests", "digests", false, a.digests},
		{"GET /api/v1/history", "history", false, a.history},
		{"GET /api/v1/image", "image", false, a.image},
		{"GET /api/v1/report", "report", false, a.report},
		{"GET /api/v1/contents", "contents", false, a.contents},
		{"GET /api/v1/evidence", "evidence", false, a.evidence},
		{"GET /api/v1/policy", "policy", true, a.policy},
		{"POST /api/v1/policy/test", "policy-test", true, a.tryPolicy},
		{"GET /api/v1/search", "search", false, a.search},
		{"GET /api/v1/sources", "sources", false, a.sources},
		{"GET /api/v1/descendants", "descendants", false, a.descendants},
		{"GET /api/v1/users", "users", true, a.users},
		{"POST /api/v1/users", "users", true, a.addUser},
		{"PUT /api/v1/users/{name}/password", "users", false, a.setPassword},
		{"DELETE /api/v1/users/{name}", "users", true, a.removeUser},
		{"GET /api/v1/access/grants", "grants", false, a.grants},
		{"POST /api/v1/access/grants", "grants", false, a.grant},
		{"DELETE /api/v1/access/grants", "grants", false, a.revoke},
		{"GET /api/v1/access/may", "may", false, a.may},
		{"GET /api/v1/access/teams", "teams", true, a.teams},
		{"POST /api/v1/access/teams", "teams", true, a.addTeam},
		{"DELETE /api/v1/access/teams/{name}", "teams", true, a.removeTeam},
		{"POST /api/v1/access/teams/{name}/members", "teams", true, a.joinTeam},
		{"DELETE /api/v1/access/teams/{name}/members/{user}", "teams", true, a.leaveTeam},
		{"GET /api/v1/access/robots", "robots", true, a.robots},
		{"POST /api/v1/access/robots", "robots", true, a.addRobot},
		{"POST /api/v1/access/robots/{name}/secret", "robots", true, a.rotateRobot},
		{"DELETE /api/v1/access/robots/{name}", "robots", true, a.removeRobot},
		{"GET /api/v1/access/immutable", "immutable", false, a.immutable},
		{"POST /api/v1/access/immutable", "immutable", false, a.makeImmutable},
		{"DELETE /api/v1/access/immutable", "immutable", false, a.makeMutable},
		{"GET /api/v1/access/document", "access-document", true, a.document},
		{"PUT /api/v1/access/document", "access-document", true, a.apply},
		{"PUT /api/v1/users/{name}/name", "users", true, a.renameUser},
		{"GET /api/v1/access/tokens", "tokens", false, a.tokens},
		{"POST /api/v1/access/tokens", "tokens", false, a.addToken},
		{"DELETE /api/v1/access/tokens/{id}", "tokens", false, a.endSession},
		{"GET /api/v1/access/sessions", "sessions", false, a.sessions},
		{"DELETE /api/v1/access/sessions/{id}", "sessions", false, a.endSession},
		{"GET /api/v1/certificate", "certificate", false, a.certificate},
		{"POST /api/v1/certificate", "certificate", true, a.renewCertificate},
		{"POST /api/v1/keys", "keys", true, a.rotateKeys},
		{"GET /api/v1/check", "check", true, a.check},
		{"GET /api/v1/scrub", "scrub", true, a.scrubStatus},
		{"POST /api/v1/scrub", "scrub", true, a.scrubNow},
	}
}

// Init prepares the API to serve.
func (a *API) Init() *API {
	a.mux, a.seal = http.NewServeMux(), newSeal()
	a.inspecting, a.exporting = newTurns(maxInspections), newTurns(maxEvidence)
	for _, r := range a.routes() {
		a.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { a.serve(w, req, r) })
	}
	for _, r := range a.publicRoutes() {
		a.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { a.servePublic(w, req, r) })
	}
	a.mux.HandleFunc(selfPattern, a.describeSelf)
	return a
}

// crossOrigin refuses what a page of another site makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// ServeHTTP serves the API's paths.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, pattern := a.mux.Handler(r); pattern == "" {
		a.fail(w, r, nothingHere(h, r))
		return
	}
	a.mux.ServeHTTP(w, r)
}

// nothingHere tells a wrong path from a wrong method. The mux knows, and says it only to a writer.
func nothingHere(h http.Handler, r *http.Request) error {
	asked := &headerWriter{header: http.Header{}}
	h.ServeHTTP(asked, r)
	if asked.status == http.StatusMethodNotAllowed {
		p := problemf(asked.status, "%s takes %s", r.URL.Path, asked.header.Get("Allow"))
		p.header = http.Header{"Allow": asked.header["Allow"]}
		return p
	}
	return problemf(http.StatusNotFound, "there is nothing at this path; /openapi.json lists what there is")
}

type headerWriter struct {
	header http.Header
	status int
}

func (w *headerWriter) Header() http.Header         { return w.header }
func (w *headerWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *headerWriter) WriteHeader(status int)      { w.status = status }

// call is one request on its way through the API.
type call struct {
	*http.Request
	w   http.ResponseWriter
	who provenance.Identity
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, route route) {
	obs.SetRoute(r.Context(), route.name)
	value, err := a.handle(&call{Request: r, w: w}, route)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, r, value)
}

func (a *API) handle(c *call, route route) (value any, err error) {
	if c.who, err = a.Access.Identify(c.Request); err != nil {
		return nil, err
	}
	obs.SetUser(c.Context(), c.who.Actor.Handle)
	if err := checkOrigin(c.Request); err != nil {
		return nil, err
	}
	if c.Method != http.MethodGet && c.isStranger() {
		return nil, access.ErrNoLogin // strangers change nothing, whatever is granted to them
	}
	if route.admin {
		if !a.Access.Administers(c.who) {
			return nil, c.forbid("only administrators may do this; ask one, or run the command on the server")
		}
	}
	return route.handler(c)
}

// checkOrigin wants JSON where something changes, and no other site's page behind it.
func checkOrigin(r *http.Request) error {
	if err := crossOrigin.Check(r); err != nil {
		return problemf(http.StatusForbidden, "this request comes from a page of another site, which may change nothing here")
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
		return nil
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(strings.ToLower(kind)) != "application/json" {
		return problemf(http.StatusUnsupportedMediaType, "send the body as application/json")
	}
	return nil
}

// narrows is an error for strangers who were not asked for a login yet, where others may be shown more: it stands
// before each list of what the caller may see. Who has no login says so by an empty one, or by a token for nobody.
func (c *call) narrows() error {
	if c.isStranger() && !access.SaysStranger(c.Request) {
		return access.ErrNoLogin
	}
	return nil
}

// narrowsBeyond is narrows for a list that can be of one repository: there a stranger who may pull sees everything.
func (a *API) narrowsBeyond(c *call, repo string) error {
	switch {
	case repo == "":
		return c.narrows()
	case c.isStranger():
		return a.mustPull(c, repo)
	default:
		return nil
	}
}

// mayPull says whether the caller may know of a repository.
func (a *API) mayPull(c *call) func(repo string) bool {
	return func(repo string) bool { return a.Access.May(c.who, access.Pull, repo) }
}

// mustPull is an error when the caller may not know of a repository: as if it were not there. Strangers
// are asked who they are.
func (a *API) mustPull(c *call, repo string) error {
	switch {
	case a.mayPull(c)(repo):
		return nil
	case c.isStranger():
		return access.ErrNoLogin
	default:
		return errNoRepository(repo)
	}
}

// isStranger says that the caller has not signed in.
func (c *call) isStranger() bool { return c.who.Actor.Kind == provenance.Anonymous }

// forbid is the error for what the caller may not do. Strangers are asked who they are.
func (c *call) forbid(detail string) error {
	if c.isStranger() {
		return access.ErrNoLogin
	}
	return problemf(http.StatusForbidden, "%s", detail)
}

func errNoRepository(repo string) error {
	return problemf(http.StatusNotFound, "there is no repository %q here, or you may not see it", repo)
}

// fail answers with an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemFor(r, err)
	if p == nil {
		return // the client is gone
	}
	p.write(w)
}

func (a *API) problemFor(r *http.Request, err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return nil
	}
	if status := statusOf(err); status != 0 {
		return problemf(status, "%s", err)
	}
	id := obs.RequestID(r.Context())
	t := access.TroubleOf(err, id)
	if t.Operator {
		a.Log.Error("a request failed", "id", id, "method", r.Method, "path", r.URL.Path, "err", err)
	}
	p = problemf(t.Status, "%s", t.Says)
	if p.header = t.Header(); t.Challenge && !access.IsWeb(r.Context()) { // whose browser would ask in a window of its own
		p.header = http.Header{"Www-Authenticate": {`Basic realm="Hallmark", charset="UTF-8"`}}
	}
	return p
}

// ownWords are the errors whose own words are the answer, in the order in which they count where an error is several.
// What every room answers alike is not among them: access.TroubleOf.
var ownWords = []struct {
	status int
	errs   []error
}{
	{http.StatusForbidden, []error{access.ErrNotAdmin, access.ErrNotOwn, provenance.ErrNotCosigned}},
	{http.StatusBadRequest, []error{access.ErrService, access.ErrScopes}},
	{http.StatusUnprocessableEntity, []error{
		access.ErrUserName, access.ErrPassword, access.ErrTooHigh, access.ErrTooMuch, access.ErrPast, access.ErrClaims, oidc.ErrNeverMatches,
		access.ErrSessionName, access.ErrSessionLasts, access.ErrNoScope, checkpoint.ErrInvalid,
	}},
	{http.StatusConflict, []error{
		access.ErrUserExists, access.ErrRobotExists, access.ErrTeamExists, access.ErrLastAdmin, access.ErrChanged, access.ErrTooManyTokens,
		ErrNoNextKey, provenance.ErrUsedKey, provenance.ErrOtherCheckpoint, provenance.ErrFuture,
	}},
	{http.StatusNotFound, []error{
		provenance.ErrNoRecord, provenance.ErrUnproved, provenance.ErrNotSealed, log.ErrNoLog, log.ErrSize, registry.ErrUnknown,
		access.ErrUnknownUser, access.ErrUnknownTeam, access.ErrUnknownRobot, access.ErrUnknownGrant, access.ErrUnknownRule, access.ErrNotMember, access.ErrUnknownSession,
	}},
}

// statusOf is the status of errors whose own words are the answer, or 0. An error of the store is not one, whatever was
// looked for when it came.
func statusOf(err error) int {
	if access.IsTrouble(err) {
		return 0
	}
	if entry := new(access.EntryError); errors.As(err, &entry) {
		return http.StatusUnprocessableEntity // whatever is wrong with it, it is the body that is wrong
	}
	for _, known := range ownWords {
		if slices.ContainsFunc(known.errs, func(one error) bool { return errors.Is(err, one) }) {
			return known.status
		}
	}
	return 0
}

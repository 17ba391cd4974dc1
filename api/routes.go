package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
)

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
		{"GET /api/v1/records", "records", false, a.atOnce(a.records)},
		{"GET /api/v1/records/statements", "statements", false, a.statements},
		{"GET /api/v1/records/export", "records-export", false, a.exportRecords},
		{"GET /api/v1/records/{index}", "record", false, a.record},
		{"GET /api/v1/records/{index}/receipt", "receipt", false, a.receipt},
		{"GET /api/v1/records/{index}/tlog-proof", "tlog-proof", false, a.tlogProof},
		{"GET /api/v1/repositories", "repositories", false, a.repositories},
		{"GET /api/v1/tags", "api-tags", false, a.atOnce(a.tags)},
		{"GET /api/v1/deletable", "deletable", false, a.deletable},
		{"GET /api/v1/holds", "holds", false, a.holds},
		{"POST /api/v1/holds", "holds", false, a.addHold},
		{"DELETE /api/v1/holds", "holds", false, a.release},
		{"GET /api/v1/retention/rules", "retention-rules", false, a.retentionRules},
		{"GET /api/v1/retention/plan", "retention-plan", true, a.retentionPlan},
		{"POST /api/v1/retention/apply", "retention-apply", true, a.retentionApply},
		{"GET /api/v1/digests", "digests", false, a.digests},
		{"GET /api/v1/commits", "commits", false, a.commits},
		{"GET /api/v1/history", "history", false, a.atOnce(a.history)},
		{"GET /api/v1/image", "image", false, a.image},
		{"GET /api/v1/report", "report", false, a.report},
		{"GET /api/v1/contents", "contents", false, a.contents},
		{"GET /api/v1/evidence", "evidence", false, a.evidence},
		{"GET /api/v1/policy", "policy", true, a.policy},
		{"POST /api/v1/policy/test", "policy-test", true, a.tryPolicy},
		{"GET /api/v1/documents/{kind}", "documents", true, a.ruleDocument},
		{"PUT /api/v1/documents/{kind}", "documents", true, a.applyRules},
		{"GET /api/v1/documents/{kind}/history", "document-history", true, a.ruleHistory},
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
		{"GET /api/v1/quota", "quota", false, a.quotas},
		{"PUT /api/v1/quota", "quota", true, a.setQuota},
		{"DELETE /api/v1/quota", "quota", true, a.removeQuota},
		{"GET /api/v1/usage", "usage", true, a.usage},
		{"DELETE /api/v1/pulls", "pulls", true, a.forgetPulls},
		{"GET /api/v1/scrub", "scrub", true, a.scrubStatus},
		{"POST /api/v1/scrub", "scrub", true, a.scrubNow},
		{"POST /api/v1/import", "import", true, a.importImages},
		{"GET /api/v1/mirrors", "mirrors", true, a.mirrors},
		{"GET /api/v1/mirrors/{name}", "mirror", true, a.mirror},
		{"POST /api/v1/mirrors/{name}/run", "mirror-run", true, a.runMirror},
		{"POST /api/v1/mirrors/approve", "mirror-approve", false, a.approve},
		{"GET /api/v1/trash", "trash", false, a.trash},
		{"POST /api/v1/trash/undelete", "undelete", false, a.undelete},
		{"POST /api/v1/trash/empty", "trash-empty", true, a.emptyTrash},
	}
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

func (a *API) serve(w http.ResponseWriter, r *http.Request, route route) {
	obs.SetRoute(r.Context(), route.name)
	value, err := a.handle(&call{Request: r, w: w}, route)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, value)
}

func (a *API) handle(c *call, route route) (value any, err error) {
	if c.who, err = a.Gate.Identify(c.Request); err != nil {
		return nil, err
	}
	obs.SetUser(c.Context(), c.who.Actor.Handle)
	if c.who.Login == nil { // nothing of theirs was looked at in the store
		if err := a.Gate.Follow(c.Context()); err != nil {
			return nil, err
		}
	}
	if err := checkOrigin(c.Request); err != nil {
		return nil, err
	}
	if c.Method != http.MethodGet && c.isStranger() {
		return nil, access.ErrNoLogin // strangers change nothing, whatever is granted to them
	}
	if route.admin {
		if !a.Gate.Administers(c.who) {
			return nil, c.forbid("only administrators may do this; ask one, or run the command on the server")
		}
	}
	return route.handler(c)
}

// atOnce is a handler whose answer is of one moment, and whose questions are read together. It only reads the store, and little: it
// neither reads blobs nor writes its answer.
func (a *API) atOnce(next handler) handler {
	return func(c *call) (value any, err error) {
		if a.AtOnce == nil {
			return next(c)
		}
		err = a.AtOnce(c.Context(), func(ctx context.Context) error {
			one := *c
			one.Request = c.WithContext(ctx)
			value, err = next(&one)
			return err
		})
		return value, err
	}
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

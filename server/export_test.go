package server

import (
	"context"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Book returns the server's book.
func (s *Server) Book() *provenance.Book { return s.book }

// Store returns its store.
func (s *Server) Store() storage.Store { return s.data.Store }

// ForgetOld is what the background does each hour.
func (s *Server) ForgetOld(ctx context.Context, keep time.Duration) (int, error) {
	return s.forgetOld(ctx, keep)
}

// Unready returns the parts that cannot do their work.
func (s *Server) Unready(ctx context.Context) []UnreadyPart { return s.unready(ctx) }

// StallAt sets how long no change may be answered before it is not ready for writes.
func (s *Server) StallAt(d time.Duration) { s.stalled = d }

// StopsPulls says whether pulls fail too.
func (p UnreadyPart) StopsPulls() bool { return p.reads }

// InProcess is a transport that calls a handler.
func InProcess(handler http.Handler) http.RoundTripper { return inProcess{handler} }

// Reload is what SIGHUP does.
func (s *Server) Reload(ctx context.Context) { s.reload(ctx) }

// Index makes the rows that find the newest records, which the background makes a moment later.
func (s *Server) Index(ctx context.Context) error { return s.book.Index(ctx) }

// SignInBrowser signs in as a browser does, and returns the secret that it keeps in a cookie.
func (s *Server) SignInBrowser(r *http.Request, name, password string) (secret string, err error) {
	_, secret, err = s.access.SignInBrowser(r, name, password, "a browser")
	return secret, err
}

// A Job is one of background.go: who does it.
type Job struct{ Lease, Each string }

// Jobs are all jobs.
func (s *Server) Jobs() (list []Job) {
	for _, j := range append(s.storeJobs(), s.ownJobs(nil)...) {
		list = append(list, Job{j.lease, j.each})
	}
	return list
}

// Fingerprint tells whom the server trusts.
func (s *Server) Fingerprint() string { return s.signatures.Trust().Fingerprint() }

// TamperRules takes the documents out of the store past the registry.
func (s *Server) TamperRules(ctx context.Context) error {
	return s.data.Store.Update(ctx, func(tx storage.Tx) error {
		for _, read := range provenance.RuleReads() {
			tx.Delete(read.Table, read.Key)
		}
		return nil
	})
}

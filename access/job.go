package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// byIDToken signs in a CI job with the ID token that its issuer gave it. The token is exchanged once for a
// session, which is found again by the token's hash: so clients that only know passwords can show it again
// and again, also when it has expired meanwhile, until the session ends. If we stop between the check of a
// token and the commit of its session, the job shows it again.
func (a *Access) byIDToken(ctx context.Context, raw, address string) (provenance.Identity, error) {
	sum := sha256.Sum256([]byte(raw))
	p, known := a.secrets.Get(sum)
	if !known {
		s, err := a.exchange(ctx, raw, sum, address)
		if err != nil {
			return provenance.Identity{}, err
		}
		p = passOfJob(s)
	}
	if err := a.check(ctx, p, address); err != nil {
		return provenance.Identity{}, err
	}
	if !known {
		a.secrets.Add(sum, p)
	}
	return p.who, nil
}

// exchange finds the session of an ID token, or checks the token and begins one. Refused ones slow down nobody: a
// signature cannot be guessed, and checking one costs no more than any request.
func (a *Access) exchange(ctx context.Context, raw string, sum [sha256.Size]byte, address string) (s *session, err error) {
	s, err = a.sessionOfToken(ctx, sum)
	if err != nil || s != nil {
		return s, err
	}
	job, err := a.issuers.Load().Verify(ctx, raw, address)
	switch {
	case errors.Is(err, oidc.ErrIssuer):
		return nil, &SlowDownError{err.Error(), 10 * time.Second}
	case errors.Is(err, oidc.ErrToken):
		return nil, refusedError{err}
	case err != nil:
		return nil, err
	}
	now := a.now()
	s = &session{
		Session: Session{
			ID: newSessionID(JobSession), Kind: JobSession, Name: job.Claims["run_id"],
			Owner:   provenance.Actor{Kind: provenance.CI, Handle: job.Handle, Account: job.Account},
			Created: provenance.At(now), Expires: provenance.At(now.Add(job.Session)),
		},
		Secret: sum[:], Issuer: job.Issuer, Claims: job.Claims, Cut: job.Cut,
	}
	return s, a.beginOnce(ctx, s)
}

// beginOnce begins a session unless another request with the same token was quicker: then it is that one.
func (a *Access) beginOnce(ctx context.Context, s *session) error {
	var found session
	err := a.store.Update(ctx, func(tx storage.Tx) error {
		found = *s
		id, err := tx.Get(sessionSecret, s.Secret)
		if errors.Is(err, storage.ErrNotFound) {
			return found.begin(tx)
		}
		if err != nil {
			return err
		}
		other, err := readSession(tx, string(id))
		if err == nil {
			found = *other
		}
		return err
	})
	*s = found
	return err
}

// sessionOfToken returns the session that an ID token was exchanged for, or nil. It may have ended.
func (a *Access) sessionOfToken(ctx context.Context, sum [sha256.Size]byte) (s *session, err error) {
	err = a.look(ctx, []storage.Read{storage.Row(sessionSecret, sum[:])}, func(tx storage.Reader) error {
		s = nil
		id, err := tx.Get(sessionSecret, sum[:])
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil {
			s, err = readSession(tx, string(id))
		}
		return err
	})
	return s, err
}

package server

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// keeper is the api.KeyKeeper of a registry: where keys were stolen it renews all that lie beside the signing keys, too.
type keeper struct {
	*services
	mu sync.Mutex // held while keys change
}

// Rotate implements api.KeyKeeper.
func (k *keeper) Rotate(ctx context.Context, who provenance.Identity, reason string) (*provenance.Record, error) {
	if reason != receipt.Stolen {
		return k.keys.Rotate(ctx, who, reason)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stolen(ctx, who)
}

// stolen begins a new log with new keys, and ends what can be made with the others: bearer tokens, and what was thought of
// images. The keys of both are durable before the log is closed, and in force after it. If we stop between, before or
// after the log is closed, the next start puts them in force: so no record says that keys were renewed of which the thief
// still has one. What is refused leaves all keys as they were.
func (k *keeper) stolen(ctx context.Context, who provenance.Identity) (*provenance.Record, error) {
	before, err := k.book.InForce(ctx)
	if err != nil {
		return nil, err
	}
	pending := k.data.MACKeysFollow() // of an attempt that closed the log and failed then: they must come into force
	if err := k.data.DrawMACKeys(); err != nil {
		if !pending {
			err = errors.Join(err, k.data.DropMACKeys())
		}
		return nil, err
	}
	r, err := k.keys.Rotate(ctx, who, receipt.Stolen)
	if err != nil && r == nil && !pending && !errors.Is(err, storage.ErrUnknownOutcome) { // else it may have happened all the same
		after, unknown := k.book.InForce(context.WithoutCancel(ctx))
		if unknown == nil && after.Log.Origin == before.Log.Origin {
			return nil, errors.Join(err, k.data.DropMACKeys())
		}
	}
	return r, errors.Join(err, k.renewMACs())
}

// renewMACs signs and seals with the keys that follow, which are put in force as they are asked for. One that fails does not keep
// the other from it.
func (s *services) renewMACs() error {
	err := errors.Join(s.signTokens(), s.protectKept())
	s.engine.Forget() // what it decided by opinions under the other key
	return err
}

// signTokens signs bearer tokens with the key in the data directory.
func (s *services) signTokens() error {
	key, err := s.data.BearerKey()
	if err != nil || key == nil {
		return err
	}
	return s.access.SignTokens(key)
}

// protectKept keeps what is thought of images under the key in the data directory.
func (s *services) protectKept() error {
	key, err := s.data.KeptKey()
	if err == nil && key != nil {
		s.registry.SetKeptKey(key)
	}
	return err
}

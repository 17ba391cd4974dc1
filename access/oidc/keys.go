package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	upstream "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

const (
	askTimeout = 10 * time.Second
	maxAnswer  = 1 << 20          // bytes of an issuer's answer
	keepKeys   = 1 * time.Hour    // before an issuer is asked again, so that a key that it withdrew ends
	staleKeys  = 24 * time.Hour   // for which they are used when it does not answer
	askAgain   = 10 * time.Second // after it did not answer
)

// algorithms are those that an ID token may be signed with: with a key of two halves, and never with a secret.
var algorithms = []string{
	upstream.RS256, upstream.RS384, upstream.RS512, upstream.ES256, upstream.ES384, upstream.ES512,
	upstream.PS256, upstream.PS384, upstream.PS512, upstream.EdDSA,
}

// A document is what an issuer says of itself, at /.well-known/openid-configuration.
type document struct {
	Keys       string   `json:"jwks_uri"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	read       time.Time
}

// A keySet is an issuer's keys, as it answered once. It does not change.
type keySet struct {
	document
	keys []jose.JSONWebKey
	read time.Time
}

// open returns the payload of a token that one of the keys has signed.
func (s *keySet) open(token *jose.JSONWebSignature) (payload []byte, ok bool) {
	id := token.Signatures[0].Header.KeyID
	for _, key := range s.keys {
		if id != "" && key.KeyID != id {
			continue
		}
		if payload, err := token.Verify(&key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// allowed are the algorithms that its issuer uses: RS256 where it does not say.
func (s *keySet) allowed() []string {
	used := slices.DeleteFunc(slices.Clone(s.Algorithms), func(name string) bool { return !slices.Contains(algorithms, name) })
	if len(used) == 0 {
		return []string{upstream.RS256}
	}
	return used
}

// outcome is what came of asking an issuer for the nth time.
type outcome struct {
	number uint64
	err    error
	at     time.Time
}

// verify checks who signed a token, and for whom. Errors: ErrToken, ErrIssuer, and that of ctx.
func (i *issuer) verify(ctx context.Context, raw, address string) (*upstream.IDToken, error) {
	known, err := i.known(ctx)
	if err != nil {
		return nil, err
	}
	c := &check{issuer: i, known: known, address: address}
	// The library checks no time without its own margins, so we do: see inTime.
	config := &upstream.Config{ClientID: i.Audience, SkipExpiryCheck: true, SupportedSigningAlgs: known.allowed()}
	token, err := upstream.NewVerifier(i.URL, c, config).Verify(ctx, raw)
	switch {
	case c.err != nil: // the library keeps only the text of an error
		return nil, c.err
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrToken, strings.TrimPrefix(err.Error(), "oidc: "))
	}
	return token, nil
}

// check is the check of one token's signature.
type check struct {
	*issuer
	known   *keySet
	address string
	err     error // why the issuer was not asked
}

// VerifySignature implements the library's KeySet: where no known key has signed the token, the issuer may have a new one.
func (c *check) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	var allowed []jose.SignatureAlgorithm
	for _, name := range c.known.allowed() {
		allowed = append(allowed, jose.SignatureAlgorithm(name))
	}
	token, err := jose.ParseSigned(raw, allowed)
	if err != nil {
		return nil, err
	}
	if payload, ok := c.known.open(token); ok {
		return payload, nil
	}
	fresh, err := c.fresh(ctx, c.address)
	if err != nil {
		c.err = err
		return nil, err
	}
	if payload, ok := fresh.open(token); ok {
		return payload, nil
	}
	return nil, errors.New("no key of its issuer has signed it")
}

// known returns the issuer's keys, and asks it when nobody has for a while. Errors: ErrIssuer, and that of ctx.
func (i *issuer) known(ctx context.Context) (*keySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	failing := i.last.err != nil && i.now().Sub(i.last.at) < askAgain
	if !failing && (i.keys == nil || i.age() >= keepKeys) {
		free := func() time.Duration { return 0 } // once an hour: nobody can make it more often
		if err := i.await(ctx, i.last.number+1, free); err != nil {
			return nil, err
		}
	}
	if i.keys == nil || i.age() > staleKeys {
		return nil, i.last.err
	}
	return i.keys, nil
}

// age is how old the keys are. The caller holds mu, here and below.
func (i *issuer) age() time.Duration { return i.now().Sub(i.keys.read) }

// fresh returns keys that the issuer was asked for since the call, for a token from an address: those of a time that it was
// asked before may be older than the token's. Errors: ErrIssuer, and that of ctx.
func (i *issuer) fresh(ctx context.Context, address string) (*keySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.await(ctx, i.begun+1, func() time.Duration { return i.budget.take(address, time.Now()) })
	if err != nil {
		return nil, err
	}
	return i.keys, i.last.err
}

// await waits until the issuer was asked for the nth time. Anyone who may do so first asks it, for all who wait: so a token
// from an address that has used up its share is checked as soon as anybody's is. Error: that of ctx.
func (i *issuer) await(ctx context.Context, n uint64, take func() (wait time.Duration)) error {
	for i.last.number < n {
		var wait time.Duration
		if !i.asking {
			if wait = take(); wait == 0 {
				i.ask()
			}
		}
		if err := i.pause(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// pause gives mu away until the issuer has answered, or for a while where that is not 0. Error: that of ctx.
func (i *issuer) pause(ctx context.Context, wait time.Duration) error {
	answered := i.answered
	i.mu.Unlock()
	defer i.mu.Lock()
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-answered:
		return nil
	case <-timer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask begins to ask the issuer. Others wait for the answer, so it does not end with the request that came first.
func (i *issuer) ask() {
	i.asking = true
	i.begun++
	var d document
	if i.keys != nil && i.now().Sub(i.keys.document.read) < keepKeys {
		d = i.keys.document
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		begun := i.now()
		keys, err := i.fetch(ctx, d, begun)
		i.mu.Lock()
		defer i.mu.Unlock()
		if err == nil {
			i.keys = keys
		} else {
			err = fmt.Errorf("%w: %w", ErrIssuer, err)
		}
		i.last = outcome{i.begun, err, begun}
		i.asking = false
		close(i.answered)
		i.answered = make(chan struct{})
	}()
}

// fetch asks the issuer for its keys, and first where they are, unless d says so.
func (i *issuer) fetch(ctx context.Context, d document, now time.Time) (*keySet, error) {
	if d.Keys == "" {
		p, err := upstream.NewProvider(upstream.ClientContext(ctx, i.client), i.URL)
		if err == nil {
			err = readClaims(p, &d)
		}
		if err != nil {
			return nil, err
		}
		d.read = now
	}
	keys, err := fetchKeys(ctx, i.client, d.Keys)
	return &keySet{d, keys, now}, err
}

// readClaims reads what an issuer says of itself, and refuses keys in another case, which the library takes.
func readClaims(p *upstream.Provider, d *document) error {
	var said json.RawMessage
	if err := p.Claims(&said); err != nil {
		return err
	}
	return strictjson.Unmarshal(said, d)
}

// fetchKeys asks for a JSON Web Key Set (RFC 7517, section 5). A key of a kind that is not known
// here is left out, as section 5 asks for: the issuer has it for others.
func fetchKeys(ctx context.Context, client *http.Client, url string) (keys []jose.JSONWebKey, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cache-Control", "no-cache")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read already: see careful
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: asked for its keys it answers %s", errAsking, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = strictjson.Unmarshal(body, &set)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its keys: %w", errAsking, err)
	}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: it has no key of a known kind", errAsking)
	}
	return keys, nil
}

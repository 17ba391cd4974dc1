package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/documents"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// ruling brings into force by what the registry decides: of each kind the document in the store, and where there is none what the
// configuration names. It is an access.Follower: each request has in force what its View sees.
type ruling struct {
	*services
	hosts []string // of the registry, for what is said about resources
	log   *slog.Logger

	looked atomic.Pointer[[]byte] // the row that says which documents are in force, as it was looked at last

	mu        sync.Mutex // held while something comes into force; guards what follows
	files     ruleFiles
	changes   uint64 // as many changes of documents were looked at
	documents map[provenance.RuleKind]ruleDocument
	refused   map[provenance.RuleKind]error // why a document in the store did not come into force, as it was looked at last
	trusted   *signature.Trust              // that was put in force last
	issuers   digest.Digest                 // of the document of issuers that was put in force last; "" where none was
}

// ruleFiles are what the configuration names. Its issuers are in force where there is no document, and change with a restart alone.
type ruleFiles struct {
	policy *policy.Set
	trust  *signature.Trust
}

// ruleDocument is a document that was read.
type ruleDocument struct {
	provenance.RuleDocument
	documents.Parsed
	text []byte
}

func newRuling(s *services, c config.Config, log *slog.Logger) *ruling {
	return &ruling{
		services: s, hosts: s.hosts(c), log: log,
		documents: map[provenance.RuleKind]ruleDocument{},
	}
}

// Reads implements access.Follower.
func (r *ruling) Reads() []storage.Read { return provenance.RuleReads() }

// Follow implements access.Follower. It runs in each request: mostly it compares a row with the one before.
func (r *ruling) Follow(tx storage.Reader) error {
	row, err := provenance.RulesRow(tx)
	if err != nil {
		return err
	}
	if looked := r.looked.Load(); looked != nil && bytes.Equal(*looked, row) {
		return nil
	}
	return r.catchUp(tx, row)
}

// catchUp brings into force what a row says. What cannot come into force leaves in force what was: whoever damages a document must not get
// rid of it. The row is not looked at again then, before it changes.
func (r *ruling) catchUp(tx storage.Reader, row []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := provenance.ParseRules(row)
	older := err == nil && next.Changes < r.changes // than what is in force: the View is from before it, or somebody put the row back
	refused := map[provenance.RuleKind]error{}
	for _, k := range provenance.RuleKinds {
		is := err
		if is == nil {
			is = r.read(tx, k, next.Kinds[k], older)
		}
		if is != nil && !isOfDocument(is) {
			return is
		}
		if is != nil {
			refused[k] = is
			r.log.Error("a document in the store does not come into force; what was in force before is", "kind", k, "err", is)
		}
	}
	if older && len(refused) == 0 {
		return nil
	}
	row = bytes.Clone(row)
	r.looked.Store(&row)
	r.refused, r.changes = refused, max(r.changes, next.Changes)
	return r.putInForce()
}

// isOfDocument says that an error is about what a document is, and not about the store.
func isOfDocument(err error) bool {
	return errors.Is(err, errUnread) || errors.Is(err, storage.ErrCorrupt) || errors.Is(err, provenance.ErrRulesUnrecorded) || errors.Is(err, provenance.ErrNoRules)
}

// errUnread: a document in the store is none that this version reads.
var errUnread = errors.New("it cannot be read")

// read reads a document, unless it is the one that was read before. One that is older than that has to be on record, and is not read.
func (r *ruling) read(tx storage.Reader, k provenance.RuleKind, d provenance.RuleDocument, older bool) error {
	if have := r.documents[k]; d.Version != 0 && have.Digest == d.Digest && have.Version == d.Version && !older {
		return nil
	}
	text, err := provenance.RulesText(tx, k, d)
	if err != nil || d.Version == 0 || older {
		return err
	}
	parsed, err := documents.Parse(k, text)
	if err != nil {
		return fmt.Errorf("version %d of the %s document: %w: %w", d.Version, k, errUnread, err)
	}
	r.documents[k] = ruleDocument{d, parsed, text}
	return nil
}

// putInForce puts in force what counts now. The caller holds mu.
func (r *ruling) putInForce() error {
	rules, trusted := r.files.policy, r.files.trust
	if d, ok := r.documents[provenance.PolicyRules]; ok {
		rules = d.Policy
	}
	if d, ok := r.documents[provenance.TrustRules]; ok {
		trusted = d.Trust
	}
	if trusted != r.trusted {
		r.trusted = trusted
		r.signatures.SetTrust(trusted.Of(r.hosts...))
		r.engine.Forget()
	}
	if rules != r.engine.Rules() {
		r.engine.Use(rules)
	}
	if d, ok := r.documents[provenance.IssuerRules]; ok && d.Digest != r.issuers {
		r.issuers = d.Digest
		return r.access.UseIssuers(d.Issuers)
	}
	return nil
}

// use puts files in force that the configuration names, where there is no document of their kind.
func (r *ruling) use(f ruleFiles) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = f
	return r.putInForce()
}

// begin brings into force what the store has, before the first request. Error: where a document cannot be, as a registry without its rules
// would let everything pass.
func (r *ruling) begin(ctx context.Context) error {
	if err := r.access.Follow(ctx); err != nil {
		return err
	}
	if k, err := r.stuck(); err != nil {
		return fmt.Errorf("%w. Put it right with `hallmark %s apply FILE` while no server runs", err, k)
	}
	return nil
}

// stuck returns the first kind of which a document is not in force, though the store has it, and why.
func (r *ruling) stuck() (provenance.RuleKind, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range provenance.RuleKinds {
		if err := r.refused[k]; err != nil {
			return k, err
		}
	}
	return "", nil
}

// ApplyRules implements api.Documents.
func (r *ruling) ApplyRules(ctx context.Context, by provenance.Identity, k provenance.RuleKind, text []byte, follows *uint64) (provenance.RuleDocument, error) {
	d, err := r.book.ApplyRules(ctx, by, k, text, follows)
	return d, errors.Join(err, r.access.Follow(context.WithoutCancel(ctx))) // where the outcome is not known, what the store shows counts
}

// CheckRules implements api.Documents.
func (r *ruling) CheckRules(k provenance.RuleKind, text []byte) error {
	_, err := documents.Parse(k, text)
	return err
}

// RulesNow implements api.Documents.
func (r *ruling) RulesNow(ctx context.Context) (provenance.RuleDocuments, error) {
	return r.book.RulesNow(ctx)
}

// RulesVersion implements api.Documents.
func (r *ruling) RulesVersion(ctx context.Context, k provenance.RuleKind, version uint64) (provenance.RuleChange, []byte, error) {
	return r.book.RulesVersion(ctx, k, version)
}

// RulesHistory implements api.Documents.
func (r *ruling) RulesHistory(ctx context.Context, k provenance.RuleKind, before uint64, n int) ([]provenance.RuleChange, error) {
	return r.book.RulesHistory(ctx, k, before, n)
}

// compare says which parts of the configuration are not in force, because the store has a document that says something else.
func (r *ruling) compare(c config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range provenance.RuleKinds {
		d, ok := r.documents[k]
		if !ok {
			continue
		}
		if key, same := documents.SameAs(c, k, d.text); !same {
			r.log.Warn("a part of the configuration is not in force, because the store has a document that says something else: "+
				"apply it, or take it out of the configuration", "key", key, "document", k, "version", d.Version)
		}
	}
}

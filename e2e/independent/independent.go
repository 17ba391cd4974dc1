// Package independent checks a registry from outside, without trusting any of its code. It is written from the
// documentation (docs/verify.md, docs/design/replay.md, docs/api.md) with other projects' tools, and imports none of our packages.
// So it exposes a fault that our own verifiers share with the registry.
//
// [Registry.Visit] reads everything that is on record over the public routes, computes the leaf of each statement and the
// roots from the leaves, requires all checkpoints to continue those that it saw before, has sigstore-go check receipts, replays
// the records, and compares the result with what /v2/ serves. It is for tests, with a registry that nobody changes in the
// meantime: it holds everything in memory.
package independent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrRefused says that what is served contradicts itself, the records, or what was seen before.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// A Registry is asked over its public routes, as someone who may see everything.
type Registry struct {
	URL            string // without a slash at the end
	User, Password string
	Client         *http.Client
	// Each is how many records there are to one whose receipt is checked, beside those where a log or a key begins or ends,
	// and how many manifests to one that is asked for by its digest. All tags are asked for. 0 is 1.
	Each uint64
}

// A Memory is what is kept from one visit to the next. The first visit fills an empty one, and trusts what it finds.
type Memory struct {
	Logs []SeenLog
	Key  string // the hint of the receipt key that signed the first record
	// good are leaves whose statement is what its key signed. A leaf is the hash of all three.
	good map[tlog.Hash]bool
}

// A SeenLog is a log that was seen, with every checkpoint that was.
type SeenLog struct {
	Origin, VKey string
	First        uint64
	Seen         []Checkpoint
	Closed       bool
}

// A Report is what a visit has checked.
type Report struct {
	Records, Receipts, Repositories, Tags, Manifests, Removed, Accounts int

	Actions map[string]int // records of each action
	Lost    uint64         // leaves that were seen and that the registry declares to be lost
}

// Visit checks everything, and remembers in m what it saw unless it returns an error: ErrRefused, or that no answer came.
func (r *Registry) Visit(ctx context.Context, m *Memory) (*Report, error) {
	if m.good == nil {
		m.good = make(map[tlog.Hash]bool)
	}
	v := &visit{next: Memory{good: m.good}, Registry: r, each: max(1, r.Each), report: &Report{Actions: make(map[string]int)}, state: newState()}
	for _, step := range []func(context.Context, *Memory) error{v.readLogs, v.readTrust, v.readRecords, v.compareServed, v.checkReceipts} {
		if err := step(ctx, m); err != nil {
			return v.report, err
		}
	}
	*m = v.next
	return v.report, nil
}

// visit is one on its way.
type visit struct {
	*Registry
	each   uint64
	report *Report
	next   Memory // what will be remembered
	logs   []*servedLog
	keys   map[string]*receiptKey // by hint
	trust  []byte                 // trusted_root.json
	spans  map[string][]span      // by hint: the records that each key signed, as the records have it
	check  []receiptOf            // whose receipts are to be checked
	state  *state
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (r *Registry) ask(ctx context.Context, method, path string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(r.User, r.Password)
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return &answer{resp.StatusCode, resp.Header, body}, err
}

// get wants an answer of 200.
func (r *Registry) get(ctx context.Context, path string) ([]byte, error) {
	a, err := r.ask(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, refuse("%s: status %d: %.200s", path, a.status, a.body)
	}
	return a.body, nil
}

func (r *Registry) getJSON(ctx context.Context, path string, into any) error {
	data, err := r.get(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return refuse("%s: %v", path, err)
	}
	return nil
}

// pages reads a list page by page, as its Link headers lead (RFC 8288).
func (r *Registry) pages(ctx context.Context, path string, each func(page []byte) error) error {
	for path != "" {
		a, err := r.ask(ctx, http.MethodGet, path)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return refuse("%s: status %d: %.200s", path, a.status, a.body)
		}
		if err := each(a.body); err != nil {
			return err
		}
		if path, err = next(a.header.Get("Link")); err != nil {
			return err
		}
	}
	return nil
}

func next(link string) (string, error) {
	if link == "" {
		return "", nil
	}
	target, rel, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	u, err := url.Parse(target)
	if !ok || err != nil || strings.TrimSpace(rel) != `; rel="next"` {
		return "", refuse("the link %q leads nowhere", link)
	}
	return u.RequestURI(), nil
}

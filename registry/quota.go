package registry

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A quota bounds what the repositories of a pattern use together. What they use is counted beside it, in the same transactions
// as the usage of each repository, and what would exceed it is refused there: no two pushes can pass it together. Every quota
// whose pattern matches holds.
//
// The quotas are one document, changed by administrators, with a record of each change that names its digest. A new quota is
// counted over the usage rows in short transactions: quota_count.go.

// A Quota bounds what the repositories of a pattern use together. A limit of 0 is none.
type Quota struct {
	Pattern access.Pattern `json:"pattern"`
	Bytes   int64          `json:"bytes,omitempty"` // what they may use at most
	Soft    int64          `json:"soft,omitempty"`  // bytes above which pushes are answered with a warning
	Tags    int64          `json:"tags,omitempty"`  // how many they may have at most
}

// A QuotaUse is a quota with what is used of it.
type QuotaUse struct {
	Quota
	UsedBytes int64 `json:"usedBytes"`
	UsedTags  int64 `json:"usedTags"`
	// ReservedBytes are those of uploads under way.
	ReservedBytes int64 `json:"reservedBytes,omitempty"`
	// Counting: it is new, and refuses nothing until what is used was counted.
	Counting bool `json:"counting,omitempty"`
}

// The bounds of quotas.
const (
	maxQuotas     = 1000
	maxQuotaValue = 1 << 60 // of each limit
)

// The errors of a change of quotas.
var (
	ErrUnknownQuota  = fault.New(fault.Missing, "there is no quota for this pattern; `hallmark quota show` lists what there is")
	ErrTooManyQuotas = fault.Newf(fault.Invalid, "there are %d quotas, which is the most that there can be; remove one", maxQuotas)
	ErrQuota         = fault.New(fault.Invalid, "a quota has a pattern and at least one limit, none is negative or above 1 EiB, and the soft limit is below the other")
)

// Valid is nil, or ErrQuota.
func (q Quota) Valid() error {
	limits := []int64{q.Bytes, q.Soft, q.Tags}
	bad := func(n int64) bool { return n < 0 || n > maxQuotaValue }
	if q.Pattern == (access.Pattern{}) || slices.ContainsFunc(limits, bad) || limits[0]+limits[1]+limits[2] == 0 || q.Bytes > 0 && q.Soft >= q.Bytes {
		return ErrQuota
	}
	return nil
}

// quotas are all that there are, in the order of their patterns. Its JSON is the document.
type quotas struct {
	Version uint64  `json:"version"` // each change makes it one higher
	Quotas  []Quota `json:"quotas"`
}

var (
	quotasKey        = []byte("document")
	quotasVersionKey = []byte("version")
)

// quotasIn returns the quotas as a transaction sees them: mostly those that are kept in memory, but between the commit of a change
// and its coming into force the newer ones.
func (g *Registry) quotasIn(tx storage.Reader) (*quotas, error) {
	value, err := getOrNil(tx, quotaTable, quotasVersionKey)
	if err != nil || value == nil {
		return &quotas{}, err
	}
	if now := g.quotas.Load(); now != nil && len(value) == 8 && now.Version == binary.BigEndian.Uint64(value) {
		return now, nil
	}
	return readQuotas(tx)
}

func readQuotas(tx storage.Reader) (*quotas, error) {
	value, err := getOrNil(tx, quotaTable, quotasKey)
	q := &quotas{}
	if err != nil || value == nil {
		return q, err
	}
	if err := json.Unmarshal(value, q); err != nil {
		return nil, damaged("the quotas cannot be read: %w", err)
	}
	return q, nil
}

// reloadQuotas keeps the stored quotas in memory.
func (g *Registry) reloadQuotas(ctx context.Context) error {
	return g.store.View(ctx, func(tx storage.Reader) error {
		q, err := readQuotas(tx)
		if err == nil {
			g.quotas.Store(q)
		}
		return err
	})
}

// matching are the quotas that hold for a repository.
func (q *quotas) matching(repo string) (list []Quota) {
	for _, one := range q.Quotas {
		if one.Pattern.Matches(repo) {
			list = append(list, one)
		}
	}
	return list
}

func (q *quotas) find(p access.Pattern) int {
	return slices.IndexFunc(q.Quotas, func(one Quota) bool { return one.Pattern == p })
}

// quotaRow is what the repositories of a quota use.
type quotaRow struct {
	changes uint64 // how often it changed
	counted bool
	lost    bool // it cannot be read, and is as one that was not counted at all; not stored
	bytes   int64
	tags    int64
	// behind is the repository that was counted last, while it is being counted: what changes up to it is counted here, and
	// what changes behind it will be.
	behind string
}

func (q quotaRow) encode() []byte {
	row := binary.AppendUvarint(make([]byte, 0, 32), q.changes)
	row = append(row, boolByte(q.counted))
	row = binary.AppendVarint(binary.AppendVarint(row, q.bytes), q.tags)
	return append(row, q.behind...)
}

func boolByte(is bool) byte {
	if is {
		return 1
	}
	return 0
}

func decodeQuotaRow(value []byte) quotaRow {
	f := fields{rest: value}
	q := quotaRow{changes: f.number(), counted: f.number() == 1, bytes: f.signed(), tags: f.signed(), behind: string(f.rest)}
	if f.bad {
		return quotaRow{lost: true}
	}
	return q
}

// readQuotaRow reads what a quota's repositories use. A quota without a row was not counted at all.
func readQuotaRow(tx storage.Reader, p access.Pattern) (quotaRow, error) {
	value, err := getOrNil(tx, quotaUseTable, []byte(p.String()))
	if err != nil || value == nil {
		return quotaRow{}, err
	}
	return decodeQuotaRow(value), nil
}

// countQuotas counts a change of what a repository uses towards its quotas. Error: a failure, where a quota has no room for it.
func (g *Registry) countQuotas(tx storage.Tx, repo string, change Usage) error {
	return g.eachRoom(tx, repo, change, func(q Quota, row quotaRow) {
		row.bytes, row.tags, row.changes = row.bytes+change.Bytes(), row.tags+change.Tags, row.changes+1
		tx.Put(quotaUseTable, []byte(q.Pattern.String()), row.encode())
	})
}

// askQuotas is the failure that countQuotas would be, and counts nothing.
func (g *Registry) askQuotas(tx storage.Reader, repo string, change Usage) error {
	return g.eachRoom(tx, repo, change, func(Quota, quotaRow) {})
}

// eachRoom calls fn for each quota in which a change counts, as long as there is room for it.
func (g *Registry) eachRoom(tx storage.Reader, repo string, change Usage, fn func(Quota, quotaRow)) error {
	if change.Bytes() == 0 && change.Tags == 0 {
		return nil
	}
	all, err := g.quotasIn(tx)
	if err != nil {
		return err
	}
	for _, q := range all.matching(repo) {
		row, err := readQuotaRow(tx, q.Pattern)
		if err != nil {
			return err
		}
		if !row.counted && repo > row.behind {
			if row.lost {
				wake(g.uncounted)
			}
			continue
		}
		if err := q.room(row, change.Bytes(), change.Tags); err != nil {
			return err
		}
		fn(q, row)
	}
	return nil
}

// room is nil, or a failure where a quota has no room for more. What adds nothing has room, also in a quota that is exceeded.
func (q Quota) room(row quotaRow, bytes, tags int64) error {
	switch {
	case !row.counted:
		return nil
	case q.Bytes > 0 && bytes > 0 && bytes > q.Bytes-row.bytes: // their sum may be more than fits
		return q.refuse("%s of %s are used, and this needs %s more", units.Bytes(row.bytes), units.Bytes(q.Bytes), units.Bytes(bytes))
	case q.Tags > 0 && tags > 0 && row.tags+tags > q.Tags:
		return q.refuse("%d of %d tags are used, and this needs %d more", row.tags, q.Tags, tags)
	}
	return nil
}

// refuse is the answer to what a quota has no room for: what is used, by what, and who can change it, in less than 200 bytes.
func (q Quota) refuse(format string, args ...any) error {
	f := newFailure(http.StatusForbidden, "DENIED", "the quota of %.50s is full: %s. Delete something, or ask an administrator (hallmark quota set)",
		q.Pattern, fmt.Sprintf(format, args...))
	f.quota = q.Pattern.String()
	return f
}

// softWarnings are what someone is told who has pushed into a repository of which a quota's soft limit is exceeded.
func (g *Registry) softWarnings(tx storage.Reader, repo string) (warnings []string, err error) {
	all, err := g.quotasIn(tx)
	if err != nil {
		return nil, err
	}
	for _, q := range all.matching(repo) {
		if q.Soft == 0 {
			continue
		}
		row, err := readQuotaRow(tx, q.Pattern)
		if err != nil {
			return nil, err
		}
		if !row.counted || row.bytes <= q.Soft {
			continue
		}
		says := fmt.Sprintf("%.50s uses %s, which is above the soft limit of %s", q.Pattern, units.Bytes(row.bytes), units.Bytes(q.Soft))
		if q.Bytes > 0 {
			says += fmt.Sprintf("; pushes are refused from %s on", units.Bytes(q.Bytes))
		}
		warnings = append(warnings, says+". Delete what is not needed")
	}
	return warnings, nil
}

// Quotas returns all quotas, in the order of their patterns, with what is used of each.
func (g *Registry) Quotas(ctx context.Context) (list []QuotaUse, err error) {
	return g.quotaUses(ctx, func(all *quotas) []Quota { return all.Quotas })
}

// QuotasOf returns the quotas that hold for a repository.
func (g *Registry) QuotasOf(ctx context.Context, repo string) (list []QuotaUse, err error) {
	return g.quotaUses(ctx, func(all *quotas) []Quota { return all.matching(repo) })
}

func (g *Registry) quotaUses(ctx context.Context, which func(*quotas) []Quota) (list []QuotaUse, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		all, err := g.quotasIn(tx)
		if err != nil {
			return err
		}
		list = nil
		for _, q := range which(all) {
			row, err := readQuotaRow(tx, q.Pattern)
			if err != nil {
				return err
			}
			list = append(list, QuotaUse{Quota: q, UsedBytes: row.bytes, UsedTags: row.tags, Counting: !row.counted, ReservedBytes: g.reserved.of(q.Pattern)})
		}
		return nil
	})
	return list, err
}

// SetQuota makes a quota, in the place of the one of the same pattern, and says whether there was none. It comes back when what
// is used was counted, which does not end with ctx: the quota is made, and a count that nobody waits for is one all the same. Errors:
// ErrQuota, ErrTooManyQuotas.
//
// If we stop after the change and before the count has ended, the next start goes on with it.
func (g *Registry) SetQuota(ctx context.Context, by provenance.Identity, q Quota) (isNew bool, err error) {
	if err := q.Valid(); err != nil {
		return false, err
	}
	err = g.changeQuotas(ctx, by, func(tx storage.Tx, all *quotas) error {
		i := all.find(q.Pattern)
		if isNew = i < 0; !isNew {
			all.Quotas[i] = q
			return nil
		}
		if len(all.Quotas) >= maxQuotas {
			return ErrTooManyQuotas
		}
		all.Quotas = append(all.Quotas, q)
		tx.Put(quotaUseTable, []byte(q.Pattern.String()), quotaRow{}.encode())
		return nil
	})
	if err != nil {
		return isNew, err
	}
	if err := g.countQuota(context.WithoutCancel(ctx), q.Pattern); err != nil {
		wake(g.uncounted)
		return isNew, err
	}
	return isNew, nil
}

// RemoveQuota removes the quota of a pattern. Error: ErrUnknownQuota.
func (g *Registry) RemoveQuota(ctx context.Context, by provenance.Identity, p access.Pattern) error {
	return g.changeQuotas(ctx, by, func(tx storage.Tx, all *quotas) error {
		i := all.find(p)
		if i < 0 {
			return ErrUnknownQuota
		}
		all.Quotas = slices.Delete(all.Quotas, i, i+1)
		tx.Delete(quotaUseTable, []byte(p.String()))
		return nil
	})
}

// changeQuotas edits the quotas, with a record of it, and keeps the new ones in memory. Where the outcome of the commit is not
// known, those that the store shows count.
func (g *Registry) changeQuotas(ctx context.Context, by provenance.Identity, edit func(storage.Tx, *quotas) error) error {
	g.changingQuotas.Lock()
	defer g.changingQuotas.Unlock()
	err := g.store.Update(ctx, func(tx storage.Tx) error {
		all, err := readQuotas(tx)
		if err != nil {
			return err
		}
		before := slices.Clone(all.Quotas)
		if err := edit(tx, all); err != nil || slices.Equal(before, all.Quotas) {
			return err
		}
		slices.SortFunc(all.Quotas, func(a, b Quota) int { return strings.Compare(a.Pattern.String(), b.Pattern.String()) })
		all.Version++
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		tx.Put(quotaTable, quotasKey, text)
		tx.Put(quotaTable, quotasVersionKey, binary.BigEndian.AppendUint64(nil, all.Version))
		return g.book.RecordQuotas(tx, by, digest.FromBytes(text))
	})
	return errors.Join(err, g.reloadQuotas(context.WithoutCancel(ctx)))
}

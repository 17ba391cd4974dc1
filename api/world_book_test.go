package api

import (
	"context"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var worldTime = provenance.At(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))

// worldRecord is one of the four records: a push to team/app, one to secret/app, a grant and a new key.
func worldRecord(index uint64) *provenance.Record {
	r := &provenance.Record{
		Version: 1, Index: index, Time: worldTime, Action: provenance.Push, Registry: worldURL, Nonce: make([]byte, 16),
		Actor: worldUser("alice").Actor,
	}
	switch index {
	case 0:
		r.Repository, r.Digest, r.Tags = "team/app", app.digest, []provenance.TagMove{{Name: "1.0", Now: app.digest}}
		r.Observed = provenance.Observation{MediaType: app.mediaType, Size: int64(len(app.manifest)), ImageSize: 7}
		r.Claimed = []provenance.Claim{{Fact: "source", Value: "https://git.example/team/app", About: app.digest, From: "annotation org.opencontainers.image.source"}}
		r.Unsigned, r.Log = &provenance.Unsigned{ClientAddress: "192.0.2.7"}, &provenance.LeafID{Origin: "log.example"}
	case 1:
		r.Repository, r.Digest = "secret/app", app.digest
	case 2:
		r.Action, r.Grant = provenance.Grant, &provenance.RightsChange{Subject: "user:alice", Account: "account-alice", Pattern: "team/**", Role: "pull"}
	case 3:
		r.Action, r.Key = provenance.KeyChange, &provenance.KeyStep{Hint: strings.Repeat("a", 64), Previous: strings.Repeat("b", 64), Reason: "rotated"}
	}
	return r
}

// Get implements Records.
func (w *world) Get(_ context.Context, index uint64) (*provenance.Record, error) {
	if err := w.asked(); err != nil {
		return nil, err
	}
	if index > 3 {
		return nil, provenance.ErrNoRecord
	}
	return worldRecord(index), nil
}

// Find implements Records: one record, and there are others where no more than one is asked for.
func (w *world) Find(_ context.Context, q provenance.Query) (page provenance.Page, err error) {
	if err := w.asked(); err != nil {
		return page, err
	}
	if q.Action == provenance.Grant {
		return provenance.Page{Records: []*provenance.Record{worldRecord(2)}}, nil
	}
	page.Records = []*provenance.Record{worldRecord(0)}
	if q.Limit == 1 {
		page.Next = new(uint64)
	}
	return page, nil
}

// GetAll implements Records.
func (w *world) GetAll(_ context.Context, indexes []uint64) (records []*provenance.Record, err error) {
	for _, index := range indexes {
		records = append(records, worldRecord(index))
	}
	return records, w.asked()
}

// NewestOf implements Records: team/app has one, and team/web is from before.
func (w *world) NewestOf(_ context.Context, repositories []string) ([]*uint64, error) {
	indexes := make([]*uint64, len(repositories))
	for i, name := range repositories {
		if name == "team/app" {
			indexes[i] = new(uint64)
		}
	}
	return indexes, w.asked()
}

// History implements Records: the tag 1.0 was set, and gone was set and removed.
func (w *world) History(_ context.Context, repo, tag string, _ *uint64, limit int) (moves []provenance.Move, next *uint64, err error) {
	switch {
	case w.asked() != nil:
		return nil, nil, w.err
	case tag == "1.0" && limit == 1:
		next = new(uint64)
		fallthrough
	case tag == "1.0":
		moves = append(moves, provenance.Move{To: app.digest, Record: worldRecord(0)})
	case tag == "gone":
		removed := worldRecord(0)
		removed.Action = provenance.Untag
		moves = append(moves, provenance.Move{From: app.digest, Record: removed})
	}
	return moves, next, nil
}

// Meaning implements Records.
func (w *world) Meaning(_ context.Context, _, tag string, _ time.Time) (provenance.Move, error) {
	if err := w.asked(); err != nil {
		return provenance.Move{}, err
	}
	if tag != "1.0" {
		return provenance.Move{}, provenance.ErrNoRecord
	}
	return provenance.Move{To: app.digest, Record: worldRecord(0)}, nil
}

// Statements implements Records.
func (w *world) Statements(_ context.Context, from uint64, limit int, shows func(*provenance.Record) provenance.Showing) (provenance.StatementPage, error) {
	page := provenance.StatementPage{From: from, To: from, Statements: []provenance.Statement{}}
	for page.To < 4 && len(page.Statements) < limit {
		if shows(worldRecord(page.To)) != provenance.NotShown {
			page.Statements = append(page.Statements, provenance.Statement{Index: page.To})
		}
		page.To++
	}
	page.More = page.To < 4
	return page, w.asked()
}

// Testimony implements Testimonies.
func (w *world) Testimony(context.Context, string, []digest.Digest) (provenance.Testimony, error) {
	return provenance.Testimony{Page: provenance.Page{Records: []*provenance.Record{worldRecord(0)}}}, w.asked()
}

// Acts implements Testimonies.
func (w *world) Acts(context.Context, provenance.ActsOf) (provenance.Acts, error) {
	act := provenance.Act{Action: provenance.Push, Repository: "team/app", Tag: "1.0", Record: 0, Time: worldTime, Actor: worldUser("alice").Actor}
	return provenance.Acts{Arrivals: []provenance.Act{act}, First: &act}, w.asked()
}

// Holds implements Testimonies.
func (w *world) Holds(context.Context, string, uint64, []byte) (ours, held bool, err error) {
	return false, false, w.asked()
}

// Images implements Origins.
func (w *world) Images(_ context.Context, q provenance.ImageQuery) (page provenance.ImagePage, err error) {
	r := worldRecord(0)
	page.Images = []provenance.ClaimedImage{{Repository: r.Repository, Digest: r.Digest, Claims: r.Claimed, Record: r}}
	if q.Limit == 1 {
		page.Next = []byte("team/app")
	}
	return page, w.asked()
}

// Family implements Origins.
func (w *world) Family(_ context.Context, d digest.Digest, _ func(string) bool) ([]digest.Digest, error) {
	return []digest.Digest{d}, w.asked()
}

// Listed implements Origins.
func (w *world) Listed(context.Context, string, digest.Digest) ([]digest.Digest, error) {
	return []digest.Digest{other.digest}, w.asked()
}

// Arrivals implements Origins.
func (w *world) Arrivals(context.Context, digest.Digest, func(string) bool) ([]*provenance.Record, bool, error) {
	return []*provenance.Record{worldRecord(0)}, false, w.asked()
}

// Like implements Origins.
func (w *world) Like(_ context.Context, q provenance.LikeQuery) (page provenance.LikePage, err error) {
	values := []string{app.digest.String(), worldCommit}
	for _, value := range values {
		if strings.HasPrefix(value, q.Prefix) && q.Visible("team/app") {
			page.Values = append(page.Values, value)
		}
	}
	if strings.HasSuffix(q.Prefix, "0000") {
		page.Next, page.Behind = "more", 1
	}
	return page, w.asked()
}

// worldCommit is what the image claims to be built from.
const worldCommit = "0123456789abcdef0123456789abcdef01234567"

// Receipt implements Proofs.
func (w *world) Receipt(context.Context, uint64, *uint64) ([]byte, error) {
	return []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":{}}`), w.asked()
}

// TlogProof implements Proofs.
func (w *world) TlogProof(context.Context, uint64, *uint64) ([]byte, error) {
	return []byte("c2sp.org/tlog-proof@v1\n"), w.asked()
}

// Receipts implements Proofs: as of records from before there was a log.
func (w *world) Receipts(_ context.Context, indexes []uint64) ([]*receipt.Receipt, error) {
	return make([]*receipt.Receipt, len(indexes)), w.asked()
}

// failingBook has the questions to a real book counted.
type failingBook struct {
	evidence.Book
	w *world
}

// Find implements evidence.Book.
func (b failingBook) Find(ctx context.Context, q provenance.Query) (provenance.Page, error) {
	if err := b.w.asked(); err != nil {
		return provenance.Page{}, err
	}
	return b.Book.Find(ctx, q)
}

// Count implements evidence.Book.
func (b failingBook) Count(ctx context.Context) (uint64, error) {
	if err := b.w.asked(); err != nil {
		return 0, err
	}
	return b.Book.Count(ctx)
}

// Checkpoint implements Transparency.
func (w *world) Checkpoint(_ context.Context, origin string) (string, error) {
	if err := w.asked(); err != nil {
		return "", err
	}
	if origin != "" && origin != "log.example" {
		return "", log.ErrNoLog
	}
	return "log.example\n4\n" + tlog.Hash{}.String() + "\n\n", nil
}

// CosignedCheckpoint implements Transparency.
func (w *world) CosignedCheckpoint(ctx context.Context, origin, _ string) (string, error) {
	return w.Checkpoint(ctx, origin)
}

// Tile implements Transparency.
func (w *world) Tile(_ context.Context, _ string, tile tlog.Tile) ([]byte, error) {
	if err := w.asked(); err != nil {
		return nil, err
	}
	if tile.N > 0 {
		return nil, log.ErrSize
	}
	return make([]byte, 32*tile.W), nil
}

// KeyRanges implements Transparency.
func (w *world) KeyRanges(context.Context) ([]provenance.KeyRange, error) {
	return []provenance.KeyRange{{Key: w.key}}, w.asked()
}

// KeyEntries implements Transparency.
func (w *world) KeyEntries(context.Context) ([]receipt.KeyEntry, error) {
	return []receipt.KeyEntry{{Hint: w.key.Hint(), PEM: string(w.key.PEM()), Ranges: []receipt.Range{{From: 0}}}}, w.asked()
}

// Logs implements Transparency.
func (w *world) Logs(context.Context) ([]log.Log, error) {
	return []log.Log{{Origin: "log.example", Key: w.logKey, Begun: worldTime.Time}}, w.asked()
}

// LogEntries implements Transparency.
func (w *world) LogEntries(context.Context) ([]receipt.LogEntry, error) {
	first, from := uint64(0), worldTime.Time
	return []receipt.LogEntry{{Origin: "log.example", VKey: "log.example+00000000+AQ==", First: &first, From: &from}}, w.asked()
}

// Cosign implements Cosigner.
func (w *world) Cosign(context.Context, string, []note.Verifier) (*provenance.Cosigned, error) {
	return &provenance.Cosigned{Origin: "log.example", Size: 4, Witnesses: []string{"witness.example"}}, w.asked()
}

// Namesakes implements Names.
func (w *world) Namesakes(context.Context, []provenance.Actor) (provenance.Namesakes, error) {
	return []string{"alice"}, w.asked()
}

// checkRecords is the check of the records.
func (w *world) checkRecords(context.Context, func(error)) (uint64, error) { return 4, w.asked() }

package audit

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/tlog"
)

// looked is a statement that was looked at by itself.
type looked struct {
	provenance.Statement
	record *provenance.Record // nil where it cannot be read
	wrong  string             // what of it does not fit its leaf and its key, or ""
}

// inOrder says whether the statements of a page are of the records that it says it has, each once.
func inOrder(page provenance.StatementPage) bool {
	next := page.From
	for _, s := range page.Statements {
		if s.Index < next || s.Index >= page.To {
			return false
		}
		next = s.Index + 1
	}
	return true
}

// look looks at the statements of a page, on all processors: a signature takes most of the time of an audit, and none
// depends on another. Without leaves they are from before there was a log.
func (r *run) look(s section, page provenance.StatementPage, leaves []tlog.Hash) []looked {
	all := make([]looked, len(page.Statements))
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				given := page.Statements[i]
				all[i].Statement = given
				if leaves != nil {
					all[i].wrong = r.leaf(s, given, leaves[given.Index-page.From])
				}
				if record, err := provenance.ParseStatement(given.Payload); err == nil {
					all[i].record = record
				}
			}
		})
	}
	group.Wait()
	return all
}

// leaf wants a statement to be what the log has as its leaf, signed with the key of its time. It says what is not so.
func (r *run) leaf(s section, given provenance.Statement, leaf tlog.Hash) string {
	key := r.keys[given.Key]
	switch {
	case given.Payload == nil: // apply says so
	case given.Signature == nil:
		return fmt.Sprintf("record %d has no signature, and the log %s has it as its leaf %d", given.Index, s.Origin, given.Index-s.first)
	case key == nil:
		return fmt.Sprintf("record %d is signed with the key %.12s…, which the registry does not know", given.Index, given.Key)
	case tlog.RecordHash(receipt.Body(given.Payload, given.Signature, key.Key)) != leaf:
		how := "it was signed again"
		if !key.Verify(given.Payload, given.Signature) {
			how = "it is not what its key signed, either"
		}
		return fmt.Sprintf("record %d is not the one that the log %s has as its leaf %d: it was changed, and %s", given.Index, s.Origin, given.Index-s.first, how)
	case !key.Verify(given.Payload, given.Signature):
		return fmt.Sprintf("record %d is in the log with a signature that is not of its key %.12s…", given.Index, given.Key)
	case !key.has(given.Index):
		return fmt.Sprintf("record %d is signed with the key %.12s…, which was not in force for it", given.Index, given.Key)
	}
	return ""
}

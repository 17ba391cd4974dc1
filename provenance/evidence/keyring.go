package evidence

import (
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// UsedKey is a receipt key that signed records of the file.
type UsedKey struct {
	Hint string `json:"hint"`
	// By is the record that put it in force, where that is how it is known; absent for a key that was trusted before.
	By *uint64 `json:"by,omitempty"`
}

// sameLogs wants the file's own list of logs not to contradict that of the reader.
func (v *verifier) sameLogs() error {
	for _, mine := range v.keys.Trust.Logs {
		for _, its := range v.own.Logs {
			if its.Origin == mine.Origin && its.VKey != mine.VKey {
				return refusef("%s says that the log %s has another key than the one that you trust", logsName, mine.Origin)
			}
		}
	}
	return nil
}

// passOver notes a record that begins or goes on with a log that is not trusted, and says no more than which keys sign there: a
// reader who kept the list of logs from before that log began can check all else.
func (v *verifier) passOver(index uint64, bundle []byte) bool {
	origin := receipt.OriginOf(bundle)
	if slices.ContainsFunc(v.keys.Trust.Logs, func(l receipt.LogEntry) bool { return l.Origin == origin }) {
		return false
	}
	statement, _ := receipt.StatementIn(bundle)
	r, err := provenance.ParseStatement(statement)
	if err != nil || r.Index != index || r.Key == nil && r.Continues == nil {
		return false // the receipt is refused
	}
	v.result.Unchecked = append(v.result.Unchecked, index)
	v.untrusted[origin] = true
	return true
}

// use notes a key that signed a record.
func (v *verifier) use(hint string) {
	if !slices.ContainsFunc(v.result.Keys, func(k UsedKey) bool { return k.Hint == hint }) {
		v.result.Keys = append(v.result.Keys, UsedKey{hint, v.keys.By(hint)})
	}
}

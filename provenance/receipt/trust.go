package receipt

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"golang.org/x/mod/sumdb/note"
)

// Trust is what a verifier relies on: the logs and receipt keys of a registry, and the witnesses that it
// wants to have cosigned.
type Trust struct {
	Logs      []LogEntry
	Keys      []KeyEntry
	Witnesses []note.Verifier // each of them has to have cosigned
	// AnySize takes what a closed log signed at any size. Anyone who sets it asks [LogEntry.Ends] what that is worth.
	AnySize bool
}

// InForce says whether a key was in force for a record at a leaf of a log. The numbers of records that a restore has lost are given
// again in the next log: the key whose range ends where that begins was in force for the lost ones too, up to the declared end.
func (t Trust) InForce(hint, origin string, index, leaf uint64) bool {
	again, lost := t.lost(origin, index, leaf)
	has := func(r Range) bool { return r.Has(index) || lost && r.To != nil && *r.To == again }
	return slices.ContainsFunc(t.Keys, func(k KeyEntry) bool { return k.Hint == hint && slices.ContainsFunc(k.Ranges, has) })
}

// lost says whether a leaf of a closed log, before its declared end, has the number of a record of the next log, and where that begins.
func (t Trust) lost(origin string, index, leaf uint64) (again uint64, lost bool) {
	i := slices.IndexFunc(t.Logs, func(l LogEntry) bool { return l.Origin == origin })
	if i < 0 || i+1 == len(t.Logs) || t.Logs[i].Closed == nil || t.Logs[i+1].First == nil {
		return 0, false
	}
	again = *t.Logs[i+1].First
	return again, leaf < t.Logs[i].Closed.Size && index >= again
}

// LogFile is /keys/logs.json: every log that a registry has had, in order.
type LogFile struct {
	Logs []LogEntry `json:"logs"`
}

// A LogEntry is one log of a registry.
type LogEntry struct {
	Origin string     `json:"origin"`
	VKey   string     `json:"vkey"`            // of its checkpoints, as signed notes have it
	First  *uint64    `json:"first,omitempty"` // the index of its first record; a trusted root does not know
	From   *time.Time `json:"from,omitempty"`  // when it began
	Closed *Closing   `json:"closed,omitempty"`
}

// A Closing is the end of a log. A receipt counts that is proved by its last checkpoint. What the log's key signed apart
// from that says nothing any more: when a log is closed somebody else may have the key.
type Closing struct {
	Time       time.Time `json:"time"`
	Reason     string    `json:"reason"`     // Stolen, "lost" or "restored"
	Size       uint64    `json:"size"`       // leaves; not known from a trusted root
	Checkpoint string    `json:"checkpoint"` // the last one, a signed note; not known from a trusted root
	// Kept is the last checkpoint of the leaves that the registry still has, where that is an older one: after a restore it
	// can prove nothing by the last one. Receipts that are proved by it count too.
	Kept string `json:"kept,omitempty"`
}

// Stolen is the reason of a log that was closed because somebody else has its keys.
const Stolen = "stolen"

// KeyFile is /keys/receipts.json: every receipt key that a registry has had.
type KeyFile struct {
	Keys []KeyEntry `json:"keys"`
}

// A KeyEntry is a receipt key and the indexes of the records that it may sign.
type KeyEntry struct {
	Hint   string  `json:"hint"`
	PEM    string  `json:"pem"`
	Ranges []Range `json:"ranges"`
}

// A Range is a half-open range of indexes. Without To it has not ended.
type Range struct {
	From uint64  `json:"from"`
	To   *uint64 `json:"to,omitempty"`
}

// Has says whether a record is in the range.
func (r Range) Has(index uint64) bool {
	return index >= r.From && (r.To == nil || index < *r.To)
}

// ParseLogs reads the logs of a registry: /keys/logs.json, or a sigstore trusted root, which says less of
// them.
func ParseLogs(data []byte) ([]LogEntry, error) {
	var file struct {
		LogFile
		MediaType string `json:"mediaType"`
	}
	if err := strictjson.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.MediaType == trustedRootType {
		return rootEntries(data)
	}
	if len(file.Logs) == 0 {
		return nil, errors.New("it names no log")
	}
	for _, l := range file.Logs {
		if _, err := l.Log(); err != nil {
			return nil, err
		}
	}
	return file.Logs, nil
}

func rootEntries(trustedRoot []byte) (entries []LogEntry, err error) {
	logs, err := ParseTrustedRoot(trustedRoot)
	for _, l := range logs {
		e := LogEntry{Origin: l.Origin, VKey: l.VKey(), From: &l.From}
		if !l.Until.IsZero() {
			e.Closed = &Closing{Time: l.Until}
		}
		entries = append(entries, e)
	}
	return entries, err
}

// Log returns the log of an entry, whose key has to be of that origin.
func (e LogEntry) Log() (Log, error) {
	l, err := ParseLog(e.VKey)
	if err == nil && l.Origin != e.Origin {
		err = fmt.Errorf("the log %q has the key of %q", e.Origin, l.Origin)
	}
	if e.From != nil {
		l.From = *e.From
	}
	if e.Closed != nil {
		l.Until = e.Closed.Time
	}
	return l, err
}

// ParseKeyFile reads receipt keys: /keys/receipts.json, or public keys in PEM, which say nothing of the
// records that they may sign.
func ParseKeyFile(data []byte) ([]KeyEntry, error) {
	if !json.Valid(data) {
		return pemEntries(data)
	}
	var file KeyFile
	if err := strictjson.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if len(file.Keys) == 0 {
		return nil, errors.New("it names no key")
	}
	for _, e := range file.Keys {
		if _, err := e.key(); err != nil {
			return nil, err
		}
	}
	return file.Keys, nil
}

func pemEntries(data []byte) (entries []KeyEntry, err error) {
	keys, err := ParseKeys(data)
	for _, k := range keys {
		entries = append(entries, KeyEntry{k.Hint(), string(k.PEM()), []Range{{}}})
	}
	return entries, err
}

// key returns the key of an entry, which has to have that hint.
func (e KeyEntry) key() (*Key, error) {
	keys, err := ParseKeys([]byte(e.PEM))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the key %.12s…: %w", e.Hint, err)
	case len(keys) != 1 || keys[0].hint != e.Hint:
		return nil, fmt.Errorf("the hint %.12s… is of another key", e.Hint)
	}
	return keys[0], nil
}

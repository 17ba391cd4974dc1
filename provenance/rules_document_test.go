package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

var rulesAdmin = Identity{Actor: Actor{Kind: User, Handle: "admin"}}

func version(n uint64) *uint64 { return &n }

func applied(t *testing.T, b *Book, k RuleKind, text string) RuleDocument {
	t.Helper()
	d, err := b.ApplyRules(background, rulesAdmin, k, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRuleDocument puts documents in force: each is a version with a record that names it, and one that follows another version than
// the one in force is refused.
func TestRuleDocument(t *testing.T) {
	b, _ := testBook(t)
	for i, one := range []struct {
		follows *uint64
		text    string
		want    uint64
		err     error
	}{
		{version(1), "first", 0, ErrRulesChanged},
		{version(0), "first", 1, nil},
		{version(0), "second", 0, ErrRulesChanged},
		{version(1), "second", 2, nil},
		{version(2), "second", 2, nil}, // it is in force
		{nil, "first", 3, nil},
	} {
		d, err := b.ApplyRules(background, rulesAdmin, PolicyRules, []byte(one.text), one.follows)
		if !errors.Is(err, one.err) || err == nil && (d.Version != one.want || d.Digest != digest.FromString(one.text)) {
			t.Errorf("%d: %+v, %v", i, d, err)
		}
	}
	trust := applied(t, b, TrustRules, "whom to trust")
	last, err := b.Get(background, trust.Record)
	want := RuleFiles{Policy: digest.FromString("first"), Trust: trust.Digest, Documents: RuleVersions{Policy: 3, Trust: 1}}
	if err != nil || last.Rules == nil || *last.Rules != want || last.Actor.Handle != "admin" {
		t.Errorf("the record says %+v, %v", last, err)
	}
	if n, err := b.Len(background); n != 4 || err != nil {
		t.Errorf("there are %d records, %v", n, err)
	}
	history, err := b.RulesHistory(background, PolicyRules, 0, 10)
	var versions []uint64
	for _, c := range history {
		versions = append(versions, c.Version)
	}
	if err != nil || !slices.Equal(versions, []uint64{3, 2, 1}) || history[0].Actor.Handle != "admin" {
		t.Errorf("%+v, %v", history, err)
	}
	if c, text, err := b.RulesVersion(background, PolicyRules, 2); err != nil || string(text) != "second" || c.Record != history[1].Record {
		t.Errorf("version 2 is %+v, %q, %v", c, text, err)
	}
	if _, _, err := b.RulesVersion(background, PolicyRules, 4); !errors.Is(err, ErrNoRules) {
		t.Errorf("version 4: %v", err)
	}
	wantClean(t, b)
}

// TestRuleDocumentOverFile wants a file to be on record where there is no document of its kind, and nowhere else.
func TestRuleDocumentOverFile(t *testing.T) {
	b, _ := testBook(t)
	d := applied(t, b, PolicyRules, "the document")
	files := RuleFiles{Policy: digest.FromString("a file"), Trust: digest.FromString("whom to trust")}
	if err := b.RecordRules(background, rulesAdmin, func() *RuleFiles { return &files }); err != nil {
		t.Fatal(err)
	}
	last, err := b.Get(background, 1)
	if err != nil || last.Rules.Policy != d.Digest || last.Rules.Documents.Policy != 1 || last.Rules.Trust != files.Trust || last.Rules.Documents.Trust != 0 {
		t.Errorf("on record are %+v, %v", last.Rules, err)
	}
	wantClean(t, b)
}

// TestRuleDocumentTexts applies more versions than keep their text: the oldest texts go, and nobody misses them.
func TestRuleDocumentTexts(t *testing.T) {
	b, _ := testBook(t)
	for i := range keptRules + 2 {
		applied(t, b, IssuerRules, fmt.Sprint(i))
	}
	for v, want := range map[uint64]error{1: ErrNoRules, 2: ErrNoRules, 3: nil, keptRules + 2: nil} {
		if _, _, err := b.RulesVersion(background, IssuerRules, v); !errors.Is(err, want) {
			t.Errorf("version %d: %v", v, err)
		}
	}
	wantClean(t, b)
}

// TestRuleDocumentTampered changes a document past the registry: the check says so, and what is not on record does not come into force.
func TestRuleDocumentTampered(t *testing.T) {
	for name, one := range map[string]struct {
		do      func(storage.Tx)
		says    string
		inForce bool // it may come into force all the same
	}{
		"its text":           {func(tx storage.Tx) { tx.Put(ruleTextTable, ruleKey(PolicyRules, 2), []byte("other")) }, "not that of its digest", false},
		"no text":            {func(tx storage.Tx) { tx.Delete(ruleTextTable, ruleKey(PolicyRules, 2)) }, "no such version", false},
		"another digest":     {func(tx storage.Tx) { editRow(tx, rulesNowKey, digest.FromString("second"), digest.FromString("other")) }, "by the records version 2", false},
		"the version before": {func(tx storage.Tx) { goBack(tx) }, "is version 1", false},
		"none":               {func(tx storage.Tx) { tx.Delete(ruleTable, rulesNowKey) }, "document is none", false},
		"unreadable":         {func(tx storage.Tx) { tx.Put(ruleTable, rulesNowKey, []byte("{")) }, "cannot be read", false},
		"an old text":        {func(tx storage.Tx) { tx.Put(ruleTextTable, ruleKey(PolicyRules, 1), []byte("other")) }, "version 1 of the policy document is not", true},
		"no old text":        {func(tx storage.Tx) { tx.Delete(ruleTextTable, ruleKey(PolicyRules, 1)) }, "is missing", true},
		"an old version": {func(tx storage.Tx) {
			editRow(tx, ruleKey(PolicyRules, 1), digest.FromString("first"), digest.FromString("other"))
		}, "does not say so", true},
		"a stray text": {func(tx storage.Tx) { tx.Put(ruleTextTable, ruleKey(PolicyRules, 9), []byte("x")) }, "without its version", true},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBook(t)
			applied(t, b, PolicyRules, "first")
			applied(t, b, PolicyRules, "second")
			if err := b.store.Update(background, func(tx storage.Tx) error { one.do(tx); return nil }); err != nil {
				t.Fatal(err)
			}
			var said []string
			if _, err := b.Check(background, func(err error) { said = append(said, err.Error()) }); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(said, "\n"), one.says) {
				t.Errorf("the check says %q", said)
			}
			err := b.store.View(background, func(tx storage.Reader) error {
				now, err := readRules(tx)
				if err == nil {
					_, err = RulesText(tx, PolicyRules, now.Kinds[PolicyRules])
				}
				return err
			})
			if (err == nil) != one.inForce {
				t.Errorf("it comes into force: %v", err)
			}
		})
	}
}

func editRow(tx storage.Tx, key []byte, from, to digest.Digest) {
	row, _ := tx.Get(ruleTable, key)
	tx.Put(ruleTable, key, []byte(strings.Replace(string(row), from.String(), to.String(), 1)))
}

func goBack(tx storage.Tx) {
	tx.Put(ruleTable, rulesNowKey, []byte(`{"changes":1,"kinds":{"policy":{"version":1,"digest":"`+digest.FromString("first")+`","record":0}}}`))
}

// TestRuleDocumentPutRight applies a document where one was taken out: no version comes twice.
func TestRuleDocumentPutRight(t *testing.T) {
	b, _ := testBook(t)
	applied(t, b, PolicyRules, "first")
	applied(t, b, PolicyRules, "second")
	if err := b.store.Update(background, func(tx storage.Tx) error { goBack(tx); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := applied(t, b, PolicyRules, "first"); d.Version != 3 {
		t.Errorf("it is %+v", d)
	}
	wantClean(t, b)
}

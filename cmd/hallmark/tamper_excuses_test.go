package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// An excuse says why a column does not notice a tampering. There are no others than these.
type excuse string

const (
	// elsewhere goes without saying where a column looks at none of the tables that were changed: columnTables.
	elsewhere excuse = "–"
	atEnds    excuse = "a"
	noRoute   excuse = "b"
	notAsked  excuse = "c"
	mended    excuse = "d"
	seenSo    excuse = "e"
	notUp     excuse = "f"
)

// excuses are all of them, in order, with what they say and the columns that may have them.
var excuses = []struct {
	excuse
	says    string
	columns string
}{
	{elsewhere, "it looks at nothing that was changed", "start, log check, audit, verify, witness"},
	{atEnds, "a start looks only at the ends of the records and of the logs, so that it costs the same at any size", "start"},
	{noRoute, "no route shows it: the registry alone reads it", "log check, audit, verify, witness"},
	{notAsked, "only a client that asks for that record, image, layer or checkpoint would see it; this one does not", "log check, verify, audit, witness"},
	{mended, "the registry does not use it, or makes it anew: what it serves comes from other rows, and is right", "start, log check, audit, verify, witness"},
	{seenSo, "the answer is consistent with everything that this client has seen or kept", "start, log check, audit, verify, witness"},
	{notUp, "the registry does not start, so it answers nobody", "log check, audit, verify, witness"},
}

// columnTables are the tables that a column reads, through the registry's routes.
var columnTables = map[string][]storage.Table{
	"start": slices.Concat(logTables, recordTables, []storage.Table{
		"access/document", "access/baseline", "hallmark/settings", "storage", "registry/done", "registry/clock",
	}),
	"log check": slices.Concat(logTables, recordTables),
	"audit": slices.Concat(logTables, recordTables, accountTables, []storage.Table{
		"provenance/unsigned", "provenance/index", "registry/tag", "registry/manifest", "registry/repository", "registry/referrer",
		"registry/provenance", "registry/rendered",
	}),
	"verify":  slices.Concat(logTables, recordTables, []storage.Table{"provenance/unsigned", "provenance/index", "registry/tag", "registry/manifest"}),
	"witness": logTables,
}

var (
	logTables     = []storage.Table{"log/log", "log/head", "log/checkpoint", "log/hash", "log/cosignature", "log/witness"}
	recordTables  = []storage.Table{"provenance/head", "provenance/record", "provenance/signature", "provenance/key"}
	accountTables = []storage.Table{"access/document", "access/user", "access/robot", "access/account", "access/session", "access/sessionOf"}
)

// excusedBy is the excuse of a column that does not notice a row, "" where there is none.
func excusedBy(row tamperRow, column string, touched map[storage.Table]bool) excuse {
	if e, ok := excused[row.name][column]; ok {
		return e
	}
	looks := slices.ContainsFunc(columnTables[column], func(table storage.Table) bool { return touched[table] })
	if len(touched) > 0 && !looks {
		return elsewhere
	}
	return ""
}

// wantExcused wants each column to notice a tampering or to have an excuse, and none that notices it to have one.
func wantExcused(t *testing.T, row tamperRow, got sayings, touched map[storage.Table]bool) {
	t.Helper()
	for _, column := range tamperColumns {
		e, explicit := excused[row.name][column]
		switch {
		case row.unseen != "" || column == "fsck": // which has to notice it, or nobody can
		case len(got[column]) > 0 && explicit:
			t.Errorf("%s notices it, and is excused with %q", column, e)
		case len(got[column]) == 0 && excusedBy(row, column, touched) == "":
			t.Errorf("%s does not notice it, and looks at what was changed: %v", column, slices.Sorted(maps.Keys(touched)))
		case explicit && !mayExcuse(e, column):
			t.Errorf("%q is no excuse for %s", e, column)
		}
	}
}

func mayExcuse(e excuse, column string) bool {
	for _, known := range excuses {
		if known.excuse == e {
			return slices.Contains(strings.Split(known.columns, ", "), column)
		}
	}
	return false
}

// excuseTable is their legend in docs/verify.md.
func excuseTable() string {
	var b strings.Builder
	b.WriteString("\n| an empty cell has | because |\n|---|---|\n")
	for _, e := range excuses {
		fmt.Fprintf(&b, "| %s | %s |\n", e.excuse, e.says)
	}
	return b.String()
}

// excused are the excuses that do not go without saying, by row and column.
var excused = map[string]map[string]excuse{
	"a record changed and signed again":                                        {"start": atEnds},
	"the same, without the cosignatures":                                       {"start": seenSo, "verify": seenSo},
	"a record taken out, and the later one moved up":                           {"start": seenSo},
	"the log cut where it was signed, and keys/log.checkpoint":                 {"start": seenSo, "verify": notAsked, "witness": seenSo},
	"a record changed":                                                         {"start": atEnds},
	"the newest record changed":                                                {"verify": notAsked},
	"a record taken out":                                                       {"start": atEnds},
	"two records swapped":                                                      {"start": atEnds},
	"a record put behind the newest":                                           {"log check": noRoute, "verify": noRoute},
	"a record put behind the newest, and not counted":                          {"log check": noRoute, "audit": noRoute, "verify": noRoute},
	"the newest record changed, and the head of the log put back before it":    {"verify": notAsked, "witness": seenSo},
	"the newest record taken out, and both heads put back":                     {"verify": notAsked, "witness": seenSo},
	"the store put back by one record, with the checkpoint of then":            {"verify": notAsked, "witness": seenSo},
	"the store put back to before what is cosigned":                            {"verify": notAsked},
	"a signature taken out":                                                    {"start": atEnds},
	"a signature changed":                                                      {"start": atEnds},
	"the signature of a checkpoint taken out of its record's row":              {"start": atEnds, "log check": mended, "verify": mended},
	"a number of records that nobody made":                                     {"log check": noRoute, "audit": noRoute, "verify": noRoute},
	"something beside a record that is not there":                              {"audit": noRoute, "verify": noRoute},
	"a record not found by its action":                                         {"audit": notAsked, "verify": notAsked},
	"a record found by what it does not say":                                   {"audit": notAsked, "verify": notAsked},
	"new records are said to be found already":                                 {"start": atEnds, "log check": noRoute, "audit": mended, "verify": mended},
	"a receipt key in place of another":                                        {"start": atEnds},
	"a receipt key that nobody introduced":                                     {"start": atEnds},
	"a receipt key for records to come":                                        {"log check": mended, "verify": notAsked},
	"a receipt key twice":                                                      {"start": atEnds, "log check": mended, "verify": mended},
	"a receipt key made unreadable":                                            {"start": atEnds},
	"the hash of a leaf":                                                       {"start": atEnds, "verify": notAsked},
	"a hash over leaves":                                                       {"start": atEnds, "log check": mended, "witness": mended},
	"a hash taken out":                                                         {"log check": mended},
	"a hash of the closed log":                                                 {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"the head of the log":                                                      {"log check": mended, "audit": mended, "verify": mended, "witness": mended},
	"the newest checkpoint":                                                    {"verify": notAsked},
	"the newest checkpoint taken out":                                          {"verify": notAsked},
	"the checkpoint of the closed log taken out":                               {"start": atEnds},
	"why a log was closed":                                                     {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"when a log was closed":                                                    {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"with what a log was closed":                                               {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"when a later log began":                                                   {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"the closed log open again":                                                {"start": atEnds, "verify": notAsked, "witness": notAsked},
	"the closed log taken out":                                                 {"start": atEnds},
	"a log that nobody began":                                                  {"log check": mended, "audit": mended, "verify": mended, "witness": mended},
	"a cosignature taken out":                                                  {"start": atEnds, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"a cosigned checkpoint taken out, and its cosignature left":                {"audit": notAsked, "witness": notAsked},
	"a cosigned checkpoint taken out with its cosignature":                     {"start": atEnds, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"a cosignature under the name of another witness":                          {"start": atEnds, "log check": notAsked, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"what a witness cosigned last, to less than it did":                        {"start": atEnds, "log check": mended, "audit": mended, "verify": mended, "witness": mended},
	"a cosigned checkpoint behind the end":                                     {"log check": mended, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"a right given":                                                            {"start": atEnds},
	"a right widened":                                                          {"start": atEnds},
	"a right taken away":                                                       {"start": atEnds},
	"a team with another member":                                               {"start": atEnds},
	"an immutable rule taken away":                                             {"start": atEnds},
	"the version of the access document":                                       {"start": atEnds, "audit": noRoute},
	"the access document made unreadable":                                      {"audit": notUp},
	"the access document taken away, and an administrator of an older version": {"start": atEnds},
	"another password":                                                         {"audit": noRoute},
	"another password, under its own id":                                       {"audit": noRoute},
	"another password, under an id of an older version":                        {"audit": noRoute},
	"a user that nobody made, in a store said to be older":                     {"start": atEnds, "log check": noRoute, "verify": noRoute},
	"a user that nobody made, in a store said to have no newer records":        {"start": atEnds, "log check": noRoute, "verify": noRoute},
	"an account of nobody":                                                     {"audit": noRoute},
	"the secret of a robot":                                                    {"audit": noRoute},
	"a token that is not among those of its owner":                             {"audit": noRoute},
	"a list of accounts that were found, which is not on record":               {"start": atEnds},
	"a tag that was removed put back":                                          {"verify": notAsked},
	"an immutable tag moved":                                                   {"verify": notAsked},
	"a manifest taken out":                                                     {"verify": notAsked},
	"a manifest that came with another record":                                 {"verify": notAsked},
	"a manifest that nobody pushed":                                            {"verify": notAsked},
	"the bytes of a blob":                                                      {"start": atEnds, "log check": notAsked, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"the file of a blob taken away":                                            {"start": atEnds, "log check": notAsked, "audit": notAsked, "verify": notAsked, "witness": notAsked},
	"keys/log.checkpoint made unreadable":                                      {"log check": noRoute, "audit": noRoute, "verify": noRoute, "witness": noRoute},
	"an older copy of the store, beside the keys as they are":                  {"verify": seenSo},
	"the layout of the store":                                                  {"start": mended},
	"provenance of an image that has none":                                     {"audit": noRoute},
	"an attestation that is not there":                                         {"audit": mended},
	"an immutable tag in capitals, too":                                        {"verify": notAsked},
	"a tag taken from another repository":                                      {"verify": notAsked},
	"a manifest served as another type":                                        {"verify": elsewhere},
	"the type of a manifest put back":                                          {"start": elsewhere, "log check": elsewhere, "verify": elsewhere, "witness": elsewhere},
	"a push by a password that nobody set":                                     {"start": atEnds, "log check": seenSo, "verify": seenSo, "witness": seenSo},
	"a push by a token that nobody made":                                       {"start": atEnds, "log check": seenSo, "verify": seenSo, "witness": seenSo},
	"a manifest that was removed put back":                                     {"verify": notAsked},
	"a cosignature of another checkpoint":                                      {"start": atEnds, "witness": notAsked},
	"a user that nobody made, in a store of the first layout":                  {"start": atEnds},
	"an immutable rule for fewer tags":                                         {"start": atEnds},
	"a token of another owner":                                                 {"audit": noRoute},
	"two accounts swapped":                                                     {"audit": noRoute},
	"a robot's secret that ends later":                                         {"audit": noRoute},
	"the secret of a robot, under its own id":                                  {"audit": noRoute},
	"where a later log begins":                                                 {"witness": notAsked},
	"the name of the closed log":                                               {"start": atEnds, "witness": notAsked},
	"the checkpoint of the closed log in place of the newest":                  {"verify": notAsked},
	"a checkpoint of a log that is not there":                                  {"log check": noRoute, "audit": noRoute, "verify": noRoute, "witness": noRoute},
	"a hash behind the end of the log":                                         {"log check": noRoute, "audit": noRoute, "verify": noRoute, "witness": noRoute},
	"a hash of a log that is not there":                                        {"log check": noRoute, "audit": noRoute, "verify": noRoute, "witness": noRoute},
	"keys/log.checkpoint of another registry":                                  {"log check": noRoute, "audit": noRoute, "verify": noRoute, "witness": noRoute},
}

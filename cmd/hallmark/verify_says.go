package main

import (
	"fmt"
	"strings"
)

// say sums up what was checked: what is proved in one sentence, and what is not.
func (v *verification) say() {
	switch {
	case v.Evidence != nil:
		v.Proves, v.NotProved = v.Evidence.Proves(), v.Evidence.NotProved()
		return
	case len(v.Receipts) == 0:
		return
	}
	first, good := v.Receipts[0], 0
	for _, r := range v.Receipts {
		if r.Error == "" {
			good++
		}
	}
	for _, r := range v.Receipts {
		if r.Error == "" {
			first = r
			break
		}
	}
	v.Proves = first.proves(v, good-1)
	switch {
	case first.record == nil:
		v.NotProved = append(v.NotProved, "What the record says, and who signed it: a tlog-proof has no record.")
	case first.Log == "":
		v.NotProved = append(v.NotProved, "That the log has this record: an envelope has no proof, unlike a receipt, and anybody with the key can sign a record that was never logged.")
	}
	if first.record != nil {
		v.NotProved = append(v.NotProved, "That what the record says is true: what an image claims stays a claim, and who has the registry's keys can sign what never happened.")
	}
	if first.Log != "" && len(first.Cosigned) == 0 {
		v.NotProved = append(v.NotProved, "That others are shown the same log: no witness was demanded (--witness).")
	}
	if !v.kept {
		v.NotProved = append(v.NotProved, "Whose keys these are: the registry was asked for them just now. Keep its logs.json and receipts.json (--trusted-root, --key).")
	}
	if v.Chain == nil {
		v.NotProved = append(v.NotProved, "That nothing happened since: ask for the history of the tag, or audit the registry.")
	} else {
		v.NotProved = append(v.NotProved, "That the newest record shown is the newest there is: follow the log (hallmark log check), or audit the registry.")
	}
}

// proves is what a receipt and so many further ones of an image prove.
func (r *verified) proves(v *verification, more int) string {
	if r.Entry != "" {
		return fmt.Sprintf("The log %s has, as leaf %d of %d, an entry with the hash %s, by the key of that log in %s.", r.Log, r.Leaf, r.Size, r.Entry, v.LogsFrom)
	}
	rec := r.record
	about := rec.Repository
	if names := tagNames(rec.Tags); names != "" {
		about += ":" + names
	}
	if rec.Digest != "" {
		about = strings.TrimPrefix(about+"@"+rec.Digest.String(), "@")
	}
	what := fmt.Sprintf("%s signed that %s did %s %s", rec.Registry, who(rec.Actor), rec.Action, about)
	if r.Log == "" {
		return fmt.Sprintf("%s (record %d), by the key %.12s… in %s.", what, r.Record, r.Key, v.KeysFrom)
	}
	if more > 0 {
		what += fmt.Sprintf(" (and %s about it)", numberOf(more, "further record"))
	}
	return fmt.Sprintf("%s, and cannot take it back: record %d is leaf %d of %d of the log %s, by the logs in %s and the key %.12s… in %s.",
		what, r.Record, r.Leaf, r.Size, r.Log, v.LogsFrom, r.Key, v.KeysFrom)
}

// printSays writes the sentences at the end.
func (v *verification) printSays(line func(name, format string, args ...any)) {
	if v.Proves != "" {
		line("proved", "%s", v.Proves)
	}
	for _, s := range v.NotProved {
		line("not proved", "%s", s)
	}
}

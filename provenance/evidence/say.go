package evidence

import (
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// Proves is one sentence that says what is proved, and by which keys.
func (v *Proof) Proves() string {
	by := "by the logs and receipt keys that you gave"
	if v.Own {
		by = "by the keys in the file alone: it fits together, and the one who made it can have made all of it"
	}
	what := fmt.Sprintf("%s signed %s about %s, and cannot take them back: they are in %s", v.Registry, number(len(v.Records)-v.count(aboutKeys)-v.count(aboutDocument), "record"),
		v.Image, v.logs())
	if first := v.first(); first != nil {
		what += fmt.Sprintf("; by record %d %s did %s there, %s", first.Index, actor(first.Record.Actor), first.Record.Action, first.Record.Time)
	}
	if v.Chain != nil {
		what += fmt.Sprintf("; record %d set the tag %s to it", v.Chain.Newest, v.Chain.Tag)
	}
	return what + "; " + by + "."
}

// NotProved are sentences that say what is not.
func (v *Proof) NotProved() (all []string) {
	if v.Own {
		all = append(all, "Who made the keys: give the logs.json and receipts.json that you kept from the registry (--trusted-root, --key).")
	}
	all = append(all, "That what records say is true: what an image claims stays a claim, and who has the registry's keys can sign what never happened.")
	says := v.Cover.Says
	if says.EveryRecord {
		all = append(all, fmt.Sprintf("That these are all records about it: %s says so, as of record %d, %s.", v.Cover.Registry, says.NewestRecord, says.Made))
	}
	if says.StandingNow {
		all = append(all, fmt.Sprintf("What holds now, as what the tag means, whether signatures count and by which rules: %s says so, as of %s.", v.Cover.Registry, says.Made))
	}
	for _, l := range v.Logs {
		if l.Closed != "" {
			all = append(all, l.notProved())
		}
	}
	if !v.cosigned() {
		all = append(all, "That others are shown the same log: no witness was demanded (--witness).")
	}
	if len(v.Cover.Unproved) > 0 {
		all = append(all, fmt.Sprintf("Anything of the records %s: they are from before there was a log.", list(v.Cover.Unproved)))
	}
	if len(v.Unchecked) > 0 {
		all = append(all, fmt.Sprintf("What the records %s say of keys: they are in a log that is not among those that you trust.", list(v.Unchecked)))
	}
	for _, d := range v.Documents {
		if d.Record == nil {
			all = append(all, fmt.Sprintf("That the document %s was in force: no record in the file says so.", d.Name))
		}
	}
	return all
}

// notProved says what a log that was closed does not prove.
func (l *ProvedLog) notProved() string {
	switch l.Closed {
	case "stolen":
		return fmt.Sprintf("That the registry itself signed all that is in the log %s: it closed it at %s because its keys were stolen, and since when somebody else had them nothing says.", l.Origin, number(int(l.Size), "leaf"))
	case "restored":
		return fmt.Sprintf("What the log %s had behind its %s: a backup was restored, and records from behind it may be lost.", l.Origin, number(int(l.Size), "leaf"))
	}
	return fmt.Sprintf("What the log %s had behind its %s: it was closed (%s).", l.Origin, number(int(l.Size), "leaf"), l.Closed)
}

func (v *Proof) cosigned() bool {
	for _, l := range v.Logs {
		if len(l.Cosigned) == 0 {
			return false
		}
	}
	return len(v.Logs) > 0
}

func (v *Proof) count(about string) (n int) {
	for _, p := range v.Records {
		if p.About == about {
			n++
		}
	}
	return n
}

// first is the first record about the image.
func (v *Proof) first() *Proved {
	for i := range v.Records {
		if v.Records[i].About == aboutImage {
			return &v.Records[i]
		}
	}
	return nil
}

// logs names the logs with their sizes.
func (v *Proof) logs() string {
	var names []string
	for _, l := range v.Logs {
		name := fmt.Sprintf("the log %s of %s", l.Origin, number(int(l.Size), "leaf"))
		if l.Closed != "" {
			name += ", which the registry closed (" + l.Closed + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no log"
	}
	return strings.Join(names, " and ")
}

func number(n int, of string) string {
	switch {
	case n == 1:
		return "1 " + of
	case of == "leaf":
		return fmt.Sprintf("%d leaves", n)
	default:
		return fmt.Sprintf("%d %ss", n, of)
	}
}

func list(indexes []uint64) string {
	const most = 20
	var names []string
	for _, i := range indexes[:min(most, len(indexes))] {
		names = append(names, fmt.Sprint(i))
	}
	if len(indexes) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// actor is who did something. A file does not tell whether another account had the name before or since, so the account stands
// beside it.
func actor(a provenance.Actor) string {
	says := string(a.Kind) + " " + a.Handle
	if a.Kind == provenance.User {
		says = a.Handle
	}
	if a.Account == "" || a.Kind == provenance.CI {
		return says
	}
	return says + " (account " + a.Account + ")"
}

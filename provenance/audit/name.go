package audit

import (
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
)

// Named is what the records say of the public name, which clients are sent to for their logins.
type Named struct {
	Name   string `json:"name"`   // by the newest of them; "" where none was read
	Record uint64 `json:"record"` // that one
	// Changes are sentences about each change that no report has told yet.
	Changes []string `json:"changes,omitempty"`
}

// add notes the name that a record states.
func (n *Named) add(index uint64, name string) {
	if name == "" {
		return
	}
	if n.Name != "" && !provenance.SameName(n.Name, name) && len(n.Changes) < maxFindings {
		n.Changes = append(n.Changes, fmt.Sprintf("from record %d on the public name is %s; by record %d it was %s", index, name, n.Record, n.Name))
	}
	n.Name, n.Record = name, index
}

// told moves the changes into a report.
func (n *Named) told(report *Report) { report.Renamed, n.Changes = n.Changes, nil }

// checkName compares the public name that is served with the one of the newest record. It was served before the newest records
// were read, and may be the name from before them.
func (r *run) checkName(before string) {
	named := r.memory.Marks.Named
	switch {
	case r.blind || named.Name == "":
		return
	case r.servedName == "":
		r.notCompared("the public name, which the registry does not say: it is of an older version")
	case slices.ContainsFunc([]string{before, named.Name}, func(name string) bool { return provenance.SameName(name, r.servedName) }):
		return
	case named.Record+1 != r.memory.State.Next:
		r.notCompared("the public name %s: you are not shown the newest record", r.servedName)
	default:
		r.findf("the registry calls itself %s; by record %d, the newest, it is %s. Clients sign in at the public name: ask the operator whether it was changed", r.servedName, named.Record, named.Name)
	}
}

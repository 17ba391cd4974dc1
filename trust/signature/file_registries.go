package signature

import (
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/trust/word"
)

// fileRegistry is another registry whose word counts, by what was kept of it. Files are relative to the one that names them.
type fileRegistry struct {
	Name         yamlfile.Word `yaml:"name"`
	Logs         yamlfile.Word `yaml:"logs"`         // its /keys/logs.json
	Receipts     yamlfile.Word `yaml:"receipts"`     // its /keys/receipts.json
	Policy       yamlfile.Word `yaml:"policy"`       // a C2SP tlog-policy; without it no witness is asked for
	Repositories []fileMapping `yaml:"repositories"` // which of its repositories are which here
}

type fileMapping struct {
	Theirs yamlfile.Word `yaml:"theirs"` // pattern
	Ours   yamlfile.Word `yaml:"ours"`   // pattern with the same stars
}

func (r *reader) registries(list []fileRegistry) {
	var all []*word.Registry
	for i, f := range list {
		r.entry = fmt.Sprintf("registries[%d]", i)
		if one := r.registry(f); one != nil {
			all = append(all, one)
		}
	}
	if len(list) == 0 {
		return
	}
	var err error
	if r.t.words, err = word.NewTrust(all); err != nil {
		r.failf(list[0].Name, "registries: %s", err)
	}
}

func (r *reader) registry(f fileRegistry) *word.Registry {
	name := r.name("registry", f.Name)
	if f.Logs.IsZero() || f.Receipts.IsZero() || len(f.Repositories) == 0 {
		r.failf(f.Name, "the registry %s needs `logs` and `receipts`, its /keys/logs.json and /keys/receipts.json as they were kept, and `repositories`: which of its own (`theirs`) are which here (`ours`)", name)
		return nil
	}
	var maps []word.Mapping
	for _, m := range f.Repositories {
		one, err := word.NewMapping(m.Theirs.Text, m.Ours.Text)
		if err != nil {
			r.failf(firstOfWords(m.Theirs, f.Name), "the registry %s: theirs %q, ours %q: %s", name, m.Theirs.Text, m.Ours.Text, err)
		}
		maps = append(maps, one)
	}
	var policy []byte
	if !f.Policy.IsZero() {
		policy = append([]byte{}, r.read(f.Policy)...) // not nil: an empty one is refused
	}
	made, err := word.NewRegistry(name, r.read(f.Logs), r.read(f.Receipts), policy, maps)
	if err != nil {
		r.failf(f.Name, "the registry %s: %s", name, err)
		return nil
	}
	return made
}

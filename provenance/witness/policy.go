package witness

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrPolicy says that a text is no policy.
var ErrPolicy = errors.New("not a C2SP tlog-policy")

// maxPolicy is the longest policy that is read, in bytes.
const maxPolicy = 256 << 10

// A Policy says which logs count, and whose cosignatures a checkpoint of theirs needs (C2SP tlog-policy).
type Policy struct {
	Logs      []note.Verifier // none: whatever log is known otherwise
	Witnesses []note.Verifier // all that are named, also those that the quorum does not need
	quorum    rule
}

// A rule is satisfied by a witness, or by so many of its members.
type rule struct {
	witness note.Verifier // nil: see need
	need    int
	members []rule
}

// Satisfied says whether the witnesses for which have is true are a quorum.
func (p *Policy) Satisfied(have func(note.Verifier) bool) bool { return p.quorum.satisfied(have) }

func (r rule) satisfied(have func(note.Verifier) bool) bool {
	if r.witness != nil {
		return have(r.witness)
	}
	n := 0
	for _, m := range r.members {
		if m.satisfied(have) {
			n++
		}
	}
	return n >= r.need
}

// Demand returns the policy that wants every one of these witnesses.
func Demand(witnesses []note.Verifier) *Policy {
	p := &Policy{Witnesses: witnesses, quorum: rule{need: len(witnesses)}}
	for _, w := range witnesses {
		p.quorum.members = append(p.quorum.members, rule{witness: w})
	}
	return p
}

// ParsePolicy reads a policy, or returns ErrPolicy with the number of the line. It may have no trailing newline; URLs are
// passed over.
func ParsePolicy(data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrPolicy, maxPolicy)
	}
	r := policyReader{policy: &Policy{}, names: map[string]rule{}, keys: map[string]bool{}, members: map[string]bool{}}
	for i, line := range strings.Split(string(data), "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrPolicy, i+1, err)
		}
	}
	if !r.quorum {
		return nil, fmt.Errorf("%w: it has no line `quorum NAME`, or `quorum none`", ErrPolicy)
	}
	return r.policy, nil
}

// policyReader reads line by line. Lines may name only what stands before them.
type policyReader struct {
	policy  *Policy
	quorum  bool            // there was one
	names   map[string]rule // witnesses and groups
	members map[string]bool // names that are in a group already
	keys    map[string]bool // of logs and of witnesses, whatever they are called
}

// noQuorum is the name that stands for no witness at all.
const noQuorum = "none"

func (r *policyReader) line(line string) error {
	if i := strings.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
		return fmt.Errorf("it has the control character %q", line[i])
	}
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' }) // and no other space
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	switch what, args := fields[0], fields[1:]; {
	case what == "log" && (len(args) == 1 || len(args) == 2):
		return r.log(args[0])
	case what == "witness" && (len(args) == 2 || len(args) == 3):
		return r.witness(args[0], args[1])
	case what == "group" && len(args) >= 3:
		return r.group(args[0], args[1], args[2:])
	case what == "quorum" && len(args) == 1:
		return r.setQuorum(args[0])
	}
	return errors.New("it is none of log KEY [URL], witness NAME KEY [URL], group NAME all|any|COUNT NAME..., quorum NAME")
}

func (r *policyReader) log(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("%q is not the key of a log, NAME+HASH+KEY: %w", vkey, err)
	}
	r.policy.Logs = append(r.policy.Logs, v)
	return r.once("log", vkey)
}

func (r *policyReader) witness(name, vkey string) error {
	v, err := ParseKey(vkey)
	if err != nil {
		return err
	}
	r.policy.Witnesses = append(r.policy.Witnesses, v)
	if err := r.once("witness", vkey); err != nil {
		return err
	}
	return r.define(name, rule{witness: v})
}

// once refuses a key that was named before: one witness could count twice. The key itself counts, not its name.
func (r *policyReader) once(kind, vkey string) error {
	key := kind + strings.SplitN(vkey, "+", 3)[2]
	if r.keys[key] {
		return fmt.Errorf("this %s's key stands there already", kind)
	}
	r.keys[key] = true
	return nil
}

func (r *policyReader) define(name string, as rule) error {
	if _, ok := r.names[name]; ok || name == noQuorum {
		return fmt.Errorf("the name %q has a meaning already", name)
	}
	r.names[name] = as
	return nil
}

func (r *policyReader) group(name, need string, members []string) error {
	g := rule{}
	for _, m := range members {
		known, ok := r.names[m]
		switch {
		case !ok:
			return fmt.Errorf("no line before it defines %q", m)
		case r.members[m]:
			return fmt.Errorf("%q is a member of a group already", m)
		}
		r.members[m] = true
		g.members = append(g.members, known)
	}
	switch n, err := strconv.Atoi(need); {
	case need == "all":
		g.need = len(members)
	case need == "any":
		g.need = 1
	case err != nil || strconv.Itoa(n) != need || n < 1 || n > len(members):
		return fmt.Errorf("%q is not all, any, or a number from 1 to %d", need, len(members))
	default:
		g.need = n
	}
	return r.define(name, g)
}

func (r *policyReader) setQuorum(name string) error {
	known, ok := r.names[name]
	switch {
	case r.quorum:
		return errors.New("there is a quorum already")
	case !ok && name != noQuorum:
		return fmt.Errorf("no line before it defines %q", name)
	}
	r.quorum, r.policy.quorum = true, known // of none it is the rule that wants nothing
	return nil
}

// Knows says whether a log counts.
func (p *Policy) Knows(log note.Verifier) bool {
	return len(p.Logs) == 0 || slices.ContainsFunc(p.Logs, func(l note.Verifier) bool {
		return l.Name() == log.Name() && l.KeyHash() == log.KeyHash()
	})
}

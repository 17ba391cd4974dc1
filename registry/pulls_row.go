package registry

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// pullDays is for how many days, in UTC, pulls are counted one by one; the newest is the day of the last pull.
const pullDays = 30

// pullRow is what is known of the pulls of a repository, a tag or a manifest.
type pullRow struct {
	forgets uint64     // how often pulls had been forgotten when it was written: pulls_state.go
	last    uint64     // when it was last pulled, in microseconds since 1970
	days    []dayCount // the newest first, those with pulls alone; at most pullDays

	unread bool // it cannot be read: what it counted is not known; not stored
}

// dayCount counts the pulls of one day.
type dayCount struct {
	day    uint64 // since 1970
	direct uint64 // of the thing itself: of a tag by its name or the digest that it means, of a repository what no index lists
	listed uint64 // of what its indexes list
}

// pulls is how many pulls a day had. A client that pulls an index asks for the index and for the platform that it wants,
// or for the platform alone where it has the index: that is one pull either way.
func (d dayCount) pulls() uint64 { return max(d.direct, d.listed) }

func dayOf(micros uint64) uint64 { return micros / uint64((24 * time.Hour).Microseconds()) }

func (p pullRow) encode() []byte {
	b := binary.AppendUvarint(nil, p.forgets)
	b = binary.AppendUvarint(b, p.last)
	for _, d := range p.days {
		b = binary.AppendUvarint(b, d.day)
		b = binary.AppendUvarint(b, d.direct)
		b = binary.AppendUvarint(b, d.listed)
	}
	return b
}

func decodePullRow(value []byte) (p pullRow, err error) {
	f := fields{rest: value}
	p.forgets, p.last = f.number(), f.number()
	for len(f.rest) > 0 {
		d := dayCount{f.number(), f.number(), f.number()}
		if n := len(p.days); n == pullDays || n > 0 && d.day >= p.days[n-1].day {
			return pullRow{}, damaged("a pull row counts days that it cannot have")
		}
		p.days = append(p.days, d)
	}
	if err := f.err("pull"); err != nil {
		return pullRow{}, err
	}
	return p, nil
}

func newestDay(a, b dayCount) int { return cmp.Compare(b.day, a.day) }

// pullsToAdd are pulls of one thing that its row does not count yet.
type pullsToAdd struct{ last, direct, listed uint64 }

func (a pullsToAdd) and(b pullsToAdd) pullsToAdd {
	return pullsToAdd{max(a.last, b.last), a.direct + b.direct, a.listed + b.listed}
}

// add counts pulls, all on the day of the last of them.
func (p *pullRow) add(a pullsToAdd) {
	p.last = max(p.last, a.last)
	day := dayCount{dayOf(a.last), a.direct, a.listed}
	at, there := slices.BinarySearchFunc(p.days, day, newestDay)
	if there {
		p.days[at].direct += day.direct
		p.days[at].listed += day.listed
	} else {
		p.days = slices.Insert(p.days, at, day)
	}
	oldest := dayOf(p.last) - min(dayOf(p.last), pullDays-1)
	p.days = slices.DeleteFunc(p.days, func(d dayCount) bool { return d.day < oldest })
}

// pullKey is the row of a thing in a repository: a tag, a DIGEST, or "" for the repository itself.
func pullKey(repo string, thing []byte) []byte { return repoKey(repo, thing) }

// isDigestKey tells a DIGEST from a tag.
func isDigestKey(thing []byte) bool {
	return len(thing) > 0 && (thing[0] == sha256Byte || thing[0] == sha512Byte)
}

// sum is all pulls of a row.
func (p pullRow) sum() pullsToAdd {
	a := pullsToAdd{last: p.last}
	for _, d := range p.days {
		a = a.and(pullsToAdd{direct: d.direct, listed: d.listed})
	}
	return a
}

// pull wants the row of pulls to be one that this registry writes. What it counts follows from no record.
func (c *checker) pull(_ context.Context, _ storage.Reader, item storage.Item) error {
	repo, thing := cutRepo(item.Key)
	name := bounded(repo) + ":" + bounded(string(thing))
	if isDigestKey(thing) {
		d, rest, err := cutDigest(thing)
		if err != nil || len(rest) > 0 {
			return damaged("the pulls of a manifest in %s are kept under no digest", bounded(repo))
		}
		name = bounded(repo) + "@" + d.String()
	} else if !validName(repo) || len(thing) > 0 && !validTag(string(thing)) {
		return damaged("pulls are kept of %s, which nothing can be called", name)
	}
	if _, err := decodePullRow(item.Value); err != nil {
		return errPulls(strings.TrimSuffix(name, ":"), repo)
	}
	return nil
}

// errPulls says what becomes of pulls that cannot be read.
func errPulls(of, repo string) error {
	return damaged("the pulls of %s cannot be read, and count as if they had been just now; a start erases the row, and so does `hallmark pulls forget %s`", of, bounded(repo))
}

// pullState wants the row of a state to be readable.
func (c *checker) pullState(_ context.Context, tx storage.Reader, item storage.Item) error {
	if string(item.Key) == string(pullStateKey) {
		if err := readStateRow(tx, item.Key, &pullState{}); err != nil {
			return damaged("since when pulls are counted cannot be read, so all are forgotten; a start begins to count anew")
		}
		return nil
	}
	repo, rest := cutRepo(item.Key)
	if !validName(repo) || len(rest) > 0 {
		return damaged("pulls are said to be forgotten of %s, which nothing can be called", bounded(repo))
	}
	if err := readStateRow(tx, item.Key, &forgotten{}); err != nil {
		return errPulls(repo, repo)
	}
	return nil
}

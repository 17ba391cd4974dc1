package provenance

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// People shorten digests and commits. The other rows hash what they lead to, so that whatever is claimed takes 16 bytes;
// these have it as it is, in order, once in the registry and not once a record: a beginning leads to what begins so, and that
// to records and images by the rows that there are.

// The kinds of ordered rows: the first byte of their keys. Never give one a new meaning.
const (
	orderedSHA256 = 'd' // the hash (32)
	orderedSHA512 = 'D' // the hash (64)
	orderedCommit = 'c' // its digits, two a byte, a last odd one with 0; how many they are (1)
)

// What a beginning has to have, so that it says anything, in hexadecimal digits.
const (
	MinDigest = 4
	MinCommit = 4
)

// maxLikes bounds the digests or commits that one page looks at. Each costs a search of its own.
const maxLikes = 256

// The bounds of what is done for records of an older version at once: others wait for it.
const (
	fillStep = 64
	fillTime = 5 * time.Millisecond
)

// Follow has fn told of each record, in order and behind the transaction that wrote it, in the transaction that makes
// the rows by which it is found. It is called once, before there are requests. A book that nobody follows leaves these rows
// to one that somebody does.
//
// What fn does in the transaction is done once for each record, also for those of before it was first called.
func (b *Book) Follow(fn func(tx storage.Tx, r *Record) error) { b.follower = fn }

// fillOne puts the rows of the next record that Fill comes to. It is nil where it is lost or damaged.
func (b *Book) fillOne(tx storage.Tx, x *indexed, r *Record) error {
	x.filled++
	if r == nil {
		return nil
	}
	if err := putOrdered(tx, r); err != nil {
		return err
	}
	return b.follower(tx, r)
}

// Fill makes all rows that records of an older version lack. KeepIndexed does the same, beside everything else. If we stop
// within it, it goes on where it was.
func (b *Book) Fill(ctx context.Context) error {
	for behind := true; behind; {
		var err error
		if behind, err = b.fillSome(ctx, fillStep); err != nil {
			return err
		}
	}
	return nil
}

// fillSome makes the rows of some records, and says whether there are others.
func (b *Book) fillSome(ctx context.Context, most uint64) (behind bool, err error) {
	if b.follower == nil {
		return false, nil
	}
	return b.catchUp(ctx, most, func(x *indexed) *uint64 { return &x.filled }, b.fillOne)
}

// catchUp does something for some records of an older version, and says whether there are others. mark is the first that it did not
// come to, which one moves.
func (b *Book) catchUp(ctx context.Context, most uint64, mark func(*indexed) *uint64, one func(storage.Tx, *indexed, *Record) error) (behind bool, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		x, end, err := uncaught(tx, mark)
		behind = *mark(&x) < end
		return err
	})
	if err != nil || !behind {
		return false, err
	}
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		x, end, err := uncaught(tx, mark)
		if err != nil {
			return err
		}
		at, begun := mark(&x), time.Now()
		for some := min(end, *at+most); *at < some && time.Since(begun) < fillTime; {
			r, err := readKept(tx, *at)
			if err == nil {
				err = one(tx, &x, r)
			}
			if err != nil {
				return err
			}
		}
		x.write(tx)
		behind = *at < end
		return nil
	})
	return behind, err
}

// uncaught returns the marks, and up to where there are records that have to be caught up with.
func uncaught(tx storage.Reader, mark func(*indexed) *uint64) (x indexed, end uint64, err error) {
	h, err := readHead(tx)
	if err != nil {
		return x, 0, err
	}
	if x, err = readIndexed(tx); err != nil {
		return x, 0, err
	}
	end, err = h.kept(tx, *mark(&x))
	return x, min(end, x.next), err
}

// orderedKeys are the rows of a record: of its digest, and of the commits that it names.
func orderedKeys(r *Record) (keys [][]byte) {
	add := func(key []byte) {
		if key != nil {
			keys = append(keys, key)
		}
	}
	add(digestOrder(r.Digest))
	for _, c := range r.Claimed {
		if c.Fact == FactRevision {
			add(commitOrder(c.Value))
		}
	}
	for _, a := range r.Attested {
		if a.Fact == FactRevision {
			add(commitOrder(a.Value))
		}
	}
	return keys
}

// digestOrder returns the row of a digest, or nil where there is none.
func digestOrder(d digest.Digest) []byte {
	from, _, _ := likeRange(d.String())
	if orderedValue(from) != d.String() {
		return nil
	}
	return from
}

// commitOrder returns the row of a revision that is a commit, whole or as git shortens it, with or without changes; or nil.
func commitOrder(revision string) []byte {
	found := revisionsFor(revision)
	commit := found[len(found)-1]
	if len(commit) < shortCommit || len(commit) > 64 {
		return nil
	}
	from, _, ok := HexRange(commit)
	if !ok {
		return nil
	}
	return append(append([]byte{orderedCommit}, from...), byte(len(commit)))
}

// HexRange returns what bytes begin with that begin with some hexadecimal digits in lower case, the first and the last of
// them. An odd number of digits ends within a byte.
func HexRange(digits string) (from, to []byte, ok bool) {
	if digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
		return nil, nil, false
	}
	first, last := digits, digits
	if len(digits)%2 == 1 {
		first, last = digits+"0", digits+"f"
	}
	from, _ = hex.DecodeString(first) // they are hexadecimal digits, of an even number
	to, _ = hex.DecodeString(last)
	return from, to, true
}

// likeRange returns what the first and the last row begin with that a digest with its algorithm, or a commit, begins.
func likeRange(prefix string) (from, to []byte, ok bool) {
	kind, most, digits := byte(orderedCommit), 64, prefix
	if algorithm, rest, named := strings.Cut(prefix, ":"); named {
		switch digest.Algorithm(algorithm) {
		case digest.SHA256:
			kind, digits = orderedSHA256, rest
		case digest.SHA512:
			kind, digits, most = orderedSHA512, rest, 128
		default:
			return nil, nil, false
		}
	}
	if len(digits) > most {
		return nil, nil, false
	}
	if from, to, ok = HexRange(digits); !ok {
		return nil, nil, false
	}
	return append([]byte{kind}, from...), append([]byte{kind}, to...), true
}

// putOrdered adds the rows that are not there yet.
func putOrdered(tx rows, r *Record) error {
	keys := orderedKeys(r)
	found, err := tx.GetMany(orderedTable, keys)
	if err != nil {
		return err
	}
	for i, row := range found {
		if row == nil {
			tx.Put(orderedTable, keys[i], nil)
		}
	}
	return nil
}

// A LikeQuery asks for digests or commits by how they begin.
type LikeQuery struct {
	Prefix  string // sha256: or sha512: and digits of a digest; or digits of a commit, in lower case
	Visible func(repository string) bool
	After   string // Next of the page before
	Limit   int
}

// A LikePage is part of an answer. It may be short, or empty, and still not be the last.
type LikePage struct {
	Values []string // whole digests or commits, in order
	Next   string   // the After of the next page, or "" after the last. It is one that the caller may not know of: never show it as it is
	// Behind says how many records were not looked at: of an older version, which Fill has not come to.
	Behind uint64
}

// Like returns the digests that came, or the commits that are claimed or attested, where the caller may see, that begin so. A
// prefix that is none finds nothing.
func (b *Book) Like(ctx context.Context, q LikeQuery) (page LikePage, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		page = LikePage{}
		x, err := readIndexed(tx)
		if err != nil {
			return err
		}
		page.Behind = x.next - min(x.filled, x.next)
		all, err := withTail(tx, putOrdered)
		if err != nil {
			return err
		}
		return q.fill(all, &page)
	})
	return page, err
}

func (q *LikeQuery) fill(tx storage.Reader, page *LikePage) error {
	from, to, ok := likeRange(q.Prefix)
	if !ok {
		return nil
	}
	if q.After != "" {
		from = append([]byte(q.After), 0)
	}
	looks := maxLikes
	last := ""
	for item, err := range tx.Scan(orderedTable, from, storage.PrefixEnd(to)) {
		if err != nil {
			return err
		}
		if looks == 0 {
			page.Next = last
			return nil
		}
		looks--
		value, seen, err := q.see(tx, item.Key)
		if err != nil {
			return err
		}
		if seen && len(page.Values) == q.Limit { // one that the caller may not see must not be why there is a next page
			page.Next = last
			return nil
		}
		last = string(item.Key)
		if seen {
			page.Values = append(page.Values, value)
		}
	}
	return nil
}

// see returns what a row stands for, and whether the caller may know of it.
func (q *LikeQuery) see(tx storage.Reader, key []byte) (value string, seen bool, err error) {
	switch value = orderedValue(key); {
	case value == "": // fsck tells
	case !strings.HasPrefix(value, q.Prefix): // the last byte of a commit of odd length looks like more digits
	case key[0] == orderedCommit:
		seen, err = q.seeCommit(tx, value)
	default:
		seen, err = q.sees(tx, newTerm(byDigest, value))
	}
	return value, seen, err
}

// orderedValue returns the digest or the commit that a row stands for, or "" where it is none of ours.
func orderedValue(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	kind, rest := key[0], key[1:]
	switch {
	case kind == orderedSHA256 && len(rest) == 32:
		return digest.NewDigestFromBytes(digest.SHA256, rest).String()
	case kind == orderedSHA512 && len(rest) == 64:
		return digest.NewDigestFromBytes(digest.SHA512, rest).String()
	case kind == orderedCommit && len(rest) > 1:
		digits, n := hex.EncodeToString(rest[:len(rest)-1]), int(rest[len(rest)-1])
		if n <= len(digits) {
			return digits[:n]
		}
	}
	return ""
}

// seeCommit says whether somebody claims a commit, or a signature says it, where the caller may see.
func (q *LikeQuery) seeCommit(tx storage.Reader, commit string) (bool, error) {
	t := newTerm(byRevision, commit)
	if seen, err := q.sees(tx, t); seen || err != nil {
		return seen, err
	}
	seen, _, err := attestedWhere(tx, t, q.Visible)
	return seen, err
}

// sees says whether an image has a row of a term, in a repository that the caller may see.
func (q *LikeQuery) sees(tx storage.Reader, t term) (bool, error) {
	s := imageSeeker{tx: tx, q: ImageQuery{Visible: q.Visible}, terms: []term{t}, looks: maxLook}
	s.restart()
	row, err := s.row()
	if err != nil || row.Key == nil {
		return false, err
	}
	repository, err := cutImageKey(row.Key)
	return err == nil && q.Visible(repository), err // it may have looked at too many that are not
}

// Followed says whether the rows of a record were made, and who follows was told of it.
func Followed(tx storage.Reader, index uint64) (bool, error) {
	x, err := readIndexed(tx)
	return index < x.filled, err
}

// IsFilled says whether there are no records of an older version whose rows are missing.
func IsFilled(tx storage.Reader) (bool, error) {
	x, err := readIndexed(tx)
	return x.filled >= x.next, err
}

// Tail returns the records that have no rows yet, and who follows was not told of. behind are how many others there are of
// which that is so: of an older version.
func Tail(tx storage.Reader) (tail []*Record, behind uint64, err error) {
	x, end, err := unindexed(tx)
	for index := x.next; index < end && err == nil; index++ {
		var r *Record
		if r, err = readKept(tx, index); r != nil {
			tail = append(tail, r)
		}
	}
	return tail, x.next - min(x.filled, x.next), err
}

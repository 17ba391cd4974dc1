package registry

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// People remember a word of a name. So each word of the name of a repository or a tag has a row, under what the name is from that
// word on: all names with a word that begins so stand together. The rows come behind the record of a push, as those of
// records do (provenance.Book.Follow), and go in the transaction in which the repository or the tag goes.

// The kinds of word rows: the first byte of their keys. Never give one a new meaning.
const (
	repositoryWord = 'r'
	tagWord        = 't'
)

// The bounds of word rows.
const (
	maxWord    = 32 // bytes of a name, from a word on, that a row has
	maxChanges = 3  // from letters to digits and back: what changes more often, as a hash does, is one word
	maxWords   = 16 // of a name; those behind have no rows, because a push of many tags writes the rows of all at once
)

// wordStarts returns where the words of a name begin: behind / . - _, and where digits follow letters or the other way round.
func wordStarts(name string) (starts []int) {
	for at := 0; at < len(name); {
		if isSeparator(name[at]) {
			at++
			continue
		}
		end := at
		for end < len(name) && !isSeparator(name[end]) {
			end++
		}
		starts = append(append(starts, at), changes(name, at, end)...)
		at = end
	}
	return starts[:min(len(starts), maxWords)]
}

// changes returns where digits and letters follow each other in a part of a name, or nothing where that is too often.
func changes(name string, from, to int) (at []int) {
	for i := from + 1; i < to; i++ {
		if isDigit(name[i]) != isDigit(name[i-1]) {
			at = append(at, i)
		}
	}
	if len(at) > maxChanges {
		return nil
	}
	return at
}

func isSeparator(c byte) bool { return c == '/' || c == '.' || c == '-' || c == '_' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// A NameEntry is a repository, or a tag in one.
type NameEntry struct {
	Repository string
	TagEntry   // empty of a repository
}

// name is what its words are of.
func (n NameEntry) name() string { return strings.ToLower(firstOf(n.Name, n.Repository)) }

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// wordKey is the row of a name from a word on.
func (n NameEntry) wordKey(from string) []byte {
	from = from[:min(len(from), maxWord)]
	if n.Name == "" {
		return slices.Concat([]byte{repositoryWord}, []byte(from), []byte{0}, []byte(n.Repository))
	}
	return slices.Concat([]byte{tagWord}, []byte(from), []byte{0}, repoKey(n.Repository, []byte(n.Name)))
}

// wordKeys are all rows of a name.
func (n NameEntry) wordKeys() (keys [][]byte) {
	name := n.name()
	for _, at := range wordStarts(name) {
		keys = append(keys, n.wordKey(name[at:]))
	}
	return keys
}

// cutWordKey returns what a row is of, and the name from the word on, as far as the row has it.
func cutWordKey(key []byte) (n NameEntry, from string, ok bool) {
	if len(key) == 0 || key[0] != repositoryWord && key[0] != tagWord {
		return n, "", false
	}
	from, rest := cutRepo(key[1:])
	repo, tag, isTag := bytes.Cut(rest, []byte{0})
	n.Repository, n.Name = string(repo), string(tag)
	return n, from, isTag == (key[0] == tagWord) && len(repo) > 0 && (len(tag) > 0) == isTag
}

// follow puts the word rows of what a record names and is still there. It is told of each record behind its transaction: what
// went meanwhile needs none, and what comes again has another record. An older version leaves the rows of what it removes.
func (g *Registry) follow(tx storage.Tx, r *provenance.Record) error {
	for _, n := range namesIn(r) {
		row, err := n.row(tx)
		switch {
		case err != nil:
		case row == nil:
			removeWords(tx, n.Repository, n.Name)
		default:
			err = putWords(tx, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// namesIn are the names in a record: its repository, and the tags that it moves there.
func namesIn(r *provenance.Record) (names []NameEntry) {
	if r.Repository == "" {
		return nil
	}
	names = append(names, NameEntry{Repository: r.Repository})
	for _, tag := range r.Tags {
		names = append(names, NameEntry{r.Repository, TagEntry{Name: tag.Name}})
	}
	return names
}

// row is the row of the repository or the tag itself, or nil.
func (n NameEntry) row(tx storage.Reader) ([]byte, error) {
	table, key := repositoryTable, []byte(n.Repository)
	if n.Name != "" {
		table, key = tagTable, repoKey(n.Repository, []byte(n.Name))
	}
	return getOrNil(tx, table, key)
}

// putWords adds the rows of a name. They come and go together.
func putWords(tx storage.Tx, n NameEntry) error {
	keys := n.wordKeys()
	if len(keys) == 0 {
		return nil // a tag of separators alone
	}
	there, err := getOrNil(tx, wordTable, keys[0])
	if err != nil || there != nil {
		return err
	}
	for _, key := range keys {
		tx.Put(wordTable, key, nil)
	}
	return nil
}

// removeWords removes the rows of a name that goes.
func removeWords(tx storage.Tx, repo, tag string) {
	for _, key := range (NameEntry{repo, TagEntry{Name: tag}}).wordKeys() {
		tx.Delete(wordTable, key)
	}
}

// A NameQuery asks for repositories or tags by words in their names.
type NameQuery struct {
	Who  provenance.Identity
	Tags bool // for tags, and not for repositories
	// Words are how words begin, each of them. Of a tag, the last one must be in it, and the others in it or in the name of its repository.
	Words []string
	After []byte // Next of the page before
	Limit int
}

// A NamePage is part of an answer. It may be short, or empty, and still not be the last.
type NamePage struct {
	Names []NameEntry
	// Next is where the next page begins, or nil after the last. It may name what the caller may not know of: never
	// show it as it is.
	Next []byte
	// Behind says how many records were not looked at: of an older version, whose words have no rows yet.
	Behind uint64
}

// The bounds of one page of names.
const (
	ownNames  = 2000 // names that are compared one by one, where the caller may see no more
	nameLooks = 2000 // rows that are looked at
)

// Named returns names that the caller may see. Where these are few they are compared themselves, so that the answer tells
// nothing of others. Else they are found by their rows, in the order of what a name is from the word on: the shortest is first.
func (g *Registry) Named(ctx context.Context, q NameQuery) (page NamePage, err error) {
	s := &nameSeeker{g: g, NameQuery: q, prefixes: g.gate.Prefixes(q.Who)}
	if !s.begin() {
		return page, nil
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		page = NamePage{}
		s.tx, s.looks, s.from = tx, nameLooks, s.first
		if done, err := s.own(&page); done || err != nil {
			return err
		}
		tail, behind, err := provenance.Tail(tx)
		if err != nil {
			return err
		}
		page.Behind = behind
		s.addTail(tail)
		return s.fill(&page)
	})
	return page, err
}

// nameSeeker walks word rows.
type nameSeeker struct {
	NameQuery
	g        *Registry
	tx       storage.Reader
	prefixes []string // of the repositories that the caller may see, in order
	key      string   // the word that rows are looked for by
	others   []string
	first    []byte // the rows of the page are from here on
	end      []byte // and before this
	from     []byte // where it has come to
	looks    int
	extra    [][]byte // rows that records will have, in order
}

// begin reads the query, and says whether there is anything to look for.
func (s *nameSeeker) begin() bool {
	words := make([]string, 0, len(s.Words))
	for _, w := range s.Words {
		if w = strings.ToLower(strings.Trim(w, "/.-_")); w != "" {
			words = append(words, w)
		}
	}
	if len(words) == 0 || len(s.prefixes) == 0 {
		return false
	}
	at, kind := 0, byte(repositoryWord)
	if s.Tags {
		at, kind = len(words)-1, tagWord
	}
	s.key = words[at]
	s.others = slices.Delete(words, at, at+1)
	all := append([]byte{kind}, s.key[:min(len(s.key), maxWord)]...)
	s.first, s.end = all, storage.PrefixEnd(all)
	if s.After != nil {
		s.first = s.After
	}
	return true
}

// match returns the first row of a name by which it is found, or nil.
func (s *nameSeeker) match(n NameEntry) (first []byte) {
	name := n.name()
	for _, at := range wordStarts(name) {
		if !strings.HasPrefix(name[at:], s.key) {
			continue
		}
		if key := n.wordKey(name[at:]); first == nil || bytes.Compare(key, first) < 0 {
			first = key
		}
	}
	if slices.ContainsFunc(s.others, func(word string) bool { return !hasWord(name, word) && !hasWord(n.Repository, word) }) {
		return nil
	}
	return first
}

func hasWord(name, word string) bool {
	return slices.ContainsFunc(wordStarts(name), func(at int) bool { return strings.HasPrefix(name[at:], word) })
}

func (s *nameSeeker) visible(repo string) bool { return s.g.gate.May(s.Who, access.Pull, repo) }

// own compares the names that the caller may see, if they are few, and says whether that is the answer.
func (s *nameSeeker) own(page *NamePage) (done bool, err error) {
	if s.prefixes[0] == "" {
		return false, nil // they may see any name, or some among all
	}
	o := ownNamesOf{nameSeeker: s, left: ownNames}
	for _, prefix := range s.prefixes {
		if err := o.repositories(prefix); err != nil || o.left <= 0 {
			return false, err
		}
	}
	slices.SortFunc(o.found, bytes.Compare)
	for _, key := range o.found {
		if full, err := s.add(page, key); full || err != nil {
			return true, err
		}
	}
	return true, nil
}

// ownNamesOf compares names one by one.
type ownNamesOf struct {
	*nameSeeker
	left  int      // how many may still be compared
	found [][]byte // the rows of those that match
}

// compare looks at a name, and says whether it was the last that may be looked at.
func (o *ownNamesOf) compare(n NameEntry) (last bool) {
	if key := o.match(n); key != nil && bytes.Compare(key, o.first) >= 0 {
		o.found = append(o.found, key)
	}
	o.left--
	return o.left <= 0
}

// repositories compares the repositories whose names have a beginning, or their tags.
func (o *ownNamesOf) repositories(prefix string) error {
	for item, err := range o.tx.Scan(repositoryTable, []byte(prefix), storage.PrefixEnd([]byte(prefix))) {
		if err != nil {
			return err
		}
		n := NameEntry{Repository: string(item.Key)}
		switch o.left--; { // to look into one that has no tags costs something, too
		case !o.visible(n.Repository):
		case o.Tags:
			err = o.tags(n.Repository)
		default:
			o.compare(n)
		}
		if err != nil || o.left <= 0 {
			return err
		}
	}
	return nil
}

func (o *ownNamesOf) tags(repo string) error {
	all := repoKey(repo)
	for item, err := range o.tx.Scan(tagTable, all, storage.PrefixEnd(all)) {
		if err != nil || o.compare(NameEntry{repo, TagEntry{Name: string(item.Key[len(all):])}}) {
			return err
		}
	}
	return nil
}

// addTail adds the rows that records will have.
func (s *nameSeeker) addTail(tail []*provenance.Record) {
	s.extra = nil
	for _, r := range tail {
		for _, n := range namesIn(r) {
			if key := s.match(n); (n.Name != "") == s.Tags && key != nil {
				s.extra = append(s.extra, key)
			}
		}
	}
	slices.SortFunc(s.extra, bytes.Compare)
}

// next returns the first row from where the seeker is on, or nil.
func (s *nameSeeker) next() (key []byte, err error) {
	for item, err := range s.tx.Scan(wordTable, s.from, s.end) {
		if err != nil {
			return nil, err
		}
		key = bytes.Clone(item.Key)
		break
	}
	at, _ := slices.BinarySearchFunc(s.extra, s.from, bytes.Compare)
	if at < len(s.extra) && (key == nil || bytes.Compare(s.extra[at], key) < 0) {
		key = s.extra[at]
	}
	return key, nil
}

// fill walks the rows.
func (s *nameSeeker) fill(page *NamePage) error {
	for {
		key, err := s.next()
		if err != nil || key == nil {
			return err
		}
		if s.looks == 0 {
			page.Next = key
			return nil
		}
		s.looks--
		n, from, ok := cutWordKey(key)
		if ok && !s.visible(n.Repository) {
			s.from = s.behind(key[0], from, n.Repository)
			continue
		}
		full := false
		if ok { // if not, fsck tells
			full, err = s.add(page, key)
		}
		if err != nil || full {
			return err
		}
		s.from = append(key[:len(key):len(key)], 0)
	}
}

// behind is where the next row can be that the caller may see, when one is not: of another repository, with the same rest of
// a name or the next.
func (s *nameSeeker) behind(kind byte, from, repo string) []byte {
	base := slices.Concat([]byte{kind}, []byte(from), []byte{0})
	for _, prefix := range s.prefixes {
		if strings.HasPrefix(repo, prefix) { // some that begin so may be seen
			return append(append(base, repo...), 1) // behind its tags; no name goes on with so small a byte
		}
		if prefix > repo {
			return append(base, prefix...)
		}
	}
	return append(base[:len(base)-1], 1)
}

// add adds the name of a row, if it stands for one, or says that the page is full before it: only what the caller may see is a
// reason for a next page.
func (s *nameSeeker) add(page *NamePage, key []byte) (full bool, err error) {
	n, err := s.named(key)
	switch {
	case err != nil || n == nil:
	case len(page.Names) == s.Limit:
		page.Next, full = key, true
	default:
		page.Names = append(page.Names, *n)
	}
	return full, err
}

// named is the name of a row, or nil if it is not there, or has a row before this one.
func (s *nameSeeker) named(key []byte) (*NameEntry, error) {
	n, _, _ := cutWordKey(key)
	if !bytes.Equal(s.match(n), key) {
		return nil, nil
	}
	row, err := n.row(s.tx)
	switch {
	case err != nil || row == nil:
		return nil, err
	case n.Name == "":
		return &n, nil
	}
	tag, err := decodeTagRow(row)
	if err != nil {
		return nil, err
	}
	going, err := isGoing(s.tx, n.Repository, digestKey(tag.digest))
	if err != nil || going {
		return nil, err
	}
	n.Digest, n.Record = tag.digest, tag.record
	return &n, nil
}

// wordRow wants what a row is of to be there, and to be found by it.
func (c *checker) wordRow(_ context.Context, tx storage.Reader, item storage.Item) error {
	n, from, ok := cutWordKey(item.Key)
	if !ok || !slices.ContainsFunc(n.wordKeys(), func(key []byte) bool { return bytes.Equal(key, item.Key) }) {
		return damaged("%s is found by the word %.40q, which is not in it", n, from)
	}
	row, err := n.row(tx)
	if err != nil || row != nil {
		return err
	}
	// An older version leaves the rows of what it removes until this one comes to its records.
	if filled, err := provenance.IsFilled(tx); err != nil || !filled {
		return err
	}
	return damaged("%s is found by the word %.40q, and is not there", n, from)
}

// String is the name as people write it.
func (n NameEntry) String() string {
	if n.Name == "" {
		return n.Repository
	}
	return n.Repository + ":" + n.Name
}

// wantWords wants a name to be found by all of its words, where the record that put it there has its rows.
func wantWords(tx storage.Reader, n NameEntry, record uint64) error {
	followed, err := provenance.Followed(tx, record)
	if err != nil || !followed {
		return err
	}
	rows, err := tx.GetMany(wordTable, n.wordKeys())
	if err == nil && slices.ContainsFunc(rows, func(row []byte) bool { return row == nil }) {
		return damaged("%s is not found by each word of its name", n)
	}
	return err
}

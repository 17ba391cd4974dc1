package registry

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// referrersAtOnce is how many bytes of a page are held in memory for a client. A longer page is read from the store in pieces, as
// its client takes them: it may have 6 MB, and who reads it slowly would keep all of them here.
const referrersAtOnce = 32 << 10

// A referrerList is one page of the manifests whose subject is a digest: of those whose artifactType is one of want, or of all
// where none is. It is short or even empty where most of what it looked at is of another type.
type referrerList struct {
	repo    string
	subject digest.Digest
	want    []string
	page    page
	hold    int // how many bytes of text may be kept

	text  []byte        // the descriptors with commas between them; nil where they are too long
	whole bool          // text has all of them
	last  []byte        // the key of the last row on the page; nil where there is none
	next  digest.Digest // behind which digest the next page begins; "" is nowhere
}

// begin says how far the page goes, and keeps what is short.
func (l *referrerList) begin(tx storage.Reader) error {
	l.text, l.whole, l.last, l.next = nil, true, nil, ""
	rows, all := l.rows(), l.prefix()
	looked, listed, size := 0, 0, 0
	for item, err := range tx.Scan(rows.Table, rows.Key, rows.To) {
		if err != nil {
			return err
		}
		if looked == maxReferrers || listed >= l.page.n || size >= maxReferrerBytes {
			if l.last != nil {
				l.next, _, err = cutDigest(l.last[len(all):])
			}
			return err
		}
		looked++
		l.last = append(l.last[:0], item.Key...)
		text, err := l.descriptor(item, listed == 0)
		if err != nil {
			return err
		}
		if text != nil {
			listed++
			size += len(text)
			l.keep(text)
		}
	}
	return nil
}

// keep adds to the text as long as it is short.
func (l *referrerList) keep(text []byte) {
	if l.whole = l.whole && len(l.text)+len(text) <= l.hold; l.whole {
		l.text = append(l.text, text...)
	} else {
		l.text = nil
	}
}

// descriptor is what the list shows of a row, behind a comma unless it is the first; nil where it is of another type.
func (l *referrerList) descriptor(item storage.Item, first bool) ([]byte, error) {
	row, err := decodeReferrerRow(item.Value)
	if err != nil || len(l.want) > 0 && !slices.Contains(l.want, row.artifactType) {
		return nil, err
	}
	if first {
		return row.descriptor, nil
	}
	return slices.Concat([]byte(","), row.descriptor), nil
}

// rows are those of the subject's referrers from the page on.
func (l *referrerList) rows() storage.Read {
	return storage.Rows(referrerTable, l.from(), storage.PrefixEnd(l.prefix()))
}

func (l *referrerList) prefix() []byte { return repoKey(l.repo, digestKey(l.subject)) }

// from is the key at which the page begins.
func (l *referrerList) from() []byte {
	if last, ok := parseDigest(l.page.last); ok {
		return repoKey(l.repo, digestKey(l.subject), digestKey(last), []byte{0})
	}
	return l.prefix()
}

// A referrerReader reads the text of a page that has begun, up to its last row, with a transaction for each piece. What comes
// or goes meanwhile is listed or not.
type referrerReader struct {
	ctx   context.Context
	store storage.Store
	list  *referrerList
	at    referrerPlace
}

// referrerPlace is where a reading goes on.
type referrerPlace struct {
	key    []byte // of the next row; nil is the first
	given  int    // how many bytes of its text were read
	listed bool   // something was
	done   bool
}

// Read implements io.Reader. It fails where the row is gone in whose middle it was.
func (r *referrerReader) Read(p []byte) (n int, err error) {
	if r.at.done {
		return 0, io.EOF
	}
	next := r.at
	err = r.store.View(r.ctx, func(tx storage.Reader) error {
		n, next = 0, r.at
		for item, err := range tx.Scan(referrerTable, r.from(), append(slices.Clone(r.list.last), 0)) {
			if err != nil {
				return err
			}
			if r.at.given > 0 && n == 0 && string(item.Key) != string(r.at.key) {
				return r.gone()
			}
			text, err := r.list.descriptor(item, !next.listed)
			if err != nil {
				return err
			}
			taken := copy(p[n:], text[next.given:])
			if n += taken; next.given+taken < len(text) {
				next.key, next.given = slices.Clone(item.Key), next.given+taken
				return nil
			}
			next.key, next.given, next.listed = append(slices.Clone(item.Key), 0), 0, next.listed || text != nil
		}
		if next.given > 0 {
			return r.gone()
		}
		next.done = true
		return nil
	})
	r.at = next
	return n, err
}

func (r *referrerReader) from() []byte {
	if r.at.key == nil {
		return r.list.from()
	}
	return r.at.key
}

func (r *referrerReader) gone() error {
	return fmt.Errorf("a referrer of %s@%s went away while the list was read", r.list.repo, r.list.subject)
}

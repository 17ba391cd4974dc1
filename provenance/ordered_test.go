package provenance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// like asks for everything that begins so, page by page.
func like(t *testing.T, b *Book, prefix string, limit int, visible func(string) bool) (values []string, behind uint64) {
	t.Helper()
	for q := (LikeQuery{Prefix: prefix, Visible: visible, Limit: limit}); ; {
		page, err := b.Like(background, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Values) > limit {
			t.Fatalf("a page of %d has %d", limit, len(page.Values))
		}
		values = append(values, page.Values...)
		if q.After = page.Next; q.After == "" {
			return values, page.Behind
		}
	}
}

func anywhere(string) bool { return true }

// revision is an event that claims a revision of an image.
func revision(repository string, d digest.Digest, value string) Event {
	return Event{Repository: repository, Digest: d, Claimed: []Claim{{Fact: FactRevision, Value: value, About: d, From: "label"}}}
}

// TestLike finds every digest and every commit by each of its beginnings, whatever part of the records has its rows.
func TestLike(t *testing.T) {
	b, _ := testBook(t)
	random := rand.New(rand.NewPCG(3, 4))
	var digests, commits []string
	for n := range 40 {
		commit := fmt.Sprintf("%x", random.Uint64())[:8+n%8] + strings.Repeat("0", 24+n%2*24)
		d := dig(fmt.Sprint("image", n))
		if n%5 == 0 {
			d = digest.SHA512.FromString(fmt.Sprint(n))
		}
		appendEvent(t, b, revision("team/app", d, strings.ToUpper(commit)))
		digests, commits = append(digests, d.String()), append(commits, commit)
	}
	for range 2 { // with a tail, and without
		for _, all := range [][]string{digests, commits} {
			for _, value := range all {
				for cut := strings.IndexByte(value, ':') + 2; cut <= len(value); cut += 3 {
					want := slices.Sorted(func(yield func(string) bool) {
						for _, other := range all {
							if strings.HasPrefix(other, value[:cut]) {
								yield(other)
							}
						}
					})
					if got, _ := like(t, b, value[:cut], 3, anywhere); !slices.Equal(got, want) {
						t.Fatalf("%s finds %q, and should find %q", value[:cut], got, want)
					}
				}
			}
		}
		indexSome(t, b, 100)
	}
	wantClean(t, b)
	for _, none := range []string{"", ":", "sha256:", "sha256", "sha1:00", "sha256:xyz", "0123x", "sha256:" + strings.Repeat("0", 65), strings.Repeat("0", 65)} {
		if got, _ := like(t, b, none, 3, anywhere); len(got) > 0 {
			t.Errorf("%q finds %q", none, got)
		}
	}
}

// TestLikeRevisions wants commits alone, in whatever spelling they were claimed, also those that only a signature says.
func TestLikeRevisions(t *testing.T) {
	b, _ := testBook(t)
	const whole = "0123456789abcdef0123456789abcdef01234567"
	for value, found := range map[string]string{
		whole: whole, "0123456": "0123456", "0123457-dirty": "0123457", "  0123458 ": "0123458", "012345": "", "v1.2": "", "0123456-dirt": "",
	} {
		appendEvent(t, b, revision("team/app", dig(value), value))
		if got, _ := like(t, b, firstNonEmpty(found, "012345"), 50, anywhere); found != "" && !slices.Contains(got, found) || slices.Contains(got, value) && found == "" {
			t.Errorf("the claimed revision %q is found as %q", value, got)
		}
	}
	const attested = "fedcba9876543210fedcba9876543210fedcba98"
	appendEvent(t, b, Event{Action: Attest, Repository: "team/app", Digest: dig("signature"), Attested: []Attestation{
		{Fact: FactRevision, Value: attested, About: dig(whole), From: "slsa", Signer: "key"},
	}})
	if got, _ := like(t, b, "fedc", 5, anywhere); !slices.Equal(got, []string{attested}) {
		t.Errorf("a commit that a signature says is found as %q", got)
	}
	page, err := b.Find(background, Query{Revision: attested, Visible: anywhere})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("%d records are of it, %v", len(page.Records), err)
	}
	wantClean(t, b)
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestLikeHidden wants no word about what is in repositories that the caller may not see.
func TestLikeHidden(t *testing.T) {
	b, _ := testBook(t)
	const commit = "0123456789abcdef0123456789abcdef01234567"
	appendEvent(t, b, revision("secret", dig("hidden"), commit))
	appendEvent(t, b, Event{Action: Attest, Repository: "secret", Digest: dig("signature"), Attested: []Attestation{
		{Fact: FactRevision, Value: "f" + commit[1:], About: dig("hidden"), From: "slsa", Signer: "key"},
	}})
	none := func(repository string) bool { return repository != "secret" }
	for _, prefix := range []string{dig("hidden").String()[:12], dig("hidden").String(), commit[:7], "f" + commit[1:7]} {
		if got, _ := like(t, b, prefix, 5, anywhere); len(got) != 1 {
			t.Errorf("%s finds %q", prefix, got)
		}
		if got, _ := like(t, b, prefix, 5, none); len(got) > 0 {
			t.Errorf("%s finds %q, which is hidden", prefix, got)
		}
	}
	appendEvent(t, b, revision("team/app", dig("hidden"), commit))
	for _, prefix := range []string{dig("hidden").String()[:12], commit[:7]} {
		if got, _ := like(t, b, prefix, 5, none); len(got) != 1 {
			t.Errorf("%s finds %q, and it is also where the caller may see", prefix, got)
		}
	}
}

// TestLikeHiddenBehind wants what is hidden to be no reason for another page: somebody could fill a page with what they push
// themselves, and read the rest digit by digit.
func TestLikeHiddenBehind(t *testing.T) {
	b, _ := testBook(t)
	for n := range 3 {
		appendEvent(t, b, revision("team/app", dig(fmt.Sprint(n)), fmt.Sprintf("0123456789abcdef0123456789abcdef0000000%d", n)))
	}
	appendEvent(t, b, revision("secret", dig("hidden"), "0123456789abcdef0123456789abcdefffffffff"))
	none := func(repository string) bool { return repository != "secret" }
	for limit, more := range map[int]bool{2: true, 3: false} {
		page, err := b.Like(background, LikeQuery{Prefix: "01234567", Visible: none, Limit: limit})
		if err != nil || len(page.Values) != limit || (page.Next != "") != more {
			t.Errorf("of three, a page of %d has %q, and goes on at %q, %v", limit, page.Values, page.Next, err)
		}
	}
}

// TestLikeShort finds a commit that is shortened itself by what it begins with, and by no digit behind it.
func TestLikeShort(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, revision("team/app", dig("one"), "abcdef7"))
	for prefix, want := range map[string]int{"abcdef": 1, "abcdef7": 1, "abcdef70": 0, "abcdef7007": 0} {
		if got, _ := like(t, b, prefix, 5, anywhere); len(got) != want {
			t.Errorf("%s finds %q", prefix, got)
		}
	}
}

// TestAttestedBehindMany finds what a signature says where the caller may see, behind more than is looked at where they may not.
func TestAttestedBehindMany(t *testing.T) {
	b, _ := testBook(t)
	attest := func(repository string, n int) {
		appendEvent(t, b, Event{Action: Attest, Repository: repository, Digest: dig(fmt.Sprint("signature", n)), Attested: []Attestation{
			{Fact: FactSource, Value: "https://git.example/mono", About: dig(fmt.Sprint("image", n)), From: "slsa", Signer: "key"},
		}})
	}
	attest("team/app", 0)
	for n := range maxAttested + 1 {
		attest("secret", n+1)
	}
	for visible, want := range map[string]int{"team/app": 1, "other": 0} {
		q, found := Query{Source: "https://git.example/mono", Visible: func(r string) bool { return r == visible }}, 0
		for more := true; more; more = q.After != nil {
			page, err := b.Find(background, q)
			if err != nil {
				t.Fatal(err)
			}
			found, q.After = found+len(page.Records), page.Next
		}
		if found != want {
			t.Errorf("%s: %d records are found, want %d", visible, found, want)
		}
	}
}

// TestFill gives the records of an older version their rows, from wherever it was ended, and tells the follower of each once.
func TestFill(t *testing.T) {
	b, _ := testBook(t)
	told := map[uint64]int{}
	for n := range 30 {
		appendEvent(t, b, revision("team/app", dig(fmt.Sprint(n)), fmt.Sprintf("%07x", n)))
	}
	indexSome(t, b, 100)
	err := b.store.Update(background, func(tx storage.Tx) error { // as an older version leaves it
		for item, err := range tx.Scan(orderedTable, nil, nil) {
			if err != nil {
				return err
			}
			tx.Delete(orderedTable, item.Key)
		}
		tx.Delete(headTable, filledKey)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantClean(t, b)
	if got, behind := like(t, b, "0000000", 5, anywhere); len(got) > 0 || behind != 30 {
		t.Fatalf("%q are found, and %d records are behind", got, behind)
	}
	var failing error
	b.Follow(func(_ storage.Tx, r *Record) error {
		if told[r.Index]++; r.Index%10 == 5 {
			return failing
		}
		return nil
	})
	for _, failing = range []error{nil, nil, errors.New("no"), nil} {
		if _, err := b.fillSome(background, 10); err != nil && !errors.Is(err, failing) {
			t.Fatalf("it ended with %v, and should with %v", err, failing)
		}
		appendEvent(t, b, revision("team/app", dig("new"), "abcdef0"))
	}
	if err := b.Fill(background); err != nil {
		t.Fatal(err)
	}
	indexSome(t, b, 100)
	wantClean(t, b)
	for n := range 30 {
		if got, behind := like(t, b, fmt.Sprintf("%07x", n), 5, anywhere); len(got) != 1 || behind != 0 {
			t.Errorf("%07x finds %q, %d are behind", n, got, behind)
		}
	}
	if got, _ := like(t, b, "abcdef0", 5, anywhere); len(got) != 1 {
		t.Errorf("what came meanwhile is not found: %q", got)
	}
	for index := range uint64(34) {
		if told[index] == 0 {
			t.Errorf("the follower was not told of record %d", index)
		}
	}
}

// TestNobodyFollows leaves rows to a book that somebody follows.
func TestNobodyFollows(t *testing.T) {
	b, _ := testBook(t)
	b.Follow(nil)
	appendEvent(t, b, revision("team/app", dig("x"), "0123456"))
	indexSome(t, b, 100)
	wantClean(t, b)
	told := 0
	b.Follow(func(storage.Tx, *Record) error { told++; return nil })
	appendEvent(t, b, revision("team/app", dig("y"), "0123457"))
	indexSome(t, b, 100)
	if told > 0 {
		t.Fatal("the follower was told of a record before those that came before it")
	}
	if err := b.Fill(background); err != nil || told == 0 {
		t.Fatal(told, err)
	}
	if got, behind := like(t, b, "012345", 5, anywhere); len(got) != 2 || behind != 0 {
		t.Errorf("%q are found, %d are behind", got, behind)
	}
	wantClean(t, b)
}

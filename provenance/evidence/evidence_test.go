package evidence_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// errAbsent is the error of what a house does not have.
var errAbsent = errors.New("absent")

// house is a repository with its records: the records are real, and the content is in memory.
type house struct {
	t    *testing.T
	book *provenance.Book
	db   storage.Store
	tags map[string]digest.Digest
	all  map[digest.Digest][]byte
	refs map[digest.Digest][]ocispec.Descriptor
	set  map[string]*uint64 // the records that set the tags
}

const (
	registryURL = "https://registry.example"
	repository  = "team/app"
	manifestMT  = ocispec.MediaTypeImageManifest
)

func newHouse(t *testing.T) *house {
	t.Helper()
	store := engines.New(t)
	book, err := provenance.NewBook(store, registryURL)
	fatal(t, err)
	keys, err := provenance.GenerateKeys()
	fatal(t, err)
	fatal(t, book.Begin(t.Context(), keys))
	return &house{t, book, store, map[string]digest.Digest{}, map[digest.Digest][]byte{}, map[digest.Digest][]ocispec.Descriptor{}, map[string]*uint64{}}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) Absent(err error) bool { return errors.Is(err, errAbsent) }

func (h *house) Manifest(_ context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	d := digest.Digest(ref)
	if named, ok := h.tags[ref]; ok {
		d = named
	}
	body, ok := h.all[d]
	if !ok {
		return ocispec.Descriptor{}, nil, errAbsent
	}
	var m struct{ MediaType string }
	err := json.Unmarshal(body, &m)
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(body))}, body, err
}

func (h *house) Referrers(_ context.Context, d digest.Digest, _ int) ([]ocispec.Descriptor, error) {
	return h.refs[d], nil
}

func (h *house) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	body, ok := h.all[d]
	if !ok {
		return nil, 0, errAbsent
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

// put keeps content.
func (h *house) put(mediaType string, body []byte) ocispec.Descriptor {
	d := digest.FromBytes(body)
	h.all[d] = body
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
}

func (h *house) json(mediaType string, v any) ocispec.Descriptor {
	h.t.Helper()
	body, err := json.Marshal(v)
	fatal(h.t, err)
	return h.put(mediaType, body)
}

// record appends a record.
func (h *house) record(e provenance.Event) {
	h.t.Helper()
	e.Who = provenance.Identity{Actor: provenance.Actor{Kind: provenance.User, Handle: "alice", Account: "a1"}}
	fatal(h.t, h.db.Update(h.t.Context(), func(tx storage.Tx) error { _, err := h.book.Append(tx, e); return err }))
}

// image is a manifest of one layer.
func (h *house) image(layer string) ocispec.Descriptor {
	h.t.Helper()
	return h.json(manifestMT, map[string]any{
		"schemaVersion": 2, "mediaType": manifestMT, "config": h.put(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux"}`)),
		"layers": []any{h.put(ocispec.MediaTypeImageLayer, []byte(layer))},
	})
}

// push puts an image under a tag.
func (h *house) push(tag string, image ocispec.Descriptor) {
	h.t.Helper()
	move := provenance.TagMove{Name: tag, Previous: h.tags[tag], Now: image.Digest}
	move.Since = h.set[tag]
	n, err := h.book.Count(h.t.Context())
	fatal(h.t, err)
	h.record(provenance.Event{
		Action: provenance.Push, Repository: repository, Digest: image.Digest, Manifest: provenance.ManifestAdded, Tags: []provenance.TagMove{move},
		Observed: provenance.Observation{MediaType: image.MediaType, Size: image.Size},
		Claimed:  []provenance.Claim{{Fact: provenance.FactSource, Value: "https://git.example/app", About: image.Digest, From: "label"}},
	})
	h.tags[tag], h.set[tag] = image.Digest, &n
}

// attach puts a manifest whose subject is another.
func (h *house) attach(subject ocispec.Descriptor, content string) ocispec.Descriptor {
	h.t.Helper()
	d := h.json(manifestMT, map[string]any{
		"schemaVersion": 2, "mediaType": manifestMT, "artifactType": "application/sbom", "config": h.put(ocispec.MediaTypeEmptyJSON, []byte("{}")),
		"layers": []any{h.put("application/sbom", []byte(content))}, "subject": subject,
	})
	h.refs[subject.Digest] = append(h.refs[subject.Digest], ocispec.Descriptor{MediaType: manifestMT, ArtifactType: "application/sbom", Digest: d.Digest, Size: d.Size})
	h.record(provenance.Event{Action: provenance.Push, Repository: repository, Digest: d.Digest, Manifest: provenance.ManifestAdded, Observed: provenance.Observation{Subject: subject.Digest}})
	return d
}

// order is for a file about what a tag or digest names.
func (h *house) order(ref string) evidence.Order {
	return evidence.Order{
		Registry: registryURL, Repository: repository, Reference: ref, Book: h.book, Content: h, Rights: func(*provenance.Query) {},
		Report: []byte(`{"grade":"B"}`), Image: []byte(`{}`), Made: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC), Program: "hallmark test",
	}
}

// file makes a file.
func (h *house) file(o evidence.Order) []byte {
	h.t.Helper()
	draft, err := evidence.Prepare(h.t.Context(), o)
	fatal(h.t, err)
	var b bytes.Buffer
	fatal(h.t, draft.Write(h.t.Context(), &b))
	return b.Bytes()
}

// trust is what somebody keeps of the registry now.
func (h *house) trust() (kept receipt.Trust) {
	h.t.Helper()
	var err error
	kept.Logs, err = h.book.LogEntries(h.t.Context())
	fatal(h.t, err)
	kept.Keys, err = h.book.KeyEntries(h.t.Context())
	fatal(h.t, err)
	return kept
}

// verify opens a file and checks it.
func verify(file []byte, trust receipt.Trust) (*evidence.Proof, error) {
	f, err := evidence.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	return f.Verify(trust)
}

// lived is a house in which a tag moved twice, an artifact was attached, and a key was rotated.
func lived(t *testing.T) (h *house, kept receipt.Trust) {
	t.Helper()
	h = newHouse(t)
	kept = h.trust()
	h.push("1.0", h.image("one"))
	next, err := provenance.GenerateKeys()
	fatal(t, err)
	_, err = h.book.Rotate(t.Context(), provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "operator"}}, next.Receipts[0])
	fatal(t, err)
	two := h.image("two")
	h.push("1.0", two)
	h.attach(two, "what is in it")
	h.push("other", h.image("three"))
	return h, kept
}

// TestRoundTrip makes a file and checks it, by what was kept before the key was rotated, and by nothing but itself.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	for name, c := range map[string]struct {
		ref    string
		layers bool
		trust  receipt.Trust
		own    bool
		moves  int
	}{
		"by a tag":           {"1.0", false, kept, false, 2},
		"with layers":        {"1.0", true, kept, false, 2},
		"by a digest":        {h.tags["1.0"].String(), false, h.trust(), false, 0},
		"by its own keys":    {"1.0", false, receipt.Trust{}, true, 2},
		"by the keys of now": {"1.0", false, h.trust(), false, 2},
	} {
		o := h.order(c.ref)
		o.Layers = c.layers
		file := h.file(o)
		if again := h.file(o); !bytes.Equal(file, again) {
			t.Errorf("%s: the same order gives another file", name)
		}
		v, err := verify(file, c.trust)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		moves := 0
		if v.Chain != nil {
			moves = v.Chain.Moves
		}
		var about []string
		for _, p := range v.Records {
			about = append(about, fmt.Sprint(p.Index, p.About))
		}
		want := []string{"1keys", "2image", "3part"}
		if c.ref == "1.0" {
			want = append([]string{"0tag"}, want...)
		}
		if !slices.Equal(about, want) || v.Own != c.own || moves != c.moves || len(v.Logs) != 1 || v.Registry != registryURL {
			t.Errorf("%s: %v, %+v", name, about, v)
		}
		if by := v.Keys[len(v.Keys)-1].By; (by != nil) != (name != "by its own keys" && !strings.Contains(name, "now") && !strings.Contains(name, "digest")) {
			t.Errorf("%s: the newer key is known by %v", name, by)
		}
	}
}

// TestSays is the one sentence, and those about what is not proved.
func TestSays(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	v, err := verify(h.file(h.order("1.0")), kept)
	fatal(t, err)
	want := "https://registry.example signed 3 records about team/app:1.0@" + h.tags["1.0"].String() + ", and cannot take them back: they are in the log " +
		v.Logs[0].Origin + " of 5 leaves; by record 2 alice (account a1) did push there, " + v.Records[2].Record.Time.String() +
		"; record 2 set the tag 1.0 to it; by the logs and receipt keys that you gave."
	if got := v.Proves(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	not := strings.Join(v.NotProved(), "\n")
	for _, says := range []string{"what records say is true", "as of record 4", "What holds now", "no witness was demanded"} {
		if !strings.Contains(not, says) {
			t.Errorf("it does not say %q:\n%s", says, not)
		}
	}
	v, err = verify(h.file(h.order("1.0")), receipt.Trust{})
	fatal(t, err)
	if !strings.Contains(v.Proves(), "by the keys in the file alone") || !strings.Contains(v.NotProved()[0], "--trusted-root") {
		t.Errorf("%s %s", v.Proves(), v.NotProved())
	}
}

// TestTwoLogs has records of one image in a log that was closed, and in the one after it: both prove them, and it is said that the
// first was closed, why, and what that leaves open.
func TestTwoLogs(t *testing.T) {
	t.Parallel()
	for how, c := range map[provenance.Ending]string{
		{Action: provenance.KeyChange, Reason: "stolen"}: "closed it at 1 leaf because its keys were stolen",
		{Action: provenance.Restore, Reason: "restored"}: "a backup was restored",
	} {
		h := newHouse(t)
		one := h.image("one")
		h.push("1.0", one)
		keys, err := provenance.GenerateKeys()
		fatal(t, err)
		_, err = h.book.Succeed(t.Context(), provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "operator"}}, keys, how)
		fatal(t, err)
		h.attach(one, "what is in it")
		h.push("1.0", h.image("two"))
		h.push("1.0", one)
		v, err := verify(h.file(h.order("1.0")), h.trust())
		if err != nil {
			t.Errorf("%s: %v", how.Reason, err)
			continue
		}
		if len(v.Logs) != 2 || v.Logs[0].Closed != how.Reason || v.Logs[1].Closed != "" || v.Chain == nil || v.Chain.Moves != 3 {
			t.Errorf("%s: %+v, %+v", how.Reason, v.Logs, v.Chain)
		}
		want := fmt.Sprintf("they are in the log %s of 1 leaf, which the registry closed (%s) and the log %s of ", v.Logs[0].Origin, how.Reason, v.Logs[1].Origin)
		if says := v.Proves(); !strings.Contains(says, want) {
			t.Errorf("%s: %s\nwant %s", how.Reason, says, want)
		}
		if not := strings.Join(v.NotProved(), "\n"); strings.Count(not, c) != 1 || !strings.Contains(not, v.Logs[0].Origin) {
			t.Errorf("%s: it does not say %q once:\n%s", how.Reason, c, not)
		}
	}
}

// TestCanonical has archive/tar read a file, and write the same bytes.
func TestCanonical(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	file := h.file(h.order("1.0"))
	var again bytes.Buffer
	w := tar.NewWriter(&again)
	eachFile(t, file, func(head *tar.Header, content []byte) {
		fatal(t, w.WriteHeader(&tar.Header{Name: head.Name, Size: head.Size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
		_, err := w.Write(content)
		fatal(t, err)
	})
	fatal(t, w.Close())
	if !bytes.Equal(again.Bytes(), file) {
		t.Error("archive/tar writes it otherwise")
	}
	if _, err := verify(again.Bytes(), kept); err != nil {
		t.Error(err)
	}
}

func eachFile(t *testing.T, file []byte, each func(*tar.Header, []byte)) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(file)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		fatal(t, err)
		content, err := io.ReadAll(r)
		fatal(t, err)
		each(head, content)
	}
}

// TestEveryByte flips every byte of a file: each is refused before any signature is looked at.
func TestEveryByte(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	t.Parallel()
	h := newHouse(t)
	h.push("1", h.image("one"))
	o := h.order("1")
	o.Documents = []evidence.DocumentFile{{Name: evidence.Policy, Content: []byte("rules: []\n")}}
	file := h.file(o)
	if len(file) > 100<<10 {
		t.Fatalf("the file has %d bytes, and each is tried", len(file))
	}
	var workers sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for worker := range n {
		workers.Go(func() {
			file := bytes.Clone(file)
			for i := worker; i < len(file); i += n {
				file[i] ^= 1 << (i % 8)
				if _, err := evidence.Open(bytes.NewReader(file), int64(len(file))); !errors.Is(err, evidence.ErrRefused) {
					t.Errorf("byte %d of %d is flipped: %v", i, len(file), err)
				}
				file[i] ^= 1 << (i % 8)
			}
		})
	}
	workers.Wait()
	if _, err := verify(file, h.trust()); err != nil {
		t.Error(err)
	}
}

// TestEveryBlock flips a byte in each 4 KiB of a file with layers.
func TestEveryBlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.push("1", h.image(strings.Repeat("layer ", 100_000)))
	o := h.order("1")
	o.Layers = true
	file := h.file(o)
	for i := 1000; i < len(file); i += 4 << 10 {
		file[i] ^= 0x80
		if _, err := evidence.Open(bytes.NewReader(file), int64(len(file))); !errors.Is(err, evidence.ErrRefused) {
			t.Fatalf("byte %d of %d is flipped: %v", i, len(file), err)
		}
		file[i] ^= 0x80
	}
}

// TestTenYears opens a file when everybody has forgotten it.
func TestTenYears(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	file := h.file(h.order("1.0"))
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2036, 12, 1, 0, 0, 0, 0, time.UTC)))
		if v, err := verify(file, kept); err != nil || v.Own {
			t.Errorf("in %d: %v", time.Now().Year(), err)
		}
	})
}

// TestIndex has an image of two platforms, one of which the registry does not have, with a signature by tag and a statement
// attached to a platform.
func TestIndex(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	here := h.image("amd64")
	gone := ocispec.Descriptor{MediaType: manifestMT, Digest: digest.FromString("gone"), Size: 4}
	statement := h.json(manifestMT, map[string]any{
		"schemaVersion": 2, "mediaType": manifestMT, "config": h.put(ocispec.MediaTypeImageConfig, []byte(`{}`)),
		"layers": []any{h.put("application/vnd.in-toto+json", []byte(`{"_type":"x"}`))},
	})
	index := h.json(ocispec.MediaTypeImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": []any{here, gone, statement},
	})
	h.push("1", index)
	signature := h.image("signature")
	h.push(strings.Replace(here.Digest.String(), ":", "-", 1)+".sig", signature)
	h.attach(here, "what is in it")
	file := h.file(h.order("1"))
	v, err := verify(file, h.trust())
	fatal(t, err)
	if len(v.Records) != 3 || len(v.Cover.LeftOut) != 2 || !strings.Contains(v.Cover.LeftOut[0].What, gone.Digest.String()) {
		t.Errorf("%+v", v)
	}
	names := ""
	eachFile(t, file, func(head *tar.Header, content []byte) {
		names += head.Name + "\n"
		if head.Name == "index.json" {
			names += string(content)
		}
	})
	for _, want := range []string{here.Digest.Encoded(), statement.Digest.Encoded(), digest.FromString(`{"_type":"x"}`).Encoded(), digest.FromString("signature").Encoded(), ".sig"} {
		if !strings.Contains(names, want) {
			t.Errorf("there is no %s in\n%s", want, names)
		}
	}
	if strings.Contains(names, digest.FromString("amd64").Encoded()) {
		t.Error("a layer is in it")
	}
}

// TestReferrerIndex wants a file to open where what is attached is an index: what that lists is not in it, and said to be left out.
func TestReferrerIndex(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	image := h.image("one")
	h.push("1", image)
	inside := h.attach(image, "what is in it")
	other := h.image("another")
	index := h.json(ocispec.MediaTypeImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "artifactType": "application/list", "manifests": []any{other, inside}, "subject": image,
	})
	h.refs[image.Digest] = append([]ocispec.Descriptor{index}, h.refs[image.Digest]...)
	v, err := verify(h.file(h.order("1")), h.trust())
	fatal(t, err)
	if left := v.Cover.LeftOut; len(left) != 2 || !strings.Contains(left[0].What, other.Digest.String()) {
		t.Errorf("left out: %+v", left)
	}
}

// TestManyManifests wants a file to open where an image lists more than a file holds: each one beyond is said to be left out.
func TestManyManifests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var list []any
	for i := range 1002 {
		list = append(list, h.json(manifestMT, map[string]any{"schemaVersion": 2, "mediaType": manifestMT, "annotations": map[string]string{"n": fmt.Sprint(i)}}))
	}
	index := h.json(ocispec.MediaTypeImageIndex, map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": list})
	h.push("1", index)
	h.attach(index, "what is in it")
	v, err := verify(h.file(h.order("1")), h.trust())
	fatal(t, err)
	if left := v.Cover.LeftOut; len(left) != 5 || !strings.Contains(left[3].Why, "1000 manifests") {
		t.Errorf("left out: %+v", left)
	}
}

// crowded is a book in which one manifest has more records than a file holds.
type crowded struct {
	*provenance.Book
	by digest.Digest
}

func (c crowded) Find(ctx context.Context, q provenance.Query) (page provenance.Page, err error) {
	if q.Digest != c.by {
		return c.Book.Find(ctx, q)
	}
	for i := range uint64(10_000) {
		page.Records = append(page.Records, &provenance.Record{Index: 100 + i})
	}
	return page, nil
}

func (c crowded) Prover(ctx context.Context, _ uint64) (*provenance.Prover, error) {
	return c.Book.Prover(ctx, 0)
}

// TestCrowded wants the records of the image and of its tag in a file, however many there are of what is attached to it.
func TestCrowded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.push("1", h.image("before"))
	image := h.image("one")
	h.push("1", image)
	o := h.order("1")
	o.Book = crowded{h.book, h.attach(image, "what is in it").Digest}
	for range 10 {
		draft, err := evidence.Prepare(t.Context(), o)
		fatal(t, err)
		c := draft.Cover()
		if len(c.Records) != 10_000 || !slices.Equal(c.Records[:2], []uint64{0, 1}) || !strings.Contains(c.LeftOut[0].What, "records") {
			t.Fatalf("%d records from %d on, without %+v", len(c.Records), c.Records[0], c.LeftOut)
		}
	}
}

// TestLongName has a blob whose name does not fit into a header.
func TestLongName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	layer := digest.SHA512.FromString("one")
	h.all[layer] = []byte("one")
	image := h.json(manifestMT, map[string]any{
		"schemaVersion": 2, "mediaType": manifestMT, "layers": []any{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: 3}},
	})
	h.push("1", image)
	o := h.order("1")
	o.Layers = true
	file := h.file(o)
	if _, err := verify(file, h.trust()); err != nil {
		t.Error(err)
	}
	found := false
	eachFile(t, file, func(head *tar.Header, content []byte) {
		found = found || head.Name == "blobs/sha512/"+layer.Encoded() && string(content) == "one"
	})
	if !found {
		t.Error("archive/tar does not find the layer")
	}
}

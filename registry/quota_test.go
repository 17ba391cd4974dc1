package registry

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

func pattern(t testing.TB, text string) access.Pattern {
	t.Helper()
	p, err := access.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *server) setQuota(p string, bytes, soft, tags int64) {
	s.t.Helper()
	if _, err := s.SetQuota(background, access.Operator, Quota{Pattern: pattern(s.t, p), Bytes: bytes, Soft: soft, Tags: tags}); err != nil {
		s.t.Fatal(err)
	}
}

// quota is what is used of the quota of a pattern.
func (s *server) quota(p string) QuotaUse {
	s.t.Helper()
	all, err := s.Quotas(background)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, q := range all {
		if q.Pattern == pattern(s.t, p) {
			return q
		}
	}
	s.t.Fatalf("there is no quota of %s", p)
	return QuotaUse{}
}

// wantFull wants an answer to say which quota is full, what is used, and who can change it.
func (s *server) wantFull(got answer, says ...string) {
	s.t.Helper()
	s.want(got, 403, "DENIED")
	if message := got.message(); len(message) >= 200 {
		s.t.Errorf("the message has %d bytes", len(message))
	}
	for _, part := range append(says, "hallmark quota set") {
		if !strings.Contains(got.body, part) {
			s.t.Errorf("%s\ndoes not say %q", got.body, part)
		}
	}
}

func (a answer) message() string {
	_, message, _ := strings.Cut(a.body, `"message":"`)
	return strings.TrimSuffix(strings.TrimSpace(message), `"}]}`)
}

// tryBlob sends a blob in one request.
func (s *server) tryBlob(repo, content string) answer {
	s.t.Helper()
	return s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromString(content).String(), strings.NewReader(content), header("Content-Type", "application/octet-stream"))
}

// TestQuota wants each way to use more to be refused where a quota has no room, and what adds nothing, or takes something away,
// never to be.
func TestQuota(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	one := s.pushImage("team/app", "1", "one")
	elsewhere := s.pushBlob("lib/base", strings.Repeat("x", 500))
	used := s.used("team/app").Bytes()
	s.setQuota("team/*", used+400, 0, 2)
	s.setQuota("**", 1<<40, 0, 0)
	if q := s.quota("team/*"); q.UsedBytes != used || q.UsedTags != 1 || q.Counting {
		t.Errorf("%+v", q)
	}

	s.wantFull(s.tryBlob("team/app", strings.Repeat("y", 401)), "team/*", "needs 401 B more")
	s.wantFull(s.do("POST", "/v2/team/web/blobs/uploads/?from=lib/base&mount="+elsewhere.Digest.String(), nil), "team/*", "needs 500 B more")
	s.pushBlob("team/web", strings.Repeat("z", 300))
	s.wantFull(s.putManifest("team/app", "2", imageManifest(s.pushBlob("team/app", configOf("one")))), "team/*") // it has more than the 100 bytes that are left
	s.want(s.do("GET", "/v2/team/app/manifests/2", nil), 404, "MANIFEST_UNKNOWN")
	s.pushManifest("team/app", "2", one.body)
	s.wantFull(s.putManifest("team/app", "3", one.body), "2 of 2 tags", "needs 1 more")
	s.pushImage("team/app", "1", "one") // again
	s.pushImage("elsewhere", "1", strings.Repeat("elsewhere", 100))

	s.setQuota("team/*", 10, 0, 1)                            // under what is used
	s.want(s.putManifest("team/app", "1", one.body), 201, "") // as of a client that asked for its blobs
	s.wantFull(s.tryBlob("team/app", "y"))
	s.want(s.do("DELETE", "/v2/team/app/manifests/2", nil), 202, "")
	s.want(s.do("DELETE", "/v2/team/app/manifests/"+one.digest.String(), nil), 202, "")
	s.later(2 * time.Hour)
	if err := s.collect(background); err != nil {
		t.Fatal(err)
	}
	if q := s.quota("team/*"); q.UsedBytes != 0 || q.UsedTags != 0 {
		t.Errorf("after everything was deleted: %+v", q)
	}
	s.want(s.tryBlob("team/app", "y"), 201, "")
	if err := s.RemoveQuota(background, access.Operator, pattern(t, "team/*")); err != nil {
		t.Fatal(err)
	}
	s.pushImage("team/app", "1", strings.Repeat("one", 100))
	s.wantClean()
}

// TestEveryQuotaHolds wants the narrower and the wider quota to hold, whichever has less room.
func TestEveryQuotaHolds(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.setQuota("team/**", 1000, 0, 0)
	s.setQuota("team/app", 100, 0, 0)
	s.wantFull(s.tryBlob("team/app", strings.Repeat("x", 101)), "quota of team/app")
	s.pushBlob("team/app", strings.Repeat("x", 100))
	s.pushBlob("team/web", strings.Repeat("x", 850)) // another link of other bytes
	s.wantFull(s.tryBlob("team/new/one", strings.Repeat("x", 51)), "quota of team/**")
	if err := s.RemoveQuota(background, access.Operator, pattern(t, "team/app")); err != nil {
		t.Fatal(err)
	}
	s.wantFull(s.tryBlob("team/app", strings.Repeat("z", 51)), "quota of team/**")
	s.want(s.tryBlob("team/app", strings.Repeat("z", 50)), 201, "")
	s.wantClean()
}

// TestSoftLimit warns those who push above it, and refuses nothing.
func TestSoftLimit(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1", "one")
	s.setQuota("app", 0, s.used("app").Bytes(), 0)
	if got := s.want(s.putManifest("app", "1", one.body), 201, ""); got.header.Get("Warning") != "" {
		t.Errorf("below it: %s", got.header.Get("Warning"))
	}
	s.pushBlob("app", "more")
	if got := s.want(s.putManifest("app", "2", one.body), 201, ""); !strings.Contains(got.header.Get("Warning"), "app uses 475 B, which is above the soft limit") {
		t.Errorf("above it: %q, %+v", got.header.Get("Warning"), s.used("app"))
	}
}

// TestChangingQuotas wants each change on record, and none that is wrong or for nothing.
func TestChangingQuotas(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for name, q := range map[string]Quota{
		"no pattern":     {Bytes: 1},
		"no limit":       {Pattern: access.Everything},
		"negative":       {Pattern: access.Everything, Bytes: -1, Tags: 5},
		"too large":      {Pattern: access.Everything, Tags: 1<<60 + 1},
		"soft is no use": {Pattern: access.Everything, Bytes: 5, Soft: 5},
	} {
		if _, err := s.SetQuota(background, access.Operator, q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := s.RemoveQuota(background, access.Operator, access.Everything); err == nil {
		t.Error("one that is not there was removed")
	}
	records := func() int {
		page, err := s.book.Find(background, provenance.Query{Action: provenance.Rules})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Records)
	}
	for i, want := range []int{1, 1, 2, 3} {
		switch i {
		case 0, 1:
			s.setQuota("**", 10, 0, 0)
		case 2:
			s.setQuota("**", 20, 5, 0)
		case 3:
			if err := s.RemoveQuota(background, access.Operator, access.Everything); err != nil {
				t.Fatal(err)
			}
		}
		if got := records(); got != want {
			t.Errorf("after change %d there are %d records, want %d", i, got, want)
		}
		s.wantClean()
	}
	s = s.restart()
	s.setQuota("a", 10, 0, 0)
	s = s.restart()
	s.wantFull(s.tryBlob("a", "eleven bytes"))
	s.wantClean()
}

// TestCountingQuota counts a quota of many repositories while they change, and after a restart that stopped it.
func TestCountingQuota(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("base", "content")
	name := func(i int) string { return fmt.Sprintf("team/r%04d", i) }
	err := s.store.Update(background, func(tx storage.Tx) error {
		for i := range 3 * quotaStep {
			if _, err := s.putLink(tx, name(i), blob.Digest, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	team := pattern(t, "team/**")
	begin := func() {
		err := s.changeQuotas(background, access.Operator, func(tx storage.Tx, all *quotas) error {
			all.Quotas = append(all.Quotas, Quota{Pattern: team, Bytes: 1})
			tx.Put(quotaUseTable, []byte(team.String()), quotaRow{}.encode())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	step := func() {
		err := s.store.Update(background, func(tx storage.Tx) error { _, err := s.countSome(tx, team); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	begin()
	step()
	if q := s.quota("team/**"); !q.Counting || q.UsedBytes != quotaStep*blob.Size {
		t.Errorf("after a step: %+v", q)
	}
	s.want(s.tryBlob(name(3), "before the count"), 201, "") // which refuses nothing yet
	s.want(s.tryBlob(name(2*quotaStep), "behind the count"), 201, "")
	s.want(s.tryBlob("team/r0003a", "a new one"), 201, "")
	s.want(s.do("DELETE", "/v2/"+name(4)+"/blobs/"+blob.Digest.String(), nil), 202, "")
	s = s.restart()
	if err := s.countAgain(background); err != nil {
		t.Fatal(err)
	}
	want := (3*quotaStep-1)*blob.Size + int64(len("before the count")+len("behind the count")+len("a new one"))
	if q := s.quota("team/**"); q.Counting || q.UsedBytes != want {
		t.Errorf("%+v, want %d", q, want)
	}
	s.wantFull(s.tryBlob(name(5), "more"))
	s.wantClean()
}

// TestQuotaIsChecked wants fsck to find what is wrong about quotas.
func TestQuotaIsChecked(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "1", "one")
	s.setQuota("app", 1000, 0, 5)
	for name, edit := range map[string]func(tx storage.Tx){
		"less used": func(tx storage.Tx) {
			tx.Put(quotaUseTable, []byte("app"), quotaRow{counted: true, bytes: 1, tags: 1}.encode())
		},
		"no quota":  func(tx storage.Tx) { tx.Put(quotaUseTable, []byte("web"), quotaRow{counted: true}.encode()) },
		"taken out": func(tx storage.Tx) { tx.Delete(quotaTable, quotasKey) },
		"changed": func(tx storage.Tx) {
			tx.Put(quotaTable, quotasKey, []byte(`{"version":1,"quotas":[{"pattern":"app","bytes":9000}]}`))
		},
		"unreadable":  func(tx storage.Tx) { tx.Put(quotaTable, quotasKey, []byte(`{`)) },
		"its version": func(tx storage.Tx) { tx.Delete(quotaTable, quotasVersionKey) },
	} {
		var rows []storage.Item
		all := func(tx storage.Reader, fn func(storage.Table, storage.Item)) {
			for _, table := range []storage.Table{quotaTable, quotaUseTable} {
				for item := range tx.Scan(table, nil, nil) {
					fn(table, item)
				}
			}
		}
		err := s.store.Update(background, func(tx storage.Tx) error {
			rows = nil
			all(tx, func(table storage.Table, item storage.Item) {
				rows = append(rows, storage.Item{Key: []byte(string(table) + "\x00" + string(item.Key)), Value: bytes.Clone(item.Value)})
			})
			edit(tx)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		if _, err := s.Check(background, false, func(error) { found++ }); err != nil || found == 0 {
			t.Errorf("%s: found %d, %v", name, found, err)
		}
		err = s.store.Update(background, func(tx storage.Tx) error {
			all(tx, func(table storage.Table, item storage.Item) { tx.Delete(table, item.Key) })
			for _, row := range rows {
				table, key, _ := bytes.Cut(row.Key, []byte{0})
				tx.Put(storage.Table(table), key, row.Value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.wantClean()
}

// TestQuotaEdge has 64 clients push at once into what has room for fewer. They never exceed it, and none is refused while there
// is room.
func TestQuotaEdge(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	const size, fits = 1000, 20
	s.setQuota("team/**", size*fits+size/2, 0, 0)
	var pushed, refused atomic.Int64
	var all sync.WaitGroup
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			if q := s.quota("team/**"); q.UsedBytes > q.Bytes {
				t.Errorf("%d bytes are used of %d", q.UsedBytes, q.Bytes)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 64 {
		all.Go(func() {
			repo := fmt.Sprint("team/app", i%3)
			for range 10 {
				got := s.tryBlob(repo, fmt.Sprintf("%-1000d", i))
				switch got.status {
				case 201:
					pushed.Add(1)
					return
				case 403:
				default:
					t.Errorf("status %d: %s", got.status, got.body)
				}
			}
			refused.Add(1)
		})
	}
	all.Wait()
	close(done)
	watch.Wait()
	if pushed.Load() > fits || pushed.Load()+refused.Load() != 64 {
		t.Errorf("%d were pushed, %d refused, and %d fit", pushed.Load(), refused.Load(), fits)
	}
	for i := 100; s.quota("team/**").UsedBytes <= size*fits-size; i++ { // those that others' reservations kept out
		s.want(s.tryBlob("team/app", fmt.Sprintf("%-1000d", i)), 201, "")
	}
	s.wantFull(s.tryBlob("team/app", fmt.Sprintf("%-1000d", -1)))
	if q := s.quota("team/**"); q.UsedBytes != size*fits || q.ReservedBytes != 0 {
		t.Errorf("%+v", q)
	}
	s.wantClean()
}

// TestQuotaEdgeOfTags has 64 clients push a manifest by a tag of their own at once, where a quota has room for 20 tags: as many as fit get through, and no
// others. Then the quota is lowered under what is used: nothing goes, what is there can be pushed again, and from the trash nothing comes back before there
// is room.
func TestQuotaEdgeOfTags(t *testing.T) {
	s := startTrash(t)
	const fits = 20
	one := s.pushImage("lib/base", "1", "one")
	for i := range 3 {
		s.pushManifest(fmt.Sprint("team/app", i), "", s.copyOf(fmt.Sprint("team/app", i), one))
	}
	s.setQuota("team/**", 0, 0, fits)
	var pushed, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			switch got := s.putManifest(fmt.Sprint("team/app", i%3), fmt.Sprint("t", i), one.body); got.status {
			case 201:
				pushed.Add(1)
			case 403:
				refused.Add(1)
			default:
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	if pushed.Load() != fits || refused.Load() != 64-fits || s.quota("team/**").UsedTags != fits {
		t.Errorf("%d were pushed, %d refused, and %d fit: %+v", pushed.Load(), refused.Load(), fits, s.quota("team/**"))
	}
	s.setQuota("team/**", 0, 0, 2)
	repo, tag := s.someTag("team/app0", "team/app1", "team/app2")
	s.want(s.putManifest(repo, tag, one.body), 201, "")
	s.wantFull(s.putManifest(repo, "new", one.body), "20 of 2 tags")
	s.delete(repo, one.digest.String())
	if _, err := s.undelete(repo, one.digest.String()); err == nil {
		t.Error("an image with its tags came back into a full quota")
	}
	s.setQuota("team/**", 0, 0, fits)
	s.wantBack(repo, one.digest.String(), 1)
	if q := s.quota("team/**"); q.UsedTags != fits {
		t.Errorf("%+v", q)
	}
	s.wantClean()
}

// copyOf pushes the blobs of an image into another repository, and returns its manifest.
func (s *server) copyOf(repo string, m image) string {
	s.t.Helper()
	s.pushBlob(repo, configOf("one"))
	s.pushBlob(repo, "layer one")
	return m.body
}

// someTag is a tag of one of some repositories.
func (s *server) someTag(repos ...string) (repo, tag string) {
	s.t.Helper()
	for _, repo = range repos {
		err := s.EachTag(background, repo, func(e TagEntry, _ string) error { tag = e.Name; return nil })
		if err != nil {
			s.t.Fatal(err)
		}
		if tag != "" {
			return repo, tag
		}
	}
	s.t.Fatal("there is no tag")
	return "", ""
}

// TestReservations refuses an upload that uploads under way leave no room for, before its bytes have come.
func TestReservations(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{UploadKeep: units.Duration(time.Hour)})
	s.setQuota("app", 1000, 0, 0)
	reserved := func(want int64) {
		t.Helper()
		if got := s.quota("app").ReservedBytes; got != want {
			t.Errorf("%d bytes are reserved, want %d", got, want)
		}
	}
	begin := func() string {
		t.Helper()
		return s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "").header.Get("Location")
	}
	first := begin()
	first = s.want(s.do("PATCH", first, strings.NewReader(strings.Repeat("a", 600)), header("Content-Type", "application/octet-stream")), 202, "").header.Get("Location")
	reserved(600)

	never := &neverRead{}
	r, err := http.NewRequest("POST", s.http.URL+"/v2/app/blobs/uploads/?digest="+digest.FromString("x").String(), never)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 401
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Expect", "100-continue")
	as("alice")(r)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 403 || never.read.Load() {
		t.Errorf("status %d, and its body was asked for: %t", response.StatusCode, never.read.Load())
	}
	reserved(600)

	second := begin()
	s.wantFull(s.do("PATCH", second, strings.NewReader(strings.Repeat("b", 401)), header("Content-Type", "application/octet-stream")), "600 B of 1.0 kB")
	s.want(s.do("GET", second, nil), 404, "BLOB_UPLOAD_UNKNOWN")
	reserved(600)
	s.want(s.do("DELETE", first, nil), 204, "")
	reserved(0)
	s.want(s.tryBlob("app", strings.Repeat("c", 1000)), 201, "")
	reserved(0)
	if n := s.Uploads(); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
	s.wantClean()
}

// TestQuotaLetsThroughWhatAddsNothing wants a full quota to take what the repository has already.
func TestQuotaLetsThroughWhatAddsNothing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour), UploadKeep: units.Duration(time.Hour)})
	one := s.pushImage("app", "1", "one")
	layer := strings.Repeat("layer", 100)
	there := s.pushBlob("app", layer)
	s.pushBlob("lib", layer)
	large := imageManifest(s.pushBlob("app", configOf("one")))
	large = strings.TrimSuffix(large, "}") + `,"annotations":{"a":"` + strings.Repeat("a", maxInline) + `"}}`
	s.pushManifest("app", "large", large)
	s.setQuota("app", 1, 0, 1)

	s.want(s.tryBlob("app", layer), 201, "")
	at := s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "").header.Get("Location")
	s.want(s.do("PUT", at+"&digest="+there.Digest.String(), strings.NewReader(layer), header("Content-Type", "application/octet-stream")), 201, "")
	s.want(s.do("POST", "/v2/app/blobs/uploads/?from=lib&mount="+there.Digest.String(), nil), 201, "")
	s.want(s.putManifest("app", "1", one.body), 201, "")
	s.want(s.putManifest("app", "large", large), 201, "")
	s.want(s.putManifest("app", one.digest.String(), one.body), 201, "")
	if q := s.quota("app"); q.ReservedBytes != 0 {
		t.Errorf("%+v", q)
	}

	// Other bytes under its digest are not what is there, and do not stay.
	s.wantFull(s.do("POST", "/v2/app/blobs/uploads/?digest="+there.Digest.String(), strings.NewReader(layer+"x"), header("Content-Type", "application/octet-stream")))
	s.want(s.do("POST", "/v2/app/blobs/uploads/?digest="+there.Digest.String(), strings.NewReader(strings.ToUpper(layer)), header("Content-Type", "application/octet-stream")), 400, "DIGEST_INVALID")
	if n := s.Uploads(); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
	s.wantClean()
}

// TestReservationOfWhatCame wants an upload whose body breaks off to reserve what has come, and nothing to follow from a length that
// cannot be.
func TestReservationOfWhatCame(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{UploadKeep: units.Duration(time.Hour)})
	s.setQuota("**", 1<<50, 0, 0)
	s.setQuota("app", 0, 1<<40, 10) // which bounds no upload
	at := s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "").header.Get("Location")
	s.breakOff("PATCH", at, 1<<48, strings.Repeat("a", 600))
	for s.quota("app").ReservedBytes != 600 {
		time.Sleep(time.Millisecond)
	}
	at = s.want(s.do("GET", at, nil), 204, "").header.Get("Location")
	s.want(s.do("DELETE", at, nil), 204, "")
	for range 3 {
		at := s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "").header.Get("Location")
		conn := s.sendSome("PATCH", at, math.MaxInt64, "b")
		got, err := http.ReadResponse(bufio.NewReader(conn), nil) // before the quota changes, by which it is refused
		if err = errors.Join(err, conn.Close()); err != nil || got.StatusCode != http.StatusForbidden {
			t.Error(got, err)
		}
	}
	for range 3 {
		s.setQuota("**", 0, 0, 10)
		at := s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "").header.Get("Location")
		s.breakOff("PATCH", at, math.MaxInt64, "b")
	}
	for s.quota("app").ReservedBytes != 3 {
		time.Sleep(time.Millisecond)
	}
	r := new(reservation)
	for range 1000 {
		if err := s.reserve(background, "app", new(reservation), "", math.MaxInt64); err != nil {
			t.Fatal(err)
		}
	}
	s.setQuota("**", 1<<60, 0, 0)
	if err := s.reserve(background, "app", r, "", math.MaxInt64); err == nil {
		t.Error("8 EiB fit into 1 EiB")
	}
}

// breakOff sends a part of a body, and goes away.
func (s *server) breakOff(method, at string, length int64, part string) {
	s.t.Helper()
	if err := s.sendSome(method, at, length, part).Close(); err != nil {
		s.t.Fatal(err)
	}
}

// sendSome sends a part of a body.
func (s *server) sendSome(method, at string, length int64, part string) net.Conn {
	s.t.Helper()
	u, err := url.Parse(s.http.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequest(method, at, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	as("alice")(r)
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n", method, r.URL.RequestURI(), u.Host, length)
	err = errors.Join(r.Header.Write(conn))
	fmt.Fprintf(conn, "\r\n%s", part)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// neverRead is a body that nobody should ask for.
type neverRead struct{ read atomic.Bool }

func (n *neverRead) Read([]byte) (int, error) {
	n.read.Store(true)
	return 0, io.EOF
}

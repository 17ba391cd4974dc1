package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestTypical holds what every stored statement needs to be read.
func TestTypical(t *testing.T) {
	const released = "b7ad3f1b01c6c199cbd74b5e033bb2abb41bb2d0f15b9190f07818852fc21715"
	sum := sha256.Sum256(typical)
	if got := hex.EncodeToString(sum[:]); got != released {
		t.Errorf("typical.txt has the SHA-256 %s: stored statements cannot be read with it", got)
	}
}

// TestPack packs the statements of an older version, as often as it is asked to, and changes no byte of what was
// signed.
func TestPack(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	const many = reindexStep + 3
	for range many {
		appendEvent(t, b, Event{Repository: "team/app", Digest: dig("x"), Tags: []TagMove{{Name: "1.0"}}})
	}
	var signed, plain, packed [][]byte
	view(t, b, func(tx storage.Reader) {
		for i := range uint64(many) {
			s, err := readStatement(tx, i)
			if err != nil {
				t.Fatal(err)
			}
			signed = append(signed, s)
		}
		packed = rowsOf(t, tx)
	})
	err := b.store.Update(background, func(tx storage.Tx) error {
		for i, s := range signed {
			tx.Put(recordTable, indexKey(uint64(i)), s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	view(t, b, func(tx storage.Reader) { plain = rowsOf(t, tx) })
	for range 2 {
		if err := Pack(background, b.store); err != nil {
			t.Fatal(err)
		}
		view(t, b, func(tx storage.Reader) {
			for i, row := range rowsOf(t, tx) {
				s, err := readStatement(tx, uint64(i))
				if err != nil || !bytes.Equal(s, signed[i]) || !bytes.Equal(row, packed[i][len(endedHead)+endedSize:]) || len(row) > len(plain[i])/2 {
					t.Fatalf("record %d has %d bytes in its row, and says %s, %v", i, len(row), s, err)
				}
			}
		})
	}
}

// TestUnpackBounds reads rows that a damaged disk could have made.
func TestUnpackBounds(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "team/app", Digest: dig("x")})
	large, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string][]byte{
		"empty":        {},
		"no frame":     []byte("abc"),
		"no statement": append([]byte(endedHead), make([]byte, endedSize)...),
		"half a frame": []byte(endedHead + "abc"),
		"cut":          {0x28, 0xb5, 0x2f, 0xfd, 0x63},
		"too large":    large.EncodeAll([]byte(strings.Repeat("x", MaxRecord+1)), nil),
		"much larger":  large.EncodeAll(make([]byte, 64<<20), nil),
	} {
		err := b.store.Update(background, func(tx storage.Tx) error {
			tx.Put(recordTable, indexKey(0), row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		view(t, b, func(tx storage.Reader) {
			if _, err := ReadRecord(tx, 0); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func view(t *testing.T, b *Book, fn func(storage.Reader)) {
	t.Helper()
	if err := b.store.View(background, func(tx storage.Reader) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t *testing.T, tx storage.Reader) (rows [][]byte) {
	t.Helper()
	for item, err := range tx.Scan(recordTable, nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, bytes.Clone(item.Value))
	}
	return rows
}

// TestUsualPushIsSmall wants the record of a usual push to stay small: each is read, sent and kept for ever. That of a job that
// states everything that GitHub puts into a token is longer as it is sent, and not as it is kept.
func TestUsualPushIsSmall(t *testing.T) {
	const most = 2200 // bytes of a statement
	const commit = "0123456789abcdef0123456789abcdef01234567"
	claims := map[string]string{
		"repository": "acme/shop", "repository_id": "123456789", "repository_owner": "acme", "repository_owner_id": "12345678", "sha": commit, "ref": "refs/heads/main",
		"ref_type": "branch", "ref_protected": "true", "event_name": "push", "run_id": "1234567890", "run_number": "100", "run_attempt": "1", "runner_environment": "github-hosted",
		"workflow_ref": "acme/shop/.github/workflows/build.yml@refs/heads/main", "job_workflow_ref": "acme/shop/.github/workflows/build.yml@refs/heads/main",
	}
	job := Identity{
		Actor: Actor{Kind: CI, Handle: "acme/shop", Account: "https://token.actions.githubusercontent.com repository_id=123456789"},
		Login: &Login{Method: "oidc", Issuer: "https://token.actions.githubusercontent.com", Identity: "repo:acme/shop:ref:refs/heads/main", Credential: "job-abcdefghijklmnopqrstuvwxyz", Claims: claims},
	}
	for name, who := range map[string]Identity{"a user": alice, "a job": job} {
		b, _ := testBook(t)
		r := appendEvent(t, b, Event{
			Repository: "team/shop", Digest: dig(name), Who: who, Manifest: ManifestAdded,
			Tags:     []TagMove{{Name: "1.4.2", Previous: dig("before")}},
			Observed: Observation{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1234, ImageSize: 123456789, RequestID: "abcdefghijklmnop"},
			Claimed: []Claim{
				{Fact: FactSource, Value: "https://github.com/acme/shop", From: "label org.opencontainers.image.source", About: dig(name)},
				{Fact: FactRevision, Value: commit, From: "label org.opencontainers.image.revision", About: dig(name)},
			},
		})
		if err := b.store.View(background, func(tx storage.Reader) error {
			payload, err := readStatement(tx, r.Index)
			kept, keptErr := tx.Get(recordTable, indexKey(r.Index))
			if len(kept) > most || len(payload) > most && who.Actor.Kind == User || len(payload) > most*11/10 {
				t.Errorf("the record of a push by %s has %d bytes, and %d where it is kept", name, len(payload), len(kept))
			}
			t.Logf("%s: %d bytes, %d where it is kept", name, len(payload), len(kept))
			return errors.Join(err, keptErr)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

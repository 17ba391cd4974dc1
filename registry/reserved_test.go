package registry

import (
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestReservedTags wants no tag to be set whose name is kept for what a tag meant, and one that is there to be of use.
func TestReservedTags(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "latest", "one")
	reserved := []string{
		"1.0--r41", "x--r0", "_--r18446744073709551616", "1.0--at-20261123T0900Z", "1.0--at-20261123T090000Z",
		"1.0--at-20261123T090000.123456Z", "1.0---r1", strings.Repeat("x", 120) + "--r12345",
	}
	for _, tag := range reserved {
		s.want(s.putManifest("app", tag, one.body), 400, "TAG_INVALID")
		s.want(s.putManifest("app", one.digest.String()+"?tag=good&tag="+tag, one.body), 400, "TAG_INVALID")
		s.want(s.do("GET", "/v2/app/manifests/"+tag, nil), 404, "MANIFEST_UNKNOWN")
	}
	s.want(s.do("GET", "/v2/app/manifests/good", nil), 404, "MANIFEST_UNKNOWN")
	for _, tag := range []string{
		"r41", "1.0-r41", "1.0--r041", "1.0--r", "1.0--R41", "1.0--r41x", "1.0--r41--", "1.0--at-20261123T0900", "1.0--at-20261123T09Z",
		"1.0--at-20261123T0900z", "1.0--at-2026-11-23", "at-20261123T0900Z", "1.0--at-20261123T0900.5Z",
	} {
		s.pushManifest("app", tag, one.body)
	}

	// One that was set before it was reserved.
	err := s.store.Update(background, func(tx storage.Tx) error {
		tx.Put(tagTable, repoKey("app", []byte("old--r1")), tagRow{record: 0, digest: one.digest}.encode())
		tx.Put(taggedTable, repoKey("app", digestKey(one.digest), []byte("old--r1")), nil)
		return s.countUsage(tx, "app", Usage{Tags: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.want(s.do("GET", "/v2/app/manifests/old--r1", nil), 200, ""); got.body != one.body {
		t.Errorf("it is %s", got.body)
	}
	s.want(s.putManifest("app", "old--r1", one.body), 400, "TAG_INVALID")
	s.want(s.do("DELETE", "/v2/app/manifests/old--r1", nil), 202, "")
	s.want(s.do("GET", "/v2/app/manifests/old--r1", nil), 404, "MANIFEST_UNKNOWN")
}

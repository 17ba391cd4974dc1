package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
)

// TestUploadsAreBounded begins uploads without end, by one account and by two. What ends makes room, however it ends.
func TestUploadsAreBounded(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{UploadKeep: units.Duration(time.Hour)})
	s.LimitUploads(UploadLimits{Uploads: 3, AccountUploads: 2})
	const begin = "/v2/app/blobs/uploads/"
	one := digest.FromString("one")
	s.pushBlob("app", "one")
	first, second := s.begin("app"), s.begin("app")
	refused := s.want(s.do("POST", begin, nil), 429, "TOOMANYREQUESTS")
	if refused.header.Get("Retry-After") == "" || !strings.Contains(refused.body, "your account has 2 uploads") {
		t.Errorf("%v %s", refused.header, refused.body)
	}
	s.want(s.do("POST", begin+"?digest="+one.String(), strings.NewReader("one")), 429, "TOOMANYREQUESTS")
	s.want(s.do("POST", begin+"?from=other&mount="+digest.FromString("two").String(), nil), 429, "TOOMANYREQUESTS")
	s.want(s.do("POST", begin+"?from=app&mount="+one.String(), nil), 201, "") // it needs no upload
	other := s.begin("app", as("bob"))
	if refused = s.want(s.do("POST", begin, nil, as("bob")), 429, "TOOMANYREQUESTS"); !strings.Contains(refused.body, "the registry has 3 uploads") {
		t.Error(refused.body)
	}
	if s.UploadsRefused() != 4 || s.Uploads() != 3 {
		t.Errorf("%d refused, %d there", s.UploadsRefused(), s.Uploads())
	}

	s.want(s.do("PUT", withDigest(first, one), strings.NewReader("one")), 201, "")
	first = s.begin("app")
	s.want(s.do("DELETE", second, nil), 204, "")
	second = s.begin("app")
	s.want(s.do("PUT", withDigest(second, one), strings.NewReader("two")), 400, "DIGEST_INVALID")
	s.begin("app") // the wrong one was removed
	s.want(s.do("POST", begin, nil), 429, "TOOMANYREQUESTS")

	s = s.restart()
	s.LimitUploads(UploadLimits{Uploads: 3, AccountUploads: 2})
	if _, err := s.sweepStrays(background); err != nil {
		t.Fatal(err)
	}
	if _, err := s.removeAbandoned(background); err != nil || s.Uploads() != 3 {
		t.Errorf("after a restart %d uploads, %v", s.Uploads(), err)
	}
	s.want(s.do("POST", begin, nil), 429, "TOOMANYREQUESTS")
	s.patch(first, "more") // what has begun may go on
	s.want(s.do("POST", begin, nil), 429, "TOOMANYREQUESTS")
	s.want(s.do("DELETE", other, nil, as("bob")), 204, "")
	s.begin("app")
	s.want(s.do("POST", begin, nil), 429, "TOOMANYREQUESTS")
	if _, err := s.removeAbandoned(background); err != nil {
		t.Fatal(err)
	}
	s.later(time.Hour)
	if n, err := s.removeAbandoned(background); n != 3 || err != nil || s.Uploads() != 0 {
		t.Errorf("removed %d, %v; %d are left", n, err, s.Uploads())
	}
	s.begin("app")
}

package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestDeletable asks what deletions would do, and wants them to do that: and those that name the tags that were seen to do nothing once an
// image has others.
func TestDeletable(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	s.pushImage("app", "latest", "one")
	look := func(d digest.Digest) Deletable {
		t.Helper()
		x, err := s.Deletable(background, "app", d)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := look(one.digest); !slices.Equal(x.Tags, []string{"1.0", "latest"}) || x.Refused != "" || x.TagsCut {
		t.Errorf("%+v", x)
	}
	path := "/v2/app/manifests/" + one.digest.String()
	for _, seen := range []string{"", "1.0", "1.0,latest,x", "latest"} {
		s.want(s.do("DELETE", path, nil, header("Hallmark-If-Tags", seen)), 412, "DENIED")
	}
	s.want(s.do("DELETE", path, nil, header("Hallmark-If-Tags", strings.Repeat("x,", 101))), 400, "TAG_INVALID")
	s.want(s.do("GET", path, nil), 200, "")
	s.want(s.do("DELETE", path, nil, header("Hallmark-If-Tags", "latest, 1.0,latest")), 202, "")
	two := s.pushImage("app", "2.0", "two")
	index := s.pushManifest("app", "index", indexOf(two, two))
	if x := look(two.digest); x.ListedBy != index.digest || !strings.Contains(x.Refused, "delete it first") {
		t.Errorf("%+v", x)
	}
	if x := look(index.digest); x.Lists != 2 || x.Refused != "" {
		t.Errorf("%+v", x)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+two.digest.String(), nil, header("Hallmark-If-Tags", "2.0")), 403, "DENIED")
	if _, err := s.Deletable(background, "app", one.digest); !errors.Is(err, ErrUnknown) {
		t.Errorf("an image that is not there: %v", err)
	}
}

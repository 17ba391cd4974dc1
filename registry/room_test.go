package registry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// rooms reads all pages, with n repositories in each.
func (s *server) rooms(p string, n int) map[string]Room {
	s.t.Helper()
	all := map[string]Room{}
	for after, pages := []byte(nil), 0; ; pages++ {
		rooms, next, err := s.Rooms(background, pattern(s.t, p), after, n)
		if err != nil || len(rooms) > n || pages > 1000 {
			s.t.Fatalf("%d rooms, %d pages, %v", len(rooms), pages, err)
		}
		for _, r := range rooms {
			was := all[r.Repository]
			r.Unique, r.Shared, r.Freed = r.Unique+was.Unique, r.Shared+was.Shared, r.Freed+was.Freed
			all[r.Repository] = r
		}
		if after = next; next == nil {
			return all
		}
	}
}

// TestRooms tells what is shared from what is not, and what a deletion would free.
func TestRooms(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := func(repo string, size int, c string) { s.pushBlob(repo, strings.Repeat(c, size)) }
	blob("lib/base", 1000, "a") // in all three
	blob("team/app", 1000, "a")
	blob("team/web", 1000, "a")
	blob("team/app", 200, "b") // in two of team
	blob("team/web", 200, "b")
	blob("team/web", 30, "c")
	one := s.pushManifest("team/web", "1", imageManifest(s.pushBlob("team/web", configOf("x"))))
	config, body := int64(len(configOf("x"))), int64(len(one.body))
	for _, n := range []int{1, 2, 50} {
		for p, want := range map[string]map[string][3]int64{
			"**": {
				"lib/base": {0, 1000, 1000},
				"team/app": {0, 1200, 200},
				"team/web": {30 + config + body, 1200, 30 + config + body},
			},
			"team/*": {
				"team/app": {0, 1200, 200},
				"team/web": {30 + config + body, 1200, 30 + config + body},
			},
			"team/app": {"team/app": {0, 1200, 0}},
			"*/web":    {"team/web": {30 + config + body, 1200, 30 + config + body}},
			"nothing":  {},
		} {
			got := s.rooms(p, n)
			if len(got) != len(want) {
				t.Errorf("%s, %d at once: %v", p, n, got)
			}
			for repo, w := range want {
				r := got[repo]
				if [3]int64{r.Unique, r.Shared, r.Freed} != w || r.Bytes() != r.Unique+r.Shared || r.Usage != s.used(repo) {
					t.Errorf("%s, %d at once: %s has %+v, want %v", p, n, repo, r, w)
				}
			}
		}
	}
}

// TestRoomsOfMany reads repositories of more blobs than one page looks at.
func TestRoomsOfMany(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	want := map[string]int64{}
	for i, n := range []int{3, roomLinks + 5, 10} {
		repo := fmt.Sprint("app", i)
		for j := range n {
			content := fmt.Sprint(repo, j)
			s.tryBlob(repo, content)
			want[repo] += int64(len(content))
		}
	}
	got := s.rooms("**", 50)
	for repo, bytes := range want {
		if r := got[repo]; r.Unique != bytes || r.Freed != bytes || r.Shared != 0 || r.Bytes() != bytes {
			t.Errorf("%s: %+v, want %d", repo, r, bytes)
		}
	}
}

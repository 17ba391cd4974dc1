package main

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keyFiles are the files beside the signing keys, by name.
func keyFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(filepath.Join(dir, keysDir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[entry.Name()] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestKeysAreRenewed changes keys in each way, and wants the files that are new then to be those that the table in
// docs/design/keys.md says, and no others to be there.
func TestKeysAreRenewed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	startServer(t, dir).kill()
	says := make(map[string][]string) // by file: what becomes of it, by each way
	for _, verb := range [][]string{{"key", "rotate"}, {"key", "rotate", "--lost"}, {"key", "rotate", "--stolen"}} {
		before := keyFiles(t, dir)
		if said, status := hallmarkOn(t, dir, verb...); status != 0 {
			t.Fatal(verb, said)
		}
		after := keyFiles(t, dir)
		if b, a := slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)); !slices.Equal(b, a) {
			t.Errorf("%q: the files were %q, and are %q", verb, b, a)
		}
		for name, content := range after {
			word := "kept"
			if content != before[name] {
				word = "new"
			}
			says[name] = append(says[name], word)
		}
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z.-]+)` \\| [^|]+ \\| ([a-z]+) \\| ([a-z]+) \\| ([a-z]+) \\|")
	table := make(map[string][]string)
	for _, found := range row.FindAllStringSubmatch(readDoc(t, "docs/design/keys.md"), -1) {
		table[found[1]] = found[2:]
	}
	if !maps.EqualFunc(says, table, slices.Equal) {
		t.Errorf("it is\n%v, and docs/design/keys.md says\n%v", says, table)
	}
}

// TestStolenBearerKey wants a token that was signed with a stolen key to end with it, also one that was used just now, while the
// server runs; and one that a rotation or a lost key has nothing to do with to stay.
func TestStolenBearerKey(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	token := s.bearer(t)
	for _, c := range []struct {
		reason string
		status int
	}{{"rotated", 200}, {"lost", 200}, {"stolen", 401}} {
		s.wantBearer(t, 200, token)
		if status, _, body := s.do("POST", "/api/v1/keys", "", `{"reason":"`+c.reason+`"}`, "Content-Type", "application/json"); status != 201 {
			t.Fatal(status, body)
		}
		s.wantBearer(t, c.status, token)
	}
	s.wantBearer(t, 200, s.bearer(t))
}

// wantBearer wants a status for a request with a bearer token.
func (s *testServer) wantBearer(t *testing.T, want int, token string) {
	t.Helper()
	if status, _, body := s.do("GET", "/v2/", "none", "", "Authorization", "Bearer "+token); status != want {
		t.Errorf("%d %s, want %d", status, body, want)
	}
}

// TestStolenKeysCrash starts on what a crash leaves between the files of the keys that follow and their usual names: before the log
// is closed, and after it, with one of them renamed. The keys that the thief has are gone each time.
func TestStolenKeysCrash(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	next := func(name string) string { return filepath.Join(dir, strings.TrimSuffix(name, ".key")+"-next.key") }
	drawn := string(bytes.Repeat([]byte{7}, 32))
	for name, c := range map[string]struct{ closed, renamed bool }{
		"before the log is closed": {},
		"after it":                 {closed: true},
		"between the names":        {closed: true, renamed: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			address := freeAddress(t)
			s := startServer(t, dir, "--listen", address, "--url", "https://"+address)
			token := s.bearer(t)
			s.kill()
			if c.closed {
				if said, status := hallmarkOn(t, dir, "key", "rotate", "--lost"); status != 0 { // which closes it, and no more
					t.Fatal(said)
				}
			}
			for _, file := range []string{bearerKeyFile, keptKeyFile} {
				if err := os.WriteFile(next(file), []byte(drawn), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.renamed {
				if err := os.Rename(next(keptKeyFile), filepath.Join(dir, keptKeyFile)); err != nil {
					t.Fatal(err)
				}
			}
			s = startServer(t, dir, "--listen", address)
			s.wantBearer(t, 401, token)
			s.wantBearer(t, 200, s.bearer(t))
			s.kill()
			for name, content := range keyFiles(t, dir) {
				if strings.HasSuffix(name, ".key") && content != drawn || strings.Contains(name, "-next") {
					t.Errorf("%s has %x", name, content)
				}
			}
		})
	}
}

package mirror_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestCircle has two Hallmarks mirror everything of each other, run after run: each has the other's own repositories, and nothing grows.
func TestCircle(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	write(t, password, []byte(strings.TrimPrefix(servertest.Login, "admin:")))
	a, b := newMirrored(t, "mirrors: []\n"), newMirrored(t, "mirrors: []\n")
	one, two := a.Push("own/one", "1.0", "of a"), b.Push("own/two", "1.0", "of b")
	of := func(other *mirrored, into string) string {
		return fmt.Sprintf("mirrors:\n- name: hub\n  upstream: localhost:%s\n  repositories: ['**']\n  into: %s\n  every: 1h\n  ca: %s\n  login: {username: admin, passwordFile: %s}\n",
			port(other), into, filepath.Join(other.Dir, datadir.CertsDir, "ca.pem"), password)
	}
	write(t, b.file, []byte(of(a, "from/a")))
	b.restartAt()
	b.settled()
	write(t, a.file, []byte(of(b, "from/b")))
	a.restartAt()
	a.settled()
	var before [2]int
	for round := range 3 {
		for i, m := range []*mirrored{a, b} {
			status, report, said := m.run()
			if status != http.StatusOK || report.Counts.Refused != 1 || !strings.Contains(said, "there it is a mirror of this registry") {
				t.Errorf("round %d: %d %s", round, status, said)
			}
			var page struct{ Records []json.RawMessage }
			m.get("/api/v1/records?limit=100", &page)
			if round > 0 && len(page.Records) != before[i] {
				t.Errorf("round %d: %d records, and %d before", round, len(page.Records), before[i])
			}
			before[i] = len(page.Records)
		}
	}
	for _, at := range []struct {
		m    *mirrored
		repo string
		want string
	}{{a, "from/b/own/two", two.String()}, {b, "from/a/own/one", one.String()}} {
		status, _, err := at.m.Do("GET", "/v2/"+at.repo+"/manifests/"+at.want, servertest.Login, nil)
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", at.repo, status, err)
		}
		var s mirror.Status
		if at.m.get("/api/v1/mirrors/hub", &s); s.Why != "" {
			t.Errorf("%+v", s)
		}
	}
}

func port(m *mirrored) string {
	address := m.Addr().String()
	return address[strings.LastIndexByte(address, ':')+1:]
}

// restartAt starts the server again at the same port.
func (m *mirrored) restartAt() {
	m.t.Helper()
	o := servertest.Options()
	o.Config.Listen, o.Config.Mirrors.File = m.Addr().String(), m.file
	m.Stop()
	m.Server = servertest.StartOn(m.t, m.Dir, o)
}

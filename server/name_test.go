package server_test

import (
	"bytes"
	"cmp"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
)

// said collects what a server logs.
type said struct {
	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// TestNameChanged starts on a data directory whose kept name somebody has changed, or removed, past the registry, and on one whose name its
// operator has changed.
func TestNameChanged(t *testing.T) {
	t.Parallel()
	const other = "http://other.example"
	for of, c := range map[string]struct {
		change       func(storage.Tx)
		was          string // the name at first; "" is http://registry.example
		given        string
		warns, infos bool
		notes        string
		does         string // the warning says what to do
	}{
		"nothing": {change: func(storage.Tx) {}},
		"another": {
			change: func(tx storage.Tx) { tx.Put(datadir.SettingsTable, []byte(datadir.SettingURL), []byte(other)) }, warns: true,
			notes: "the public name http://other.example that the data directory keeps (record ",
		},
		"taken out": {
			change: func(tx storage.Tx) { tx.Delete(datadir.SettingsTable, []byte(datadir.SettingURL)) }, warns: true,
			notes: "that the data directory keeps no public name (record ",
		},
		"a first one": {
			change: func(tx storage.Tx) { tx.Put(datadir.SettingsTable, []byte(datadir.SettingURL), []byte(other)) }, was: "http://localhost:5443", warns: true,
			notes: "the public name http://other.example that the data directory keeps (record ", does: "is from before the registry had a name: if nobody gave it one since, ",
		},
		"by its operator": {change: func(storage.Tx) {}, given: other, infos: true, notes: "the public name http://other.example that the data directory keeps (record "},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			o := servertest.Options()
			o.Config.InsecureHTTP, o.Config.URL = "loopback", cmp.Or(c.was, "http://registry.example")
			s := servertest.StartOn(t, t.TempDir(), o)
			if err := s.Store().Update(t.Context(), func(tx storage.Tx) error { c.change(tx); return nil }); err != nil {
				t.Fatal(err)
			}
			s.Stop()
			log := new(said)
			o.Config.URL, o.Output = c.given, log
			s = servertest.StartOn(t, s.Dir, o)
			if warns := strings.Contains(log.String(), "is not the one of the newest record"); warns != c.warns || !strings.Contains(log.String(), c.does) {
				t.Errorf("it warns: %t\n%s", warns, log)
			}
			if infos := strings.Contains(log.String(), "the public name has changed"); infos != c.infos {
				t.Errorf("it says that it changed: %t\n%s", infos, log)
			}
			resp, err := s.Operator.Get("http://localhost/api/v1/check")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var check bytes.Buffer
			if _, err := check.ReadFrom(resp.Body); err != nil {
				t.Fatal(err)
			}
			note := strings.Contains(check.String(), `"note":"`+c.notes)
			if c.notes == "" {
				note = !strings.Contains(check.String(), `"note"`)
			}
			if !note || strings.Contains(check.String(), `"problem"`) {
				t.Errorf("the check says %s", check.String())
			}
		})
	}
}

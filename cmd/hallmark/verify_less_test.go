package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestVerifyLess asks a registry for receipts that answers with what proves less of its records: a signature without a log, and
// a place in the log without a record.
func TestVerifyLess(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, t.TempDir())
	s.push("team/app", "1", "one", nil)
	login := "admin:" + adminPassword
	for name, less := range map[string]func(path, body string) string{
		"the receipt": func(_, body string) string { return body },
		"an envelope": func(_, body string) string {
			var bundle struct{ DsseEnvelope json.RawMessage }
			if err := json.Unmarshal([]byte(body), &bundle); err != nil {
				t.Error(err)
			}
			return string(bundle.DsseEnvelope)
		},
		"a proof": func(path, _ string) string {
			_, _, body := s.do(http.MethodGet, strings.TrimSuffix(path, "receipt")+"tlog-proof", login, "")
			return body
		},
	} {
		url := lyingAbout(t, s, func(r *http.Request, _ http.Header, body string) string {
			if strings.HasSuffix(r.URL.Path, "/receipt") {
				return less(r.URL.Path, body)
			}
			return body
		})
		var out bytes.Buffer
		env := map[string]string{"HALLMARK_USER": "admin", "HALLMARK_PASSWORD": adminPassword}
		err := run(t.Context(), []string{"verify", "team/app:1", "--server", url}, func(key string) string { return env[key] }, nil, &out, &out)
		good := name == "the receipt"
		if good && err != nil || !good && (exitCode(err) != exitNo || !strings.HasPrefix(err.Error(), "record 1: refused: ")) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}

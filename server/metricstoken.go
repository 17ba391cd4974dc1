package server

import (
	"bytes"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
)

// The bounds of a token for metrics, in bytes: what is shorter can be guessed.
const (
	leastMetricsToken = 16
	mostMetricsToken  = 4096
)

// hasMetricsToken says whether a request shows the token in a file, which is read each time, so that a new one needs no
// restart. A file that cannot be read, or holds too short a token, opens nothing.
func hasMetricsToken(path string, r *http.Request) bool {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if path == "" || !ok {
		return false
	}
	token, err := yamlfile.Read(path, mostMetricsToken)
	token = bytes.TrimSpace(token)
	return err == nil && len(token) >= leastMetricsToken && subtle.ConstantTimeCompare(token, []byte(shown)) == 1
}

package server

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/server/config"
)

// hasMetricsToken says whether a request shows the token in a file, which is read each time, so that a new one needs no
// restart. A file that cannot be read, or holds too short a token, opens nothing.
func hasMetricsToken(path string, r *http.Request) bool {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if path == "" || !ok {
		return false
	}
	content, err := yamlfile.Read(path, 2*config.MostMetricsToken) // with what white space is around it
	if err != nil {
		return false
	}
	token, err := config.ParseMetricsToken(content)
	return err == nil && subtle.ConstantTimeCompare(token, []byte(shown)) == 1
}

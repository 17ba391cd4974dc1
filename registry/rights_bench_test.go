package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// open is a gate that lets everyone do everything, once they signed in.
type open struct{ *access.Access }

func (open) May(provenance.Identity, access.Right, string) bool { return true }

// BenchmarkRights pulls a manifest as a user with 50 grants, and through a gate that asks for none: what
// lies between is what authorization costs, without the network and TLS that a client pays besides.
func BenchmarkRights(b *testing.B) {
	s := startServer(b, b.TempDir(), Config{})
	s.pushImage("team49/app", "1.0", "one")
	var grants []string
	for i := range 50 {
		grants = append(grants, fmt.Sprintf("team%d/** push", i))
	}
	s.only(grants...)
	gate := s.gate.(*access.Access)
	for name, g := range map[string]Gate{"granted": gate, "open": open{gate}} {
		b.Run(name, func(b *testing.B) {
			s.gate = g
			r := httptest.NewRequest("GET", "/v2/team49/app/manifests/1.0", nil)
			r.SetBasicAuth("bob", password)
			for b.Loop() {
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

package image

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// TestChartSignature wants a chart whose provenance a trusted key made to be signed, one with the provenance of another
// chart to be held down, and one that nobody is trusted for to be unknown.
func TestChartSignature(t *testing.T) {
	e, err := openpgp.NewEntity("charts", "", "charts@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public, signed bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = e.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	path := filepath.Join(t.TempDir(), "charts.asc")
	if err == nil {
		err = os.WriteFile(path, public.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := signature.TrustKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := clearsign.Encode(&signed, e.PrivateKey, nil)
	if err == nil {
		_, err = fmt.Fprintf(plain, "name: hello\n\n...\nfiles:\n  hello-0.1.0.tgz: %s\n", digest.FromString(chartLayer))
	}
	if err == nil {
		err = plain.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := emptyMemory()
	chart := shape{config: chartConfig, layers: []string{chartLayer}}.manifest(m, `{"name":"hello"}`)
	chart.Layers = append(chart.Layers, m.blob(signature.ChartProvenance, signed.Bytes()))
	m.put("signed", chart)
	other := chart
	other.Layers = append(chart.Layers[:0:0], chart.Layers...)
	other.Layers[0].Digest = digest.FromString("another chart")
	m.put("other", other)
	both := chart
	both.Layers = append(other.Layers[:1:1], chart.Layers...)
	m.put("both", both)
	for _, c := range []struct {
		ref    string
		trust  *signature.Trust
		result trust.Result
		cap    trust.Grade
	}{
		{"signed", trusted, trust.Pass, ""},
		{"other", trusted, trust.Fail, "D"},
		{"both", trusted, trust.Fail, ""}, // which of two charts was signed would not be seen
		{"signed", nil, trust.Unknown, ""},
	} {
		r, err := Inspect(t.Context(), m, c.ref, Config{Repository: "charts/hello", Trust: c.trust, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if got := byID(r.Checks)[trust.ImageSignature]; got.Result != c.result || got.Cap != c.cap || r.Kind != trust.Chart {
			t.Errorf("%s: %s, at most %q: %s", c.ref, got.Result, got.Cap, got.Says)
		}
	}
}

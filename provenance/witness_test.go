package provenance

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestWitnessLists wants the images of all lists of a step to be known, and nothing to be kept of the lists, of which
// there can be as many as a document has room for.
func TestWitnessLists(t *testing.T) {
	const lists = 200_000
	image := func(n int) string {
		return fmt.Sprintf(`[{"uri":"oci://registry.example/base%d","digest":{"sha256":%q}}]`, n, dig(fmt.Sprint(n)).Encoded())
	}
	var text strings.Builder
	text.WriteString(`{"predicateType":"https://witness.testifysec.com/attestation-collection/v0.1","predicate":{"attestations":[{` +
		`"type":"https://witness.dev/attestations/docker/v0.1","attestation":{"products":{"a":{"materials":{"first":` + image(1))
	for n := range lists {
		fmt.Fprintf(&text, `,"%d":[]`, n)
	}
	text.WriteString(`,"last":` + image(2) + `}},"b":{"materials":{"only":` + image(3) + `}}}}}]}}`)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := OpenAttestation([]byte(text.String()))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(all) != 1 {
		t.Fatalf("%d statements", len(all))
	}
	if facts := all[0].facts(); len(facts) != 3 || facts[0].value != string(dig("1")) || facts[2].value != string(dig("3")) {
		t.Errorf("facts: %v", facts)
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > int64(text.Len())+lists*8 {
		t.Errorf("%d bytes are kept of a document of %d", kept, text.Len())
	}
	runtime.KeepAlive(all)
}

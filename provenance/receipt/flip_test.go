package receipt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// stockTakes are the changes of a receipt that sigstore-go and cosign take, as docs/verify.md says. A
// spelling is another way to write the same value.
var stockTakes = []string{
	"canonicalizedBody",
	"dsseEnvelope.payload (spelling)",
	"dsseEnvelope.signatures.0.sig (spelling)",
	"inclusionProof.hashes (spelling)",
	"inclusionProof.logIndex",
	"inclusionProof.logIndex (spelling)",
	"inclusionProof.rootHash",
	"inclusionProof.rootHash (spelling)",
	"inclusionProof.treeSize",
	"inclusionProof.treeSize (spelling)",
	"integratedTime",
	"kindVersion.kind",
	"kindVersion.version",
	"logId.keyId (spelling)",
	"logIndex (spelling)",
	"timestampVerificationData",
}

// TestFlipEveryField changes each value of several receipts in several ways. We refuse every change; what
// stock verifiers take is in stockTakes, no more and no less.
func TestFlipEveryField(t *testing.T) {
	t.Parallel()
	w := newWitness(t, "witness.example")
	l := newLog(t, "log.example").grow(11)
	trusted, err := receipt.TrustedRoot([]receipt.Log{l.log})
	fatal(t, err)
	taken := map[string]bool{}
	for leaf := 4; leaf < 8; leaf++ { // whose signatures have several lengths, and so their base64
		data, trust := l.receipt(leaf, w), l.trust(w.Verifier())
		_, err = receipt.Verify(data, trust)
		fatal(t, err)
		fatal(t, stock(trusted, l.signer.Key(), data, digestOf(leaf)))
		flipAll(data, func(path []any, old, value any) {
			changed, name := with(data, path, value), pathName(path)
			if stock(trusted, l.signer.Key(), changed, digestOf(leaf)) == nil {
				taken[name+spelling(old, value)] = true
			}
			if _, err := receipt.Verify(changed, trust); !errors.Is(err, receipt.ErrRefused) {
				t.Errorf("%s with %.80q: %v", name, fmt.Sprint(value), err)
			}
		})
	}
	if got := slices.Sorted(maps.Keys(taken)); !slices.Equal(got, stockTakes) {
		t.Errorf("stock verifiers take changes of\n%s", strings.Join(got, "\n"))
	}
}

// flipAll proposes other values for all that a bundle has, and values that it has not.
func flipAll(data []byte, flip func(path []any, old, value any)) {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		panic(err)
	}
	walk(doc, nil, func(path []any, v any) {
		for _, value := range changes(v) {
			if len(path) > 0 && !reflect.DeepEqual(value, v) {
				flip(path, v, value)
			}
		}
		if len(path) > 0 && path[len(path)-1] == "canonicalizedBody" {
			body, _ := base64.StdEncoding.DecodeString(v.(string))
			other := bytes.Replace(body, []byte(`"digest":"`), []byte(`"digest":"AAAA`), 1)
			flip(path, v, base64.StdEncoding.EncodeToString(other))
		}
	})
	entry := []any{"verificationMaterial", "tlogEntries", 0}
	flip(append(entry, "integratedTime"), nil, "1767323045")
	flip(append(entry, "inclusionPromise"), nil, map[string]any{"signedEntryTimestamp": "AAAA"})
	flip([]any{"verificationMaterial", "timestampVerificationData"}, nil, map[string]any{})
}

// pathName writes a path as jq does, without what all paths begin with.
func pathName(path []any) string {
	s := strings.ReplaceAll(strings.Trim(fmt.Sprint(path), "[]"), " ", ".")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "verificationMaterial."), "tlogEntries.0.")
	if strings.Contains(s, "hashes.") {
		return "inclusionProof.hashes"
	}
	return s
}

// spelling marks a value that is the old one, written otherwise.
func spelling(old, value any) string {
	a, _ := old.(string)
	b, ok := value.(string)
	one, err1 := base64.StdEncoding.DecodeString(a)
	two, err2 := base64.StdEncoding.DecodeString(b)
	if fmt.Sprint(old) == fmt.Sprint(value) || ok && err1 == nil && err2 == nil && bytes.Equal(one, two) {
		return " (spelling)"
	}
	return ""
}

// walk visits every value in a document of JSON, the outer before the inner.
func walk(v any, path []any, visit func(path []any, v any)) {
	visit(slices.Clone(path), v)
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			walk(v[name], append(path, name), visit)
		}
	case []any:
		for i := range v {
			walk(v[i], append(path, i), visit)
		}
	}
}

// with returns a document with another value at a path; nil removes it.
func with(data []byte, path []any, value any) []byte {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		panic(err)
	}
	out, err := json.Marshal(put(doc, path, value))
	if err != nil {
		panic(err)
	}
	return out
}

func put(v any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	switch at := path[0].(type) {
	case string:
		m := v.(map[string]any)
		if m[at] = put(m[at], path[1:], value); m[at] == nil {
			delete(m, at)
		}
	case int:
		s := v.([]any)
		if s[at] = put(s[at], path[1:], value); s[at] == nil {
			return slices.Delete(s, at, at+1)
		}
	}
	return v
}

// changes are other values for one value of a bundle.
func changes(v any) (out []any) {
	switch v := v.(type) {
	case map[string]any:
		more := maps.Clone(v)
		more["more"] = "x"
		return []any{nil, more}
	case []any:
		return []any{nil, append(slices.Clone(v), "eHg="), append(slices.Clone(v), v...)}
	case string:
		out = []any{nil, "", v + "A"}
		if n, err := strconv.Atoi(v); err == nil {
			return append(out, strconv.Itoa(n+1), strconv.Itoa(n-1), "0", v+".5", n)
		}
		for _, at := range []int{0, len(v) / 2, len(v) - 1} {
			b := []byte(v)
			b[at] = map[bool]byte{true: 'A', false: 'B'}[b[at] == 'B']
			out = append(out, string(b))
		}
		out = append(out, respelled(v))
	}
	return out
}

// respelled sets bits in base64 that say nothing, where it has any.
func respelled(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	end := strings.IndexByte(s, '=')
	if _, err := base64.StdEncoding.DecodeString(s); err != nil || end < 1 {
		return s
	}
	return s[:end-1] + string(alphabet[strings.IndexByte(alphabet, s[end-1])|1]) + s[end:]
}

package provenance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
)

// TestAmbiguousClaimsNothing changes a statement so that readers of JSON differ in what it says: it is no reason to
// refuse what exists elsewhere, and nothing in it is a fact.
func TestAmbiguousClaimsNothing(t *testing.T) {
	t.Parallel()
	good := attestationFile(t, "buildkit-v0.2.json")
	if len(claimsOfText(good, "", "")) == 0 {
		t.Fatal("the statement itself claims nothing")
	}
	first := func(insert string) []byte { return append([]byte("{"+insert+","), good[1:]...) }
	for name, text := range map[string][]byte{
		"key twice where nobody looks": first(`"other":{"a":1,"a":2}`),
		"key twice":                    first(`"predicateType":"x"`),
		"key twice, escaped":           first(`"predicateTyp\u0065":"x"`),
		"invalid UTF-8":                first("\"other\":\"\xff\""),
		"lone surrogate":               first(`"other":"\ud800"`),
		"byte order mark":              append([]byte("\xef\xbb\xbf"), good...),
		"something behind":             append(bytes.Clone(good), '{', '}'),
	} {
		sealed := fmt.Appendf(nil, `{"payloadType":%q,"payload":%q}`, "application/vnd.in-toto+json", base64.StdEncoding.EncodeToString(text))
		for form, text := range map[string][]byte{"bare": text, "sealed": sealed} {
			if claims := claimsOfText(text, "", ""); len(claims) > 0 {
				t.Errorf("%s, %s: it claims %v", name, form, claimLines(claims))
			}
		}
		if _, err := ParseSignedStatement(text, built); err == nil {
			t.Errorf("%s: it is taken when it is signed", name)
		}
		labels := []byte(`{"config":{"Labels":{"org.opencontainers.image.source":"https://git.example"}},`)
		if claims := ClaimsOf("", nil, ReadConfig(append(labels, text[1:]...))); name != "key twice" && len(claims) > 0 {
			t.Errorf("%s: a config with it claims %v", name, claimLines(claims))
		}
	}
}

package oidc

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestKeySetsAreStrict has sets of keys that two readers take for different ones.
func TestKeySetsAreStrict(t *testing.T) {
	const key = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	for set, good := range map[string]bool{
		`{"keys":[` + key + `]}`:                      true,
		`{"keys":[` + key + `,{"kty":"new"}]}`:        true,
		`{"KEYS":[` + key + `]}`:                      false,
		`{"keys":[],"Keys":[` + key + `]}`:            false,
		`{"keys":[` + key + `],"keys":[` + key + `]}`: false,
		`{"keys":[` + key + `]}{}`:                    false,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set) }))
		if keys, err := fetchKeys(t.Context(), s.Client(), s.URL); (err == nil) != good || good && len(keys) != 1 {
			t.Errorf("%s: %d keys, %v", set, len(keys), err)
		}
		s.Close()
	}
}

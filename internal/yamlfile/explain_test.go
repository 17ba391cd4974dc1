package yamlfile

import (
	"testing"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// TestExplain wants each mistake in a file to be said with its line, and without the words of the YAML package or of Go.
func TestExplain(t *testing.T) {
	type document struct {
		On    bool            `yaml:"on"`
		N     int             `yaml:"n"`
		Text  string          `yaml:"text"`
		List  []string        `yaml:"list"`
		Under struct{ A int } `yaml:"under"`
		Stall units.Duration  `yaml:"stall"`
	}
	for text, want := range map[string]string{
		"on: maybe":          `f:1: there is "maybe" here, and should be true or false`,
		"\nn: many":          `f:2: there is "many" here, and should be a number`,
		"text: [a]":          `f:1: there is a list here, and should be text`,
		"list: {a: b}":       `f:1: there is keys with values here, and should be a list`,
		"under: 1":           `f:1: there is "1" here, and should be keys with values`,
		"- a\n- b":           `f:1: there is a list here, and should be keys with values`,
		"stall: [1]":         `f:1: there is a list here, and should be a length of time, as 30s or 7d`,
		"onn: true":          `f:1: unknown key "onn"`,
		"on: maybe\nn: many": "f:1: there is \"maybe\" here, and should be true or false\nf:2: there is \"many\" here, and should be a number",
		"list: [a\nn: 1":     `f:2: this is not YAML: while parsing a flow sequence, did not find expected ',' or ']'`,
		"on: \"x":            `f:1: this is not YAML: while scanning a quoted scalar, found unexpected end of stream`,
		"\tn: 1":             `f:1: this is not YAML: while scanning for the next token, found character that cannot start any token`,
		"stall: soon":        `f:1: "soon" is not a length of time: write 90d, 24h, 15m or 30s`,
		"n: 1\nn: 2":         `f:2: mapping key "n" already defined at line 1`,
	} {
		err := Load("f", []byte(text), new(document))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

package web

import (
	"bytes"
	"encoding/json"
)

// indent is JSON as people read it, or what it is where it is none.
func indent(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

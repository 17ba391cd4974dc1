// Package query reads the query strings of URLs.
//
// A plus stands for a space in what HTML forms send (WHATWG URL Standard, section 5), and only there: in a URL
// it is a plus (RFC 3986), and clients that send a media type like application/spdx+json, a source like git+https://,
// or a time like 10:00:00+02:00 mean a plus. Parse is for parameters that never hold a space, and ParseForm
// for those that may. For a media type only the sender knows: Readings returns everything that it can mean.
package query

import (
	"net/url"
	"slices"
	"strings"
)

// Parse reads a query string in which a plus is a plus. As with url.ParseQuery, what could be read comes back
// beside an error.
func Parse(raw string) (url.Values, error) { return ParseForm(strings.ReplaceAll(raw, "+", "%2B")) }

// ParseForm reads a query string in which a plus is a space. A semicolon separates nothing, where url.ParseQuery
// leaves out what has one.
func ParseForm(raw string) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
}

// Readings are what the first parameter of a name can mean where its value is a media type, which may have
// parameters behind a semicolon, and with them spaces. There are none where it is absent or empty.
func Readings(raw, name string) []string {
	values, _ := Parse(raw) // what is malformed names nothing
	form, _ := ParseForm(raw)
	plain, spaced := values.Get(name), form.Get(name)
	if plain == "" {
		return nil
	}
	// The name before the parameters holds no space, however the rest was written.
	essence, _, _ := strings.Cut(plain, ";")
	mixed := essence + spaced[len(essence):]
	return slices.Compact([]string{plain, mixed, spaced})
}

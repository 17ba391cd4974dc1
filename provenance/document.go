package provenance

import (
	"strings"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// maxDepth bounds the nested objects and lists of a document that is read for claims, beside its size.
const maxDepth = 64

// A document is what a JSON text says at the places that were asked for: strings and numbers by JSON pointer (RFC
// 6901). Provenance may hold megabytes that nobody asks for here: they are looked through, and not kept.
type document map[string]string

// places are JSON pointers, with all pointers above them. At some stands a Visitor of its own, who is told of a list.
type places map[string]bool

func newPlaces(pointers ...string) places {
	p := places{}
	for _, pointer := range pointers {
		for end := len(pointer); end >= 0; end = strings.LastIndexByte(pointer[:end], '/') {
			p[pointer[:end]] = true
		}
	}
	return p
}

// readDocument reads one JSON value that everybody reads alike: where two readers could see different things, it says
// nothing to us. What stands at a key of lists is told to its Visitor, which has to be one of the places.
func readDocument(text []byte, wanted places, lists map[string]strictjson.Visitor) (document, error) {
	d := documentReader{wanted, lists, document{}}
	return d.found, strictjson.Walk(text, maxDepth, here{&d, ""})
}

type documentReader struct {
	wanted places
	lists  map[string]strictjson.Visitor
	found  document
}

// here is a place that was asked for, or one on the way to it. It implements strictjson.Visitor.
type here struct {
	*documentReader
	pointer string
}

// Member implements strictjson.Visitor.
func (h here) Member(key []byte) (strictjson.Visitor, error) {
	pointer := h.pointer + "/" + escapePointer.Replace(string(key))
	if list := h.lists[pointer]; list != nil {
		return list, nil
	}
	if !h.wanted[pointer] {
		return nil, nil
	}
	return here{h.documentReader, pointer}, nil
}

// Element implements strictjson.Visitor.
func (h here) Element(int) strictjson.Visitor { return nil }

// Text implements strictjson.Visitor.
func (h here) Text(s string) { h.found[h.pointer] = s }

// Number implements strictjson.NumberVisitor.
func (h here) Number(s string) { h.found[h.pointer] = s }

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// hasBelow says whether anything was found below a place. Of all that may be asked for, few documents have more than a dozen.
func (d document) hasBelow(place string) bool {
	for pointer := range d {
		if len(pointer) > len(place) && pointer[len(place)] == '/' && strings.HasPrefix(pointer, place) {
			return true
		}
	}
	return false
}

// first returns the first of some places that says something, and what.
func (d document) first(below string, names ...string) string {
	for _, name := range names {
		if text := strings.TrimSpace(d[below+"/"+name]); text != "" {
			return text
		}
	}
	return ""
}

// These are told of one thing each, and of nothing else. They implement strictjson.Visitor.
type (
	heard  func(s string)                       // of a text
	keyed  func(key string) strictjson.Visitor  // of the keys of an object
	listed func(element int) strictjson.Visitor // of the elements of a list
)

// Member implements strictjson.Visitor.
func (h heard) Member([]byte) (strictjson.Visitor, error) { return nil, nil }

// Element implements strictjson.Visitor.
func (h heard) Element(int) strictjson.Visitor { return nil }

// Text implements strictjson.Visitor.
func (h heard) Text(s string) { h(s) }

// Member implements strictjson.Visitor.
func (k keyed) Member(key []byte) (strictjson.Visitor, error) { return k(string(key)), nil }

// Element implements strictjson.Visitor.
func (k keyed) Element(int) strictjson.Visitor { return nil }

// Text implements strictjson.Visitor.
func (k keyed) Text(string) {}

// Member implements strictjson.Visitor.
func (l listed) Member([]byte) (strictjson.Visitor, error) { return nil, nil }

// Element implements strictjson.Visitor.
func (l listed) Element(i int) strictjson.Visitor { return l(i) }

// Text implements strictjson.Visitor.
func (l listed) Text(string) {}

// packed is told of a text as bytes. It implements strictjson.BytesVisitor.
type packed func(b []byte)

// Member implements strictjson.Visitor.
func (p packed) Member([]byte) (strictjson.Visitor, error) { return nil, nil }

// Element implements strictjson.Visitor.
func (p packed) Element(int) strictjson.Visitor { return nil }

// Text implements strictjson.Visitor.
func (p packed) Text(string) {}

// Bytes implements strictjson.BytesVisitor.
func (p packed) Bytes(b []byte) { p(b) }

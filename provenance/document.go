package provenance

import (
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// The bounds of a document that is read for claims, beside its size.
const (
	maxDepth    = 64 // of nested objects and lists
	maxElements = 64 // of one list; those behind are passed over
)

// A document is what a JSON text says at the places that were asked for: strings by JSON pointer (RFC
// 6901). Provenance may hold megabytes that nobody asks for here: they are looked through, and not kept.
type document map[string]string

// places are JSON pointers with * for any element of a list, and with all pointers above them.
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
// nothing to us.
func readDocument(text []byte, wanted places) (document, error) {
	d := documentReader{wanted, document{}}
	return d.found, strictjson.Walk(text, maxDepth, here{&d, "", ""})
}

type documentReader struct {
	wanted places
	found  document
}

// here is a place that was asked for, or one on the way to it. It implements strictjson.Visitor.
type here struct {
	*documentReader
	place   string
	pointer string // names its very element
}

// Member implements strictjson.Visitor.
func (h here) Member(key []byte) (strictjson.Visitor, error) {
	name := "/" + escapePointer.Replace(string(key))
	if !h.wanted[h.place+name] {
		return nil, nil
	}
	return here{h.documentReader, h.place + name, h.pointer + name}, nil
}

// Element implements strictjson.Visitor.
func (h here) Element(i int) strictjson.Visitor {
	if !h.wanted[h.place+"/*"] || i >= maxElements {
		return nil
	}
	return here{h.documentReader, h.place + "/*", element(h.pointer, i)}
}

// Text implements strictjson.Visitor.
func (h here) Text(s string) { h.found[h.pointer] = s }

// element is the pointer of an element of a list.
func element(list string, i int) string { return list + "/" + strconv.Itoa(i) }

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

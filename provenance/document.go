package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The bounds of a document that is read for claims, beside its size.
const (
	maxDepth    = 64 // of nested objects and lists
	maxElements = 64 // of one list; those behind are passed over
)

// A document is what a JSON text says at the places that were asked for: strings by JSON pointer (RFC
// 6901). It is read as a stream, because provenance may hold megabytes that nobody asks for here.
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

// readDocument reads one JSON value. An object on the way to a place that has a key twice is refused: two
// readers could see different things in it.
func readDocument(r io.Reader, wanted places) (document, error) {
	d := documentReader{json.NewDecoder(r), wanted, document{}}
	d.UseNumber()
	if err := d.value("", "", 0); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return d.found, nil
}

type documentReader struct {
	*json.Decoder
	wanted places
	found  document
}

// nowhere is the place of what nobody asked for.
const nowhere = "nowhere"

// value reads the next value, which stands at a place, and at a pointer that names its very element.
func (d *documentReader) value(place, pointer string, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return d.list(place, pointer, depth)
		}
		return d.object(place, pointer, depth)
	case string:
		if place != nowhere {
			d.found[pointer] = token
		}
	}
	return nil
}

func (d *documentReader) object(place, pointer string, depth int) error {
	var seen map[string]bool
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key := "/" + escapePointer.Replace(token.(string)) // the decoder lets nothing else be a key
		if place == nowhere || !d.wanted[place+key] {
			if err := d.value(nowhere, "", depth+1); err != nil {
				return err
			}
			continue
		}
		if seen[key] {
			return fmt.Errorf("the key %.40q is there twice", token)
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[key] = true
		if err := d.value(place+key, pointer+key, depth+1); err != nil {
			return err
		}
	}
	_, err := d.Token() // the closing one
	return err
}

func (d *documentReader) list(place, pointer string, depth int) error {
	for i := 0; d.More(); i++ {
		at := place + "/*"
		if place == nowhere || !d.wanted[at] || i >= maxElements {
			at = nowhere
		}
		if err := d.value(at, element(pointer, i), depth+1); err != nil {
			return err
		}
	}
	_, err := d.Token() // the closing one
	return err
}

// element is the pointer of an element of a list.
func element(list string, i int) string { return list + "/" + strconv.Itoa(i) }

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

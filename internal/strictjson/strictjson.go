// Package strictjson reads JSON from outside, and refuses JSON in which two readers could see different things.
//
// JSON readers differ, and an attacker can use that to show one of them an image, a signature or a
// right that another does not see. This package refuses anything on which they differ (RFC 8259, RFC 7493): a duplicate key in an
// object, also one spelled with escapes; bytes that are not UTF-8, and halves of surrogate pairs, which some drop and some
// replace; a byte order mark; anything after the value; nesting that exhausts a reader; and, when reading
// into a Go type, a key in another case than its field, which Go's own decoder accepts.
//
// It knows no kind of document. It refuses malformed numbers, but not numbers that are too large: the code that reads them
// into a type does that.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may be nested in what Check and Unmarshal read.
const MaxDepth = 64

// A Visitor is told what stands at its place in a value.
type Visitor interface {
	// Member returns who is told of the value under a key, or nil for nobody. The key is valid during the call. An
	// error ends the reading.
	Member(key []byte) (Visitor, error)
	// Element returns who is told of the element i of a list, or nil for nobody.
	Element(i int) Visitor
	// Text is told of a string.
	Text(s string)
}

// A NumberVisitor is a Visitor who is told of a number too, as it is written.
type NumberVisitor interface {
	Visitor
	Number(s string)
}

// A BytesVisitor is a Visitor who is told of a string as bytes, which are valid during the call: so none is copied.
type BytesVisitor interface {
	Visitor
	Bytes(b []byte)
}

// Check wants one JSON value that everybody reads alike.
func Check(data []byte) error { return Walk(data, MaxDepth, nil) }

// Unmarshal reads one JSON value that everybody reads alike into what value points to. Keys that its type does not
// have are passed over.
func Unmarshal(data []byte, value any) error {
	if err := Walk(data, MaxDepth, Fields(value)); err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

// UnmarshalKnown is Unmarshal for values in which every key is known.
func UnmarshalKnown(data []byte, value any) error {
	if err := Walk(data, MaxDepth, Fields(value)); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(value)
}

// Walk reads one JSON value, nested no deeper than depth, and tells v, which may be nil, of what is in it. What was
// told before an error counts for nothing.
func Walk(data []byte, depth int, v Visitor) error {
	s := scanner{data: data, depth: depth}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return errors.New("it begins with a byte order mark")
	}
	s.space()
	if err := s.value(v, 0); err != nil {
		return err
	}
	if s.space(); s.at < len(data) {
		return errors.New("something follows the document")
	}
	return nil
}

// scanner is a position in a text.
type scanner struct {
	data  []byte
	at    int
	depth int // that is allowed
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next is the byte at the position, or 0 at the end: no JSON has one there.
func (s *scanner) next() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("at byte %d: "+format, append([]any{s.at}, args...)...)
}

// unexpected says that this is not JSON.
func (s *scanner) unexpected() error {
	if s.at >= len(s.data) {
		return errors.New("it ends too early")
	}
	return s.errorf("%q is out of place", s.data[s.at])
}

func (s *scanner) value(v Visitor, depth int) error {
	switch c := s.next(); {
	case c == '{':
		return s.object(v, depth)
	case c == '[':
		return s.list(v, depth)
	case c == '"':
		raw, escaped, err := s.text()
		if b, ok := v.(BytesVisitor); ok && err == nil {
			b.Bytes(unescape(raw, escaped))
		} else if err == nil && v != nil {
			v.Text(string(unescape(raw, escaped)))
		}
		return err
	case c == '-' || isDigit(c):
		begin := s.at
		err := s.number()
		if n, ok := v.(NumberVisitor); ok && err == nil {
			n.Number(string(s.data[begin:s.at]))
		}
		return err
	default:
		return s.word()
	}
}

func (s *scanner) word() error {
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	return s.unexpected()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (s *scanner) digits() error {
	if !isDigit(s.next()) {
		return s.unexpected()
	}
	for isDigit(s.next()) {
		s.at++
	}
	return nil
}

func (s *scanner) number() error {
	if s.next() == '-' {
		s.at++
	}
	if s.next() == '0' {
		s.at++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.next() == '.' {
		s.at++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.next(); c != 'e' && c != 'E' {
		return nil
	}
	s.at++
	if c := s.next(); c == '+' || c == '-' {
		s.at++
	}
	return s.digits()
}

// enter goes into an object or a list, and says whether it is empty, after which the position is behind it.
func (s *scanner) enter(end byte, depth int) (empty bool, err error) {
	if depth == s.depth {
		return false, fmt.Errorf("it is nested more than %d deep", s.depth)
	}
	s.at++
	if s.space(); s.next() == end {
		s.at++
		return true, nil
	}
	return false, nil
}

// more goes behind a comma, or behind the end.
func (s *scanner) more(end byte) (bool, error) {
	s.space()
	switch s.next() {
	case end:
		s.at++
		return false, nil
	case ',':
		s.at++
		s.space()
		return true, nil
	}
	return false, s.unexpected()
}

func (s *scanner) list(v Visitor, depth int) error {
	empty, err := s.enter(']', depth)
	if empty || err != nil {
		return err
	}
	for i, more := 0, true; more; i++ {
		var below Visitor
		if v != nil {
			below = v.Element(i)
		}
		if err := s.value(below, depth+1); err != nil {
			return err
		}
		if more, err = s.more(']'); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) object(v Visitor, depth int) error {
	empty, err := s.enter('}', depth)
	if empty || err != nil {
		return err
	}
	var seen keys
	for more := true; more; {
		below, err := s.key(&seen, v)
		if err != nil {
			return err
		}
		if err := s.value(below, depth+1); err != nil {
			return err
		}
		if more, err = s.more('}'); err != nil {
			return err
		}
	}
	return nil
}

// key reads a key and the colon behind it.
func (s *scanner) key(seen *keys, v Visitor) (below Visitor, err error) {
	if s.next() != '"' {
		return nil, s.unexpected()
	}
	raw, escaped, err := s.text()
	if err != nil {
		return nil, err
	}
	key := unescape(raw, escaped)
	if !seen.add(key) {
		return nil, fmt.Errorf("the key %.40q is there twice", key)
	}
	if v != nil {
		if below, err = v.Member(key); err != nil {
			return nil, err
		}
	}
	if s.space(); s.next() != ':' {
		return nil, s.unexpected()
	}
	s.at++
	s.space()
	return below, nil
}

// text reads a string, and returns what is between the quotes, and whether escapes are in it.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	s.at++
	for begin := s.at; s.at < len(s.data); {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.data[begin : s.at-1], escaped, nil
		case c < ' ':
			return nil, false, s.errorf("%q is out of place in a string", c)
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, size := utf8.DecodeRune(s.data[s.at:])
			if r == utf8.RuneError && size == 1 {
				return nil, false, s.errorf("it is not UTF-8")
			}
			s.at += size
		}
	}
	return nil, false, s.unexpected()
}

// escape goes behind an escape, or behind the two that are a surrogate pair.
func (s *scanner) escape() error {
	if s.at++; s.next() != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), s.next()) < 0 {
			return s.unexpected()
		}
		s.at++
		return nil
	}
	first, ok := s.hex(s.at + 1)
	if !ok {
		return s.unexpected()
	}
	s.at += 5
	if !utf16.IsSurrogate(first) {
		return nil
	}
	if bytes.HasPrefix(s.data[s.at:], []byte(`\u`)) {
		if second, ok := s.hex(s.at + 2); ok && utf16.DecodeRune(first, second) != utf8.RuneError {
			s.at += 6
			return nil
		}
	}
	return s.errorf("half of a surrogate pair stands alone")
}

// hex reads four hexadecimal digits.
func (s *scanner) hex(at int) (r rune, ok bool) {
	if at+4 > len(s.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.data[at:at+4]), 16, 16)
	return rune(n), err == nil
}

// unescape returns what a string says. It was read by text.
func unescape(raw []byte, escaped bool) []byte {
	if !escaped {
		return raw
	}
	var s string
	if err := json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &s); err != nil {
		panic(err) // a bug: text has read it
	}
	return []byte(s)
}

// keys are the keys of an object: few in a list, as in most, and more in a set.
type keys struct {
	few  [8][]byte
	n    int
	many map[string]struct{}
}

// add says whether a key is new.
func (k *keys) add(key []byte) bool {
	for _, other := range k.few[:min(k.n, len(k.few))] {
		if bytes.Equal(other, key) {
			return false
		}
	}
	if k.n < len(k.few) {
		k.few[k.n] = key
		k.n++
		return true
	}
	if _, known := k.many[string(key)]; known {
		return false
	}
	if k.many == nil {
		k.many = map[string]struct{}{}
	}
	k.many[string(key)] = struct{}{}
	return true
}

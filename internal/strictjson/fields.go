package strictjson

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Fields returns the Visitor that refuses a key in another case than the field that Go's decoder would put it in, where
// JSON is read into value. Keys of maps are anybody's.
func Fields(value any) Visitor {
	if s := shapeOf(reflect.TypeOf(value)); s != nil {
		return s
	}
	return nil
}

// shape is a type as JSON fills it. The shape nil takes anything.
type shape struct {
	fields map[string]*shape // of a struct
	below  *shape            // of the values of a map, or of the elements of a list
}

var shapes struct {
	sync.Mutex
	of map[reflect.Type]*shape
}

func shapeOf(t reflect.Type) *shape {
	shapes.Lock()
	defer shapes.Unlock()
	if shapes.of == nil {
		shapes.of = map[reflect.Type]*shape{}
	}
	return learn(t)
}

var (
	readsJSON = reflect.TypeFor[json.Unmarshaler]()
	readsText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// learn returns the shape of a type. The caller holds the lock of shapes.
func learn(t reflect.Type) *shape {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(readsJSON) || reflect.PointerTo(t).Implements(readsText) {
		return nil // it reads itself
	}
	if s, known := shapes.of[t]; known {
		return s
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
	default:
		return nil
	}
	s := &shape{}
	shapes.of[t] = s // first: a type may hold itself
	if t.Kind() != reflect.Struct {
		s.below = learn(t.Elem())
		return s
	}
	s.fields = map[string]*shape{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() || f.Anonymous && name == "":
			continue
		case name == "":
			name = f.Name
		}
		s.fields[name] = learn(f.Type)
	}
	return s
}

// Member implements Visitor.
func (s *shape) Member(key []byte) (Visitor, error) {
	below, err := s.member(key)
	if below == nil {
		return nil, err // and not a Visitor that is a nil *shape
	}
	return below, err
}

func (s *shape) member(key []byte) (*shape, error) {
	if s.fields == nil {
		return s.below, nil
	}
	below, known := s.fields[string(key)]
	if known {
		return below, nil
	}
	for name := range s.fields {
		if len(name) <= len(key) && strings.EqualFold(name, string(key)) {
			return nil, fmt.Errorf("the key %.40q should be %q", key, name)
		}
	}
	return nil, nil
}

// Element implements Visitor.
func (s *shape) Element(int) Visitor {
	if s.below == nil {
		return nil
	}
	return s.below
}

// Text implements Visitor.
func (s *shape) Text(string) {}

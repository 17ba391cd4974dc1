package receipt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// sameJSON compares what was given with what the receipt says, whatever the spaces and the order of names.
func sameJSON(given []byte, r *Receipt) error {
	made, err := r.Bundle()
	if err != nil {
		return refusef("%w", err)
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(made, &want), json.Unmarshal(given, &got)); err != nil {
		return refusef("%w", err)
	}
	if where, differs := difference(want, got, "bundle"); differs {
		return refusef("%s is not what follows from the rest", where)
	}
	return nil
}

// difference finds the first value that differs, and returns its path.
func difference(want, got any, path string) (where string, differs bool) {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			return differentMember(want, got, path)
		}
		return path, true
	case []any:
		if got, ok := got.([]any); ok && len(got) == len(want) {
			return differentElement(want, got, path)
		}
		return path, true
	default:
		return path, want != got
	}
}

func differentElement(want, got []any, path string) (where string, differs bool) {
	for i := range want {
		if where, differs := difference(want[i], got[i], fmt.Sprintf("%s[%d]", path, i)); differs {
			return where, true
		}
	}
	return "", false
}

func differentMember(want, got map[string]any, path string) (where string, differs bool) {
	names := slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		w, wanted := want[name]
		g, given := got[name]
		if wanted != given {
			return path + "." + name, true
		}
		if where, differs := difference(w, g, path+"."+name); differs {
			return where, true
		}
	}
	return "", false
}

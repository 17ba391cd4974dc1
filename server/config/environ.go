package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// variables are those beside the ones of keys that a command reads.
var variables = []string{"HALLMARK_CONFIG", "HALLMARK_ADMIN_PASSWORD", "HALLMARK_SERVER", "HALLMARK_CA", "HALLMARK_USER", "HALLMARK_PASSWORD"}

// ofKubernetes are the variables that Kubernetes sets in every pod beside a service of the name hallmark.
var ofKubernetes = regexp.MustCompile(`^HALLMARK_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$`)

// Unknown warns of variables HALLMARK_… that nothing reads: most often they are mistyped, and what they say does not hold.
// environ is as os.Environ has it.
func Unknown(environ []string) (list []Problem) {
	c := Default()
	known := slices.Clone(variables)
	_ = eachKey(reflect.ValueOf(&c).Elem(), "", func(key string, _ reflect.Value) error { // which does not fail
		known = append(known, envName(key))
		return nil
	})
	for _, one := range environ {
		name, _, _ := strings.Cut(one, "=")
		if !strings.HasPrefix(name, "HALLMARK_") || slices.Contains(known, name) || ofKubernetes.MatchString(name) {
			continue
		}
		says := "nothing reads this variable"
		if near := nearest(name, known); near != "" {
			says += "; is " + near + " meant?"
		}
		list = append(list, Problem{Where: name, Says: says, Warning: true})
	}
	slices.SortFunc(list, func(a, b Problem) int { return strings.Compare(a.Where, b.Where) })
	return list
}

// nearest is the name that differs in the fewest letters, or "" where all differ in more than 3.
func nearest(name string, known []string) (best string) {
	least := 4
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed to make one text of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

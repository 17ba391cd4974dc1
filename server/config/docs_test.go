package config

import (
	"os"
	"reflect"
	"regexp"
	"testing"
)

// TestEveryKeyIsDocumented wants each key, its variable and its default in the documentation.
func TestEveryKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	c := Default()
	err = eachKey(reflect.ValueOf(&c).Elem(), "", func(key string, field reflect.Value) error {
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(key) + "`( \\*)? \\| `" + envName(key) + "` \\| (.*?) \\|").FindStringSubmatch(doc)
		if row == nil {
			t.Errorf("docs/configuration.md has no row for %s, %s", key, envName(key))
			return nil
		}
		if (row[1] != "") != reloadable[key] {
			t.Errorf("docs/configuration.md is wrong about whether SIGHUP changes %s", key)
		}
		if want, ok := field.Interface().(interface{ String() string }); ok && !field.IsZero() && row[2] != "`"+want.String()+"`" {
			t.Errorf("docs/configuration.md has the default of %s as %s; it is %s", key, row[2], want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

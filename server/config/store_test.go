package config

import (
	"strings"
	"testing"
)

func TestCheckStore(t *testing.T) {
	for store, want := range map[string]string{
		"": "",
		"postgres://hallmark@db.example/h?sslmode=verify-full":      "",
		"postgresql://h:secret@db.example:5433/h?sslmode=verify-ca": "",
		"postgres://h@127.0.0.1/h":                                  "",
		"postgres://h@[::1]/h":                                      "",
		"postgres://h@localhost/h?host=::1":                         "",
		"postgres://h@127.0.0.1/h?host=db.example":                  "sslmode=verify-full",
		"postgres://h@/h":                                           "sslmode=verify-full",
		"postgres://h@127.0.0.1:5432/h":                             "",
		"postgres://h@127.0.0.1:5432,localhost:5433/h":              "",
		"postgres://h@/h?host=/run/postgresql":                      "",
		"postgres://h:secret@db.example/h":                          "sslmode=verify-full",
		"postgres://h:secret@127.0.0.1,db.example/h":                "sslmode=verify-full",
		"postgres://h:secret@db.example/h?sslmode=require":          "sslmode=verify-full",
		"postgres://h:secret@127.0.0.1/":                            "names no database",
		"mysql://h:secret@127.0.0.1/h":                              "PostgreSQL",
		"postgres://h:secret@[::1/h":                                "should be the URL of a database",
	} {
		err := checkStore(store)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q and no secret", store, err, want)
		}
	}
}

package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
)

// Load reads the configuration from a file, or from the one that HALLMARK_CONFIG names, and from the environment. It is
// not checked yet: flags may follow. Where no file is named, ./hallmark.yaml may be absent.
func Load(file string, getenv func(string) string) (Config, error) {
	c := Default()
	err := loadFile(&c, cmp.Or(file, getenv("HALLMARK_CONFIG")))
	return c, asError(errors.Join(err, loadEnv(&c, getenv)))
}

// loadFile reads a file into the configuration. One that was not named may be absent.
func loadFile(c *Config, path string) error {
	named := path != ""
	if !named {
		path = "hallmark.yaml"
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if errors.Is(err, syscall.EISDIR) {
		return Errorf("the configuration %s is a directory: name the file in it", path)
	}
	if err != nil {
		return Errorf("configuration: %w", err)
	}
	for key, line := range yamlfile.Lines(data) {
		c.From(key, fmt.Sprintf("%s:%d", path, line))
	}
	return asError(yamlfile.Load(path, data, c))
}

// loadEnv reads the variables of all keys.
func loadEnv(c *Config, getenv func(string) string) error {
	var wrong []error
	err := eachKey(reflect.ValueOf(c).Elem(), "", func(key string, field reflect.Value) error {
		name := envName(key)
		if value := getenv(name); value != "" {
			c.From(key, name)
			wrong = append(wrong, setFrom(name, value, field))
		}
		return nil
	})
	return errors.Join(append(wrong, err)...)
}

// setFrom sets a key from its variable.
func setFrom(name, value string, field reflect.Value) error {
	if list, ok := field.Addr().Interface().(*[]string); ok {
		*list = strings.Split(value, ",")
		return nil
	}
	switch field.Kind() {
	case reflect.Slice: // of structs, as a list in YAML, or JSON
		return asError(yamlfile.Load(name, []byte(value), field.Addr().Interface()))
	case reflect.String:
		field.SetString(value)
	case reflect.Bool:
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return Errorf("%s is %q, and should be true or false", name, value)
		}
		field.SetBool(yes)
	case reflect.Int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return Errorf("%s is %q, and should be a number", name, value)
		}
		field.SetInt(int64(n))
	default:
		if err := field.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(value)); err != nil {
			return Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// eachKey calls fn for every key of the configuration, as tls.cert, and its field.
func eachKey(v reflect.Value, prefix string, fn func(key string, field reflect.Value) error) error {
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		key := prefix + name
		if field := v.Field(i); option == "inline" {
			if err := eachKey(field, prefix, fn); err != nil {
				return err
			}
		} else if field.Kind() == reflect.Struct {
			if err := eachKey(field, key+".", fn); err != nil {
				return err
			}
		} else if err := fn(key, field); err != nil {
			return err
		}
	}
	return nil
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

// envName is the variable of a key.
func envName(key string) string {
	snake := wordStart.ReplaceAllString(key, "${1}_$2")
	return "HALLMARK_" + strings.ToUpper(strings.ReplaceAll(snake, ".", "_"))
}

// An Error says what is wrong with the configuration, and what to mend.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns what was wrong.
func (e *Error) Unwrap() error { return e.err }

// Errorf returns an *Error.
func Errorf(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }

// asError says that an error is the configuration's, where there is one.
func asError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{err}
}

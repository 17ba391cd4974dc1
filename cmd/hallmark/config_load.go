package main

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configFlags are the flags of verbs that read the configuration.
type configFlags struct {
	set  *pflag.FlagSet
	file string
	Config
}

func addConfigFlags(c *cobra.Command) *configFlags {
	f := &configFlags{set: c.Flags()}
	f.set.StringVar(&f.file, "config", "", "configuration `file` (default ./hallmark.yaml, where it exists)")
	f.set.StringVar(&f.Data, "data", "", "data `directory` (default ./hallmark-data)")
	f.set.StringVar(&f.Listen, "listen", "", "`address` for clients (default :5443)")
	f.set.StringVar(&f.URL, "url", "", "public `URL` of the registry (default https://localhost:PORT)")
	f.set.StringArrayVar(&f.Hosts, "host", nil, "further host `name` or address of the registry; may be repeated")
	f.set.StringVar(&f.AdminListen, "admin-listen", "", "`address` for metrics, or none (default 127.0.0.1:5444)")
	f.set.StringVar(&f.InsecureHTTP, "insecure-http", "", "serve plain HTTP for a proxy in front, on `loopback` or anywhere")
	f.set.Lookup("insecure-http").NoOptDefVal = "loopback"
	return f
}

// loadConfig returns the configuration without any flags.
func loadConfig(file string, getenv func(string) string) (Config, error) {
	c := defaultConfig()
	if err := loadFile(&c, firstOf(file, getenv("HALLMARK_CONFIG"))); err != nil {
		return c, err
	}
	return c, loadEnv(&c, getenv)
}

// load returns the configuration in force.
func (f *configFlags) load(getenv func(string) string) (Config, error) {
	c, err := loadConfig(f.file, getenv)
	if err != nil {
		return c, err
	}
	for name, copy := range map[string]func(){
		"data":          func() { c.Data = f.Data },
		"listen":        func() { c.Listen = f.Listen },
		"url":           func() { c.URL = f.URL },
		"host":          func() { c.Hosts = f.Hosts },
		"admin-listen":  func() { c.AdminListen = f.AdminListen },
		"insecure-http": func() { c.InsecureHTTP = f.InsecureHTTP },
	} {
		if f.set.Changed(name) {
			copy()
		}
	}
	return c, c.check()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
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
	if err != nil {
		return usagef("configuration: %w", err)
	}
	return asUsage(yamlfile.Load(path, data, c))
}

// asUsage says that an error is the user's to mend, where there is one.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usagef("%w", err)
}

// loadEnv reads the variables of all keys.
func loadEnv(c *Config, getenv func(string) string) error {
	return eachKey(reflect.ValueOf(c).Elem(), "", func(key string, field reflect.Value) error {
		name := envName(key)
		value := getenv(name)
		if value == "" {
			return nil
		}
		if list, ok := field.Addr().Interface().(*[]string); ok {
			*list = strings.Split(value, ",")
			return nil
		}
		if field.Kind() == reflect.Slice { // of structs, as a list in YAML, or JSON
			return asUsage(yamlfile.Load(name, []byte(value), field.Addr().Interface()))
		}
		if field.Kind() == reflect.String {
			field.SetString(value)
			return nil
		}
		if field.Kind() == reflect.Bool {
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return usagef("%s is %q, and should be true or false", name, value)
			}
			field.SetBool(yes)
			return nil
		}
		if field.Kind() == reflect.Int {
			n, err := strconv.Atoi(value)
			if err != nil {
				return usagef("%s is %q, and should be a number", name, value)
			}
			field.SetInt(int64(n))
			return nil
		}
		err := field.Addr().Interface().(interface{ UnmarshalText([]byte) error }).UnmarshalText([]byte(value))
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		return nil
	})
}

// eachKey calls fn for every key of the configuration, as tls.cert, and its field.
func eachKey(v reflect.Value, prefix string, fn func(key string, field reflect.Value) error) error {
	for i := range v.NumField() {
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

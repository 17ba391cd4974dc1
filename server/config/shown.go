package config

import (
	"cmp"
	"net"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"
)

// Shown is the configuration in force, as a file has it: each key that has a value, under the name that the file gives it.
// keptURL is the public name that a data directory keeps, or empty.
func (c Config) Shown(keptURL string) (map[string]any, error) {
	c.URL = cmp.Or(c.URL, keptURL, c.localURL())
	if c.Registry.Reserve == 0 {
		c.Registry.Reserve = registry.DefaultReserve(diskOf(c.Data))
	}
	if c.Store != "" {
		c.Store = postgres.Shown(c.Store)
	}
	text, err := yaml.Dump(c)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := yaml.Load(text, &keys); err != nil {
		return nil, err
	}
	dropEmpty(keys)
	return keys, nil
}

// localURL is the public name where none was given.
func (c *Config) localURL() string {
	scheme := "https"
	if c.InsecureHTTP != "" {
		scheme = "http"
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	return scheme + "://localhost:" + port
}

// diskOf is the size of the disk on which a directory is, or will be, in bytes; 0 where it cannot be told.
func diskOf(dir string) uint64 {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0
	}
	var fs unix.Statfs_t
	for unix.Statfs(dir, &fs) != nil {
		if dir == filepath.Dir(dir) {
			return 0
		}
		dir = filepath.Dir(dir)
	}
	return fs.Blocks * uint64(fs.Bsize)
}

// dropEmpty removes what is not set: an empty text or list means that there is none, and would say the same.
func dropEmpty(keys map[string]any) {
	for key, value := range keys {
		switch v := value.(type) {
		case map[string]any:
			if dropEmpty(v); len(v) == 0 {
				delete(keys, key)
			}
		case []any:
			if len(v) == 0 {
				delete(keys, key)
			}
		case string:
			if v == "" {
				delete(keys, key)
			}
		case nil:
			delete(keys, key)
		}
	}
}

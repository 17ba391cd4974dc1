package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// TestObjectStore wants what cannot be meant about an object store to be refused, with the key and what to write.
func TestObjectStore(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = not-to-be-shown\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("[default]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*s3.Config)
		says   string // "" where it is right
	}{
		"right":                  {func(*s3.Config) {}, ""},
		"without a prefix":       {func(c *s3.Config) { c.Prefix = "" }, ""},
		"on this machine":        {func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:9000" }, ""},
		"no endpoint":            {func(c *s3.Config) { c.Endpoint = "" }, "blobs.s3.endpoint is missing"},
		"no URL":                 {func(c *s3.Config) { c.Endpoint = "s3.example" }, "should be https://host"},
		"plain HTTP":             {func(c *s3.Config) { c.Endpoint = "http://s3.example" }, "should be https://s3.example"},
		"a bucket in the URL":    {func(c *s3.Config) { c.Endpoint = "https://s3.example/images" }, "key of its own"},
		"a password in the URL":  {func(c *s3.Config) { c.Endpoint = "https://a:not-to-be-shown@s3.example" }, "blobs.s3.credentials"},
		"no bucket":              {func(c *s3.Config) { c.Bucket = "" }, "blobs.s3.bucket is missing"},
		"no name of a bucket":    {func(c *s3.Config) { c.Bucket = "Images" }, "lower-case"},
		"a prefix without slash": {func(c *s3.Config) { c.Prefix = "hallmark" }, "slash behind each"},
		"a prefix above":         {func(c *s3.Config) { c.Prefix = "../" }, "slash behind each"},
		"no region":              {func(c *s3.Config) { c.Region = "eu central" }, "eu-central-1"},
		"kept too short":         {func(c *s3.Config) { c.Keep = 1 }, "at least 1h"},
		"no file of keys":        {func(c *s3.Config) { c.Credentials = keys + "-none" }, "line of the keys: blobs.s3.credentials"},
		"a file without keys":    {func(c *s3.Config) { c.Credentials = empty }, "aws_access_key_id"},
		"no file of the CA":      {func(c *s3.Config) { c.CA = keys + "-none" }, "line of the CA: blobs.s3.ca"},
		"a CA that is none":      {func(c *s3.Config) { c.CA = keys }, "line of the CA: blobs.s3.ca: " + keys + " holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			all := config.Default()
			all.From("blobs.s3.ca", "line of the CA")
			all.From("blobs.s3.credentials", "line of the keys")
			is := &all.Blobs.S3
			is.Endpoint, is.Bucket, is.Prefix, is.Credentials = "https://s3.example", "images", "hallmark/", keys
			c.change(is)
			err := all.Check()
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("it says %v; want %q", err, c.says)
			case err != nil && strings.Contains(err.Error(), "not-to-be-shown"):
				t.Errorf("it shows a secret: %v", err)
			}
		})
	}
}

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/config"
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
		change func(*config.ObjectStore)
		says   string // "" where it is right
	}{
		"right":                  {func(*config.ObjectStore) {}, ""},
		"without a prefix":       {func(c *config.ObjectStore) { c.Prefix = "" }, ""},
		"on this machine":        {func(c *config.ObjectStore) { c.Endpoint = "http://127.0.0.1:9000" }, ""},
		"on port 80 of it":       {func(c *config.ObjectStore) { c.Endpoint = "http://localhost" }, ""},
		"no endpoint":            {func(c *config.ObjectStore) { c.Endpoint = "" }, "blobs.s3.endpoint is missing"},
		"no URL":                 {func(c *config.ObjectStore) { c.Endpoint = "s3.example" }, "should be https://host"},
		"plain HTTP":             {func(c *config.ObjectStore) { c.Endpoint = "http://s3.example" }, "should be https://s3.example"},
		"a bucket in the URL":    {func(c *config.ObjectStore) { c.Endpoint = "https://s3.example/images" }, "key of its own"},
		"a password in the URL":  {func(c *config.ObjectStore) { c.Endpoint = "https://a:not-to-be-shown@s3.example" }, "blobs.s3.credentials"},
		"no bucket":              {func(c *config.ObjectStore) { c.Bucket = "" }, "blobs.s3.bucket is missing"},
		"no name of a bucket":    {func(c *config.ObjectStore) { c.Bucket = "Images" }, "lower-case"},
		"a prefix without slash": {func(c *config.ObjectStore) { c.Prefix = "hallmark" }, "slash behind each"},
		"a prefix above":         {func(c *config.ObjectStore) { c.Prefix = "../" }, "slash behind each"},
		"no region":              {func(c *config.ObjectStore) { c.Region = "eu central" }, "eu-central-1"},
		"kept too short":         {func(c *config.ObjectStore) { c.Keep = 1 }, "at least 1h"},
		"redirects":              {func(c *config.ObjectStore) { c.Redirect, c.RedirectNetworks = true, []string{"10.0.0.0/8"} }, ""},
		"not redirected":         {func(c *config.ObjectStore) { c.RedirectAgents = []string{"docker/"} }, "blobs.s3.redirect: redirect is not true"},
		"no network":             {func(c *config.ObjectStore) { c.Redirect, c.RedirectNetworks = true, []string{"office"} }, "blobs.s3.redirectNetworks"},
		"no account":             {func(c *config.ObjectStore) { c.Redirect, c.RedirectAccounts = true, []string{"anonymous"} }, "blobs.s3.redirectAccounts"},
		"no agent":               {func(c *config.ObjectStore) { c.Redirect, c.RedirectAgents = true, []string{""} }, "blobs.s3.redirectAgents"},
		"no file of keys":        {func(c *config.ObjectStore) { c.Credentials = keys + "-none" }, "line of the keys: blobs.s3.credentials"},
		"a file without keys":    {func(c *config.ObjectStore) { c.Credentials = empty }, "aws_access_key_id"},
		"no file of the CA":      {func(c *config.ObjectStore) { c.CA = keys + "-none" }, "line of the CA: blobs.s3.ca"},
		"a CA that is none":      {func(c *config.ObjectStore) { c.CA = keys }, "line of the CA: blobs.s3.ca: " + keys + " holds no certificate"},
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

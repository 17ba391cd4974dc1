package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
)

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`) // one of them, see isPrefix
	regionName = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)
)

// isPrefix says whether a prefix is of up to 5 names with a slash behind each. The lengths are counted here: a pattern that has them
// takes 100 KB of memory as long as the process lives.
func isPrefix(s string) bool {
	names := strings.Split(s, "/")
	last := len(names) - 1
	tooLong := func(name string) bool { return len(name) > 63 || !prefixName.MatchString(name) }
	return 1 <= last && last <= 5 && names[last] == "" && !slices.ContainsFunc(names[:last], tooLong)
}

// checkBlobs refuses an object store that cannot be meant.
func (p *problems) checkBlobs(c ObjectStore) {
	if c.Endpoint == "" {
		p.checkNoBlobs(c)
		return
	}
	if key, err := c.Check(); err != nil {
		p.addf("blobs.s3."+key, "blobs.s3.%s: %w", key, err)
	}
	p.add("blobs.s3.endpoint", checkEndpoint(c.Endpoint))
	switch {
	case c.Bucket == "":
		p.addf("blobs.s3.bucket", "blobs.s3.bucket is missing: name a bucket that is there")
	case !bucketName.MatchString(c.Bucket):
		p.addf("blobs.s3.bucket", "blobs.s3.bucket is %q, and should have 3 to 63 lower-case letters, digits, '-' and '.'", c.Bucket)
	}
	if c.Prefix != "" && !isPrefix(c.Prefix) {
		p.addf("blobs.s3.prefix", "blobs.s3.prefix is %q, and should be up to 5 names of letters, digits, '_', '-' and '.', with a slash behind each: hallmark/", c.Prefix)
	}
	if !regionName.MatchString(c.Region) {
		p.addf("blobs.s3.region", "blobs.s3.region is %q, and should be as eu-central-1; for stores without regions leave it out", c.Region)
	}
	if c.Keep < units.Duration(time.Hour) {
		p.addf("blobs.s3.keep", "blobs.s3.keep is %s, and is at least 1h: an older copy of the data directory that is put back needs the blobs of then", c.Keep)
	}
	ca, credentials := c.Readable()
	p.add("blobs.s3.ca", ca)
	p.add("blobs.s3.credentials", credentials)
}

// checkNoBlobs refuses what is said of an object store that has no endpoint.
func (p *problems) checkNoBlobs(c ObjectStore) {
	for _, set := range []struct{ key, value string }{
		{"bucket", c.Bucket},
		{"prefix", c.Prefix},
		{"credentials", c.Credentials},
		{"ca", c.CA},
		{"redirectNetworks", strings.Join(c.RedirectNetworks, ",")},
		{"redirectAgents", strings.Join(c.RedirectAgents, ",")},
		{"redirectAccounts", strings.Join(c.RedirectAccounts, ",")},
		{"redirect", map[bool]string{true: "true"}[c.Redirect]},
	} {
		if set.value != "" {
			p.addf("blobs.s3."+set.key, "blobs.s3.%s is of an object store, and blobs.s3.endpoint is missing: write its URL, https://host", set.key)
		}
	}
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.User != nil: // what is in it may be secret
		return fmt.Errorf("blobs.s3.endpoint should be https://host or https://host:port; keys are in blobs.s3.credentials")
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return fmt.Errorf("blobs.s3.endpoint is %q, and should be https://host or https://host:port; the bucket has a key of its own", endpoint)
	case u.Scheme == "https", u.Scheme == "http" && peer.LoopbackHost(u.Hostname()):
		return nil
	}
	return fmt.Errorf("blobs.s3.endpoint is %q, and should be https://%s: keys and blobs go over TLS, unless the store is on this machine", endpoint, u.Host)
}

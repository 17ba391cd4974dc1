package server_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// asked asks as the administrator, and follows no redirect.
func asked(t *testing.T, s *servertest.Server, method, path string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(servertest.Login, ":")
	r.SetBasicAuth(user, password)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := *s.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// fetched fetches a URL of the object store, as somebody without a login.
func fetched(t *testing.T, remote *s3test.Server, url string, header ...string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := remote.Client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

// TestRemoteRedirect asks for blobs of a registry that redirects: GETs of large ones go to the object store, with nobody's login, also in
// ranges; everything else is answered as ever.
func TestRemoteRedirect(t *testing.T) {
	remote := s3test.Start(t)
	remote.Suffer(s3test.Strict)
	o := onRemote(remote, "one/")
	o.Config.Blobs.S3.Redirect = true
	s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	layer, small := noise(6<<20), noise(40_000)
	s.Push("app", "1", string(layer))
	s.Push("app", "2", string(small))
	where := func(content []byte) string { return "/v2/app/blobs/" + digest.FromBytes(content).String() }

	got := asked(t, s, "GET", where(layer))
	url := got.Header.Get("Location")
	if got.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(url, remote.Endpoint) || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a layer is answered with %d, %q, %v", got.StatusCode, url, got.Header)
	}
	if !strings.Contains(url, "X-Amz-Expires=600") {
		t.Errorf("the URL is good for other than 10 minutes: %s", url)
	}
	if status, body := fetched(t, remote, url); status != http.StatusOK || body != string(layer) {
		t.Errorf("the URL gives %d and %d bytes", status, len(body))
	}
	if status, body := fetched(t, remote, url, "Range", "bytes=100-299"); status != http.StatusPartialContent || body != string(layer[100:300]) {
		t.Errorf("a range of the URL gives %d and %d bytes", status, len(body))
	}
	if status, _ := fetched(t, remote, url, "Authorization", "Bearer foreign"); status != http.StatusBadRequest {
		t.Errorf("the object store of the test takes a foreign login: %d", status)
	}
	if status, _ := fetched(t, remote, url+"0"); status != http.StatusForbidden {
		t.Errorf("a URL that was changed gives %d", status)
	}
	for name, c := range map[string]struct {
		method, path string
		header       []string
		want         int
	}{
		"HEAD":                  {"HEAD", where(layer), nil, http.StatusOK},
		"a small blob":          {"GET", where(small), nil, http.StatusOK},
		"a range":               {"GET", where(layer), []string{"Range", "bytes=5-10"}, http.StatusTemporaryRedirect},
		"two ranges":            {"GET", where(layer), []string{"Range", "bytes=0-1,5-10"}, http.StatusPartialContent},
		"one that is there":     {"GET", where(layer), []string{"If-None-Match", `"` + digest.FromBytes(layer).String() + `"`}, http.StatusNotModified},
		"one that is not there": {"GET", where(noise(10)), nil, http.StatusNotFound},
		"another repository's":  {"GET", strings.Replace(where(layer), "app", "other", 1), nil, http.StatusNotFound},
	} {
		if got := asked(t, s, c.method, c.path, c.header...); got.StatusCode != c.want {
			t.Errorf("%s: %d; want %d", name, got.StatusCode, c.want)
		}
	}
	if status, _, err := s.Do("GET", where(layer), "", nil); err != nil || status != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d, %v", status, err)
	}
}

// TestRemoteRedirectRules redirects some clients alone.
func TestRemoteRedirectRules(t *testing.T) {
	remote := s3test.Start(t)
	layer := noise(100_000)
	path := "/v2/app/blobs/" + digest.FromBytes(layer).String()
	dir := filepath.Join(t.TempDir(), "data")
	for name, c := range map[string]struct {
		rule func(*config.ObjectStore)
		want int
	}{
		"nobody":          {func(c *config.ObjectStore) { c.Redirect = false }, 200},
		"this network":    {func(c *config.ObjectStore) { c.RedirectNetworks = []string{"127.0.0.0/8", "::1"} }, 307},
		"another network": {func(c *config.ObjectStore) { c.RedirectNetworks = []string{"10.0.0.0/8"} }, 200},
		"this agent":      {func(c *config.ObjectStore) { c.RedirectAgents = []string{"docker/", "Go-http-client/"} }, 307},
		"another agent":   {func(c *config.ObjectStore) { c.RedirectAgents = []string{"docker/"} }, 200},
		"this account":    {func(c *config.ObjectStore) { c.RedirectAccounts = []string{"user:admin"} }, 307},
		"another account": {func(c *config.ObjectStore) { c.RedirectAccounts = []string{"robot:ci"} }, 200},
		"this agent of another network": {func(c *config.ObjectStore) {
			c.RedirectAgents, c.RedirectNetworks = []string{"Go-http-client/"}, []string{"10.0.0.0/8"}
		}, 200},
	} {
		o := onRemote(remote, "one/")
		o.Config.Blobs.S3.Redirect = true
		c.rule(&o.Config.Blobs.S3)
		s := servertest.StartOn(t, dir, o)
		s.Push("app", "1", string(layer))
		if got := asked(t, s, "GET", path); got.StatusCode != c.want {
			t.Errorf("%s: %d; want %d", name, got.StatusCode, c.want)
		}
		s.Stop()
	}
}

// TestRemoteRedirectOutlived deletes an image whose layer somebody is about to fetch: the URL is good for as long as it says, because the
// object store keeps what is removed for longer.
func TestRemoteRedirectOutlived(t *testing.T) {
	remote := s3test.Start(t)
	o := onRemote(remote, "one/")
	o.Config.Blobs.S3.Redirect, o.Config.Trash.Keep, o.Config.Registry.Lease = true, 0, units.Duration(2*time.Second)
	s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	layer := noise(100_000)
	d := s.Push("app", "1", string(layer))
	path := "/v2/app/blobs/" + digest.FromBytes(layer).String()
	url := asked(t, s, "GET", path).Header.Get("Location")
	want(t, s, http.StatusAccepted, "DELETE", "/v2/app/manifests/"+d.String(), nil)
	for deadline := time.Now().Add(time.Minute); asked(t, s, "GET", path).StatusCode != http.StatusNotFound; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the layer is not collected")
		}
	}
	if status, body := fetched(t, remote, url); status != http.StatusOK || body != string(layer) {
		t.Errorf("the URL gives %d and %d bytes", status, len(body))
	}
}

// TestRemoteRedirectLost asks for a layer whose object is gone: the client is told by the registry, which marks it.
func TestRemoteRedirectLost(t *testing.T) {
	remote := s3test.Start(t)
	o := onRemote(remote, "one/")
	o.Config.Blobs.S3.Redirect = true
	s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	layer := noise(100_000)
	s.Push("app", "1", string(layer))
	remote.Suffer(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
			return
		}
		next.ServeHTTP(w, r)
	})
	path := "/v2/app/blobs/" + digest.FromBytes(layer).String()
	want(t, s, http.StatusNotFound, "GET", path, nil)
	for deadline := time.Now().Add(time.Minute); asked(t, s, "HEAD", path).StatusCode != http.StatusNotFound; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not marked")
		}
	}
}

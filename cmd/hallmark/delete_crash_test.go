package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestKilledWhileDeleting kills the server while it deletes an image with many tags, as soon as the deletion can be
// seen. After that no tag is there, the next start removes what is left, and each tag ended in one record, which is
// that of the deletion or names it.
func TestKilledWhileDeleting(t *testing.T) {
	const many = 2000
	v := newVictim(t)
	ctx := t.Context()
	digest, err := pushOnce(ctx, v.repository("team/app"), acknowledged{repo: "team/app", tag: "first", layer: "layer"})
	if err != nil {
		t.Fatal(err)
	}
	manifest := "https://" + v.address + "/v2/team/app/manifests/"
	_, header, body := v.send(ctx, "GET", manifest+digest, "", "")
	tags := []string{"first"}
	for i := range many {
		tags = append(tags, fmt.Sprintf("t%05d", i))
	}
	for some := range slices.Chunk(tags, 100) {
		if status, _, said := v.send(ctx, "PUT", manifest+digest+"?"+url.Values{"tag": some}.Encode(), header.Get("Content-Type"), body); status != 201 {
			t.Fatal(status, said)
		}
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		v.send(ctx, "DELETE", manifest+digest, "", "") // its answer is lost with the server, or not
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if status, _, _ := v.send(ctx, "HEAD", manifest+digest, "", ""); status == 404 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the image is not deleted")
		}
	}
	v.kill()
	<-asked
	v.start()
	for _, ref := range []string{digest, tags[0], tags[many]} {
		if status, _, _ := v.send(ctx, "GET", manifest+ref, "", ""); status != 404 {
			t.Errorf("%s is there: %d", ref, status)
		}
	}
	ended := v.awaitEnds(ctx, digest, len(tags))
	slices.Sort(ended)
	if slices.Sort(tags); !slices.Equal(ended, tags) {
		t.Errorf("%d tags ended, want %d", len(ended), len(tags))
	}
	if again, err := pushOnce(ctx, v.repository("team/app"), acknowledged{repo: "team/app", tag: "first", layer: "layer"}); err != nil || again != digest {
		t.Errorf("pushed again: %s, %v", again, err)
	}
	waitForClean(t, v.program, v.dir)
}

// awaitEnds waits until so many tags have ended, and returns them.
func (v *victim) awaitEnds(ctx context.Context, digest string, want int) (ended []string) {
	v.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for len(ended) < want && time.Now().Before(deadline) {
		ended = v.ends(ctx, digest)
		time.Sleep(20 * time.Millisecond)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if out := v.list(ctx, "/v2/team/app/tags/list"); out == 404 {
			break // and the repository with it
		}
	}
	return ended
}

func (v *victim) list(ctx context.Context, path string) int {
	status, _, _ := v.send(ctx, "GET", "https://"+v.address+path, "", "")
	return status
}

// ends returns the tags that ended with the deletion of an image, by its record and those that name it.
func (v *victim) ends(ctx context.Context, digest string) (ended []string) {
	v.t.Helper()
	deleted := uint64(0)
	for _, r := range v.records(ctx, "&digest="+url.QueryEscape(digest)) {
		switch {
		case r.Action == provenance.Push:
			continue
		case r.Action == provenance.Delete && deleted == 0:
			deleted = r.Index
		case r.Action != provenance.Untag || r.Of == nil || *r.Of != deleted:
			v.t.Errorf("record %d: %s of %v", r.Index, r.Action, r.Of)
		}
		for _, tag := range r.Tags {
			ended = append(ended, tag.Name)
		}
	}
	return ended
}

// records are all of team/app that a query has, oldest first.
func (v *victim) records(ctx context.Context, query string) []*provenance.Record {
	v.t.Helper()
	return v.recordsOf(ctx, "team/app", query)
}

func (v *victim) recordsOf(ctx context.Context, repo, query string) (all []*provenance.Record) {
	v.t.Helper()
	for next := "/api/v1/records?order=asc&repo=" + repo + query; next != ""; {
		_, _, body := v.send(ctx, "GET", "https://"+v.address+next, "", "")
		var page struct {
			Next    string
			Records []*provenance.Record
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			v.t.Fatalf("%v: %s", err, body)
		}
		all, next = append(all, page.Records...), page.Next
	}
	return all
}

// send sends one request, and returns status 0 when the server is down.
func (v *victim) send(ctx context.Context, method, address, contentType, body string) (int, http.Header, string) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		v.t.Error(err)
		return 0, nil, ""
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.SetBasicAuth("admin", adminPassword)
	answer, err := v.client.Client.Do(r)
	if err != nil {
		return 0, nil, ""
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil, ""
	}
	return answer.StatusCode, answer.Header, string(said)
}

//go:build soak

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"oras.land/oras-go/v2/registry/remote"
)

// TestSoakAttestations pushes 1,000 signed attestations of 16 MiB, four at a time, to a server that reads and verifies each
// as it comes, and asks for a report, which reads them again. The server's own memory stays below 100 MB. It needs 16 GB of
// disk for its time.
func TestSoakAttestations(t *testing.T) {
	const attestations, clients, most = 1000, 4, 100_000 // kB
	key := newSigner(t)
	key.write("    vouches: [sbom]\n")
	v := newVictim(t, "HALLMARK_TRUST_FILE="+key.file)
	var images [clients]string
	for n := range images {
		image := acknowledged{repo: fmt.Sprintf("team/app%d", n), tag: "1.0", layer: fmt.Sprint("layer ", n)}
		if !v.push(t.Context(), image) {
			t.Fatal("a push failed")
		}
		images[n] = v.done[n].digest
	}
	server := v.afresh()
	stop := v.watchAnonymous()
	var pushing sync.WaitGroup
	for n, image := range images {
		pushing.Go(func() {
			for i := range attestations / clients {
				key.attachStatement(server, fmt.Sprintf("team/app%d", n), image, largeStatement(image, n*attestations+i))
			}
		})
	}
	pushing.Wait()
	pushed := stop()
	stop = v.watchAnonymous()
	for n := range images {
		if status, _, body, err := v.ask(t.Context(), "GET", fmt.Sprintf("/api/v1/report?repo=team/app%d&ref=1.0", n)); err != nil || status != 200 {
			t.Errorf("%d, %v: %s", status, err, body)
		}
	}
	reported := stop()
	if good := v.goodVerdicts("team/app0"); good != attestations/clients {
		t.Errorf("%d of %d attestations were verified", good, attestations/clients)
	}
	t.Logf("RssAnon of the server: up to %d kB while it verified %d attestations of 16 MiB, and %d kB while it reported on them", pushed, attestations, reported)
	if max(pushed, reported) > most {
		t.Errorf("it should stay below %d kB", most)
	}
}

// afresh is a server to which each repository is a new login: a token counts for minutes, and the test may take longer.
type afresh struct {
	*victim
	client *http.Client
}

func (v *victim) afresh() afresh {
	v.t.Helper()
	client, err := httpClient(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	return afresh{v, client}
}

func (a afresh) repository(name string) *remote.Repository {
	repo := a.victim.repository(name)
	repo.Client = signedIn(a.client, a.address, "admin:"+adminPassword)
	return repo
}

// largeStatement is an SBOM of an image that takes nearly 16 MiB in an envelope, like no other number's.
func largeStatement(image string, number int) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document","subject":[{"name":"app","digest":{"sha256":%q}}],"predicate":{"number":%d,"comment":%q}}`,
		strings.TrimPrefix(image, "sha256:"), number, bytes.Repeat([]byte("y"), 12<<20-1000))
}

// watchAnonymous follows the anonymous memory of the server, and returns what ends that and returns the most there was, in kB.
func (v *victim) watchAnonymous() (stop func() int) {
	ctx, cancel := context.WithCancel(v.t.Context())
	most := make(chan int)
	go func() {
		high := 0
		defer func() { most <- high }()
		for ctx.Err() == nil {
			high = max(high, v.anonymous())
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int {
		cancel()
		return <-most
	}
}

// goodVerdicts counts the records of good signatures in a repository.
func (v *victim) goodVerdicts(repo string) (good int) {
	v.t.Helper()
	for next := "/api/v1/records?action=attest&limit=100&repo=" + repo; next != ""; {
		status, header, body, err := v.ask(v.t.Context(), "GET", next)
		var page struct {
			Records []struct{ Verdict struct{ Result string } }
		}
		if err == nil {
			err = json.Unmarshal([]byte(body), &page)
		}
		if err != nil || status != 200 {
			v.t.Fatalf("%d, %v: %s", status, err, body)
		}
		for _, r := range page.Records {
			if r.Verdict.Result == "good" {
				good++
			}
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
	}
	return good
}

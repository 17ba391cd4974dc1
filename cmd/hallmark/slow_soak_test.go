//go:build soak

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestSoakSlowReaders has hundreds of clients read a large blob as slowly as they like. The memory that the server takes for each
// is bounded, once it has become quiet and given back the garbage of their handshakes.
func TestSoakSlowReaders(t *testing.T) {
	for _, c := range []struct {
		proto   string
		readers int
		window  int // of each stream on HTTP/2, in bytes
		most    int // for each reader, in KiB
	}{
		{"h1", 300, 0, 64},
		{"h1", 1000, 0, 64}, // the kernel could not hold 4 MB for each
		{"h2", 300, 64 << 10, 128},
		{"h2", 300, 4 << 20, 192},
	} {
		t.Run(fmt.Sprint(c.proto, " ", c.readers, " ", c.window>>10), func(t *testing.T) {
			v := newVictim(t)
			path := v.largeBlob(24 << 20)
			before := v.anonymous()
			v.readSlowly(c.readers, path, c.proto, c.window)
			each := (v.anonymous() - before) / c.readers
			t.Logf("%s, a window of %d KiB: %d KiB for each of %d slow readers", c.proto, c.window>>10, each, c.readers)
			if each > c.most {
				t.Errorf("%d KiB for each slow reader, and should be %d at most", each, c.most)
			}
		})
	}
}

// largeBlob pushes a blob, and returns its path.
func (v *victim) largeBlob(size int) string {
	v.t.Helper()
	content := make([]byte, size)
	for i := 0; i < size; i += 4 << 10 {
		content[i] = byte(rand.Uint32())
	}
	name := digest.FromBytes(content)
	r, err := http.NewRequest("POST", "https://"+v.address+"/v2/slow/app/blobs/uploads/?digest="+name.String(), bytes.NewReader(content))
	if err != nil {
		v.t.Fatal(err)
	}
	r.SetBasicAuth("admin", adminPassword)
	r.Header.Set("Content-Type", "application/octet-stream")
	client, err := httpClient(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		v.t.Fatal(resp.Status)
	}
	return "/v2/slow/app/blobs/" + name.String()
}

// TestSoakSlowReferrers has hundreds of clients read a list of referrers of 2 MB as slowly as they like. None has the list in memory.
func TestSoakSlowReferrers(t *testing.T) {
	const readers = 300
	v := newVictim(t)
	subject := digest.FromString("what they are about")
	for n := range 220 {
		v.pushReferrer(subject, n)
	}
	before := v.anonymous()
	v.readSlowly(readers, "/v2/slow/app/referrers/"+subject.String(), "h1", 0)
	each := (v.anonymous() - before) / readers
	t.Logf("%d KiB for each of %d slow readers of referrers", each, readers)
	if each > 64 {
		t.Errorf("%d KiB for each slow reader, and should be 64 at most", each)
	}
}

// pushReferrer pushes an index of 10 KB about a subject.
func (v *victim) pushReferrer(subject digest.Digest, n int) {
	v.t.Helper()
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"application/note","manifests":[],`+
		`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1},"annotations":{"n":"%d","note":%q}}`,
		subject, n, strings.Repeat("x", 10_000))
	r, err := http.NewRequest("PUT", "https://"+v.address+"/v2/slow/app/manifests/"+digest.FromString(text).String(), strings.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	r.SetBasicAuth("admin", adminPassword)
	r.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	client, err := httpClient(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		v.t.Fatal(resp.Status)
	}
}

// anonymous is the anonymous memory of the server, in KiB.
func (v *victim) anonymous() int {
	v.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

// readSlowly has many read at once, each over a connection of its own, until all of them wait for more than they take.
func (v *victim) readSlowly(readers int, path, proto string, window int) {
	v.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	v.t.Cleanup(cancel)
	var began atomic.Int32
	for range readers {
		client := v.slowClient(proto, window)
		r, err := http.NewRequestWithContext(ctx, "GET", "https://"+v.address+path, nil)
		if err != nil {
			v.t.Fatal(err)
		}
		r.SetBasicAuth("admin", adminPassword)
		go func() {
			resp, err := client.Do(r)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			if want := map[string]int{"h1": 1, "h2": 2}[proto]; resp.ProtoMajor != want || resp.StatusCode != http.StatusOK {
				v.t.Errorf("HTTP/%d %s", resp.ProtoMajor, resp.Status)
			}
			began.Add(1)
			for buf := make([]byte, 4<<10); ; time.Sleep(2 * time.Second) {
				if _, err := io.ReadFull(resp.Body, buf); err != nil {
					return
				}
			}
		}()
		time.Sleep(4 * time.Millisecond)
	}
	for deadline := time.Now().Add(time.Minute); began.Load() < int32(readers); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatalf("%d of %d read", began.Load(), readers)
		}
	}
	time.Sleep(15 * time.Second) // until a client that had taken a lot at first has turned out to be slow
}

// slowClient is a client that has little in memory.
func (v *victim) slowClient(proto string, window int) *http.Client {
	v.t.Helper()
	client, err := httpClient(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport)
	if proto == "h1" {
		transport.ForceAttemptHTTP2, transport.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	} else {
		transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: window, MaxReceiveBufferPerConnection: window}
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	}
	v.t.Cleanup(transport.CloseIdleConnections)
	return client
}

// TestSoakSlowUploads has 100 clients send 250 KiB of a blob, and then nothing. None of them holds a large buffer.
func TestSoakSlowUploads(t *testing.T) {
	v := newVictim(t)
	v.largeBlob(1 << 20)
	const uploads = 100
	before := v.anonymous()
	for range uploads {
		status, header, body, err := v.ask(context.Background(), "POST", "/v2/slow/app/blobs/uploads/")
		if err != nil || status != http.StatusAccepted {
			t.Fatalf("%d %s, %v", status, body, err)
		}
		sent, send := io.Pipe()
		r, err := http.NewRequest("PATCH", "https://"+v.address+header.Get("Location"), sent)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("admin", adminPassword)
		r.ContentLength = 24 << 20
		client := v.slowClient("h1", 0)
		go func() {
			if resp, err := client.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		t.Cleanup(func() { _ = send.CloseWithError(io.ErrUnexpectedEOF) })
		if _, err := send.Write(make([]byte, 250<<10)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // until the last has arrived
	each := (v.anonymous() - before) / uploads
	t.Logf("%d KiB for each of %d slow uploads", each, uploads)
	if each > 220 {
		t.Errorf("%d KiB for each slow upload, and should be 220 at most", each)
	}
}

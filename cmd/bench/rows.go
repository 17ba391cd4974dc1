package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"
)

const (
	clients   = 4
	layerSize = 1 << 20
	perRound  = 100 // images that a round pushes, each way
	perRepo   = 20
)

// row is one kind of load.
type row struct {
	name, unit string
	worth      float64 // what one operation counts in that unit
	noFloor    bool    // the floor cannot do it
	fixed      bool    // does operations 0 to perRound, once each; else as many as fit into the time
	do         func(c *conn, images []image, i int) error
}

func rows() []row {
	return []row{
		{name: "push of 3 × 1 MiB (POST, PATCH, PUT)", unit: "images/s", worth: 1, fixed: true, do: func(c *conn, images []image, i int) error { return images[i].push(c, patched) }},
		{name: "re-push", unit: "images/s", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%perRound].push(c, nil) }},
		{name: "pull", unit: "images/s", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%perRound].pull(c) }},
		{name: "manifest GET by tag", unit: "/s", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%perRound].manifest(c, "GET") }},
		{name: "manifest HEAD by tag", unit: "/s", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%perRound].manifest(c, "HEAD") }},
		{name: "config blob GET", unit: "/s", worth: 1, do: func(c *conn, images []image, i int) error {
			img := images[i%perRound]
			return img.blob(c, img.config)
		}},
		{name: "1 MiB layer GET", unit: "MB/s", worth: layerSize / 1e6, do: func(c *conn, images []image, i int) error {
			img := images[i%perRound]
			return img.blob(c, img.layers[i%len(img.layers)])
		}},
		{name: "tag list, a page of 10", unit: "/s", worth: 1, noFloor: true, do: func(c *conn, images []image, i int) error {
			return c.want(200, request{method: "GET", path: "/v2/" + images[i%perRound].repo + "/tags/list?n=10"})
		}},
		{name: "catalog, a page of 10", unit: "/s", worth: 1, noFloor: true, do: func(c *conn, images []image, i int) error {
			return c.want(200, request{method: "GET", path: "/v2/_catalog?n=10"})
		}},
		{name: "push of 3 × 1 MiB (POST, PUT)", unit: "images/s", worth: 1, fixed: true, do: func(c *conn, images []image, i int) error { return images[perRound+i].push(c, monolithic) }},
		{name: "push of an index of 2 platforms with attestations", unit: "indexes/s", worth: 1, noFloor: true, do: pushBuilt},
	}
}

// content is a blob that is made when it is sent: a head of its own, and a tail that all share.
type content struct {
	digest string
	head   []byte
	tail   []byte
}

func (b content) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(b.head), bytes.NewReader(b.tail))
}

func (b content) size() int64 { return int64(len(b.head) + len(b.tail)) }

// tail is what no compression makes smaller.
var tail = func() []byte {
	b := make([]byte, layerSize-64)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(b) // which never fails
	return b
}()

func newContent(head, tail []byte) content {
	h := sha256.New()
	h.Write(head)
	h.Write(tail)
	return content{digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), head: head, tail: tail}
}

// image is something to push and to pull.
type image struct {
	repo, tag string
	layers    [3]content
	config    content
	text      []byte // the manifest
}

// newImages makes the images of a round.
func newImages(round, n int) (images []image, err error) {
	for i := 0; i < n; i += perRepo {
		some, err := newImagesOf(fmt.Sprintf("bench/app-%d-%d", round, i/perRepo), layerSize, i, perRepo)
		if err != nil {
			return nil, err
		}
		images = append(images, some...)
	}
	return images, nil
}

// newImagesOf makes n images of one repository, numbered from first, of three layers each of a size of its own.
func newImagesOf(repo string, size, first, n int) ([]image, error) {
	images := make([]image, n)
	for i := range images {
		img := image{repo: repo, tag: fmt.Sprintf("v%d", first+i)}
		m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
		for l := range img.layers {
			img.layers[l] = newContent(fmt.Appendf(nil, "%-40s%20d%4d", repo, first+i, l), tail[:size-64])
			m.Layers = append(m.Layers, img.layers[l].descriptor(v1.MediaTypeImageLayerGzip))
		}
		img.config = newContent(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"org.opencontainers.image.source":`+
			`"https://git.example/%s","org.opencontainers.image.revision":"%040x"}},"rootfs":{"type":"layers","diff_ids":[]}}`, repo, first+i), nil)
		m.Config = img.config.descriptor(v1.MediaTypeImageConfig)
		var err error
		if img.text, err = json.Marshal(m); err != nil {
			return nil, err
		}
		images[i] = img
	}
	return images, nil
}

func (b content) descriptor(mediaType string) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.Digest(b.digest), Size: b.size()}
}

// push sends an image as clients do: it asks for each blob, sends what is not there, then the manifest.
func (img image) push(c *conn, upload func(*conn, string, content) error) error {
	for _, b := range img.blobs() {
		status, _, err := c.do(request{method: "HEAD", path: "/v2/" + img.repo + "/blobs/" + b.digest})
		switch {
		case err != nil:
			return err
		case status == 200:
			continue
		case upload == nil:
			return fmt.Errorf("blob %s is not there any more", b.digest)
		}
		if err := upload(c, img.repo, b); err != nil {
			return err
		}
	}
	return img.put(c)
}

// put sends the manifest.
func (img image) put(c *conn) error {
	return c.want(201, request{
		method: "PUT", path: "/v2/" + img.repo + "/manifests/" + img.tag, contentType: v1.MediaTypeImageManifest,
		body: bytes.NewReader(img.text), length: int64(len(img.text)),
	})
}

// blobs are the layers and the config.
func (img image) blobs() []content {
	return append(img.layers[:len(img.layers):len(img.layers)], img.config)
}

// patched sends a blob as docker does.
func patched(c *conn, repo string, b content) error {
	begun, err := c.wantLocation(202, request{method: "POST", path: "/v2/" + repo + "/blobs/uploads/"})
	if err != nil {
		return err
	}
	sent, err := c.wantLocation(202, request{method: "PATCH", path: goOn(begun, ""), contentType: "application/octet-stream", body: b.reader(), length: b.size()})
	if err != nil {
		return err
	}
	return c.want(201, request{method: "PUT", path: goOn(sent, b.digest)})
}

// monolithic sends a blob as containerd and BuildKit do.
func monolithic(c *conn, repo string, b content) error {
	begun, err := c.wantLocation(202, request{method: "POST", path: "/v2/" + repo + "/blobs/uploads/"})
	if err != nil {
		return err
	}
	return c.want(201, request{method: "PUT", path: goOn(begun, b.digest), contentType: "application/octet-stream", body: b.reader(), length: b.size()})
}

func (img image) pull(c *conn) error {
	if err := img.manifest(c, "HEAD"); err != nil {
		return err
	}
	if err := img.manifest(c, "GET"); err != nil {
		return err
	}
	for _, b := range img.blobs() {
		if err := img.blob(c, b); err != nil {
			return err
		}
	}
	return nil
}

func (img image) manifest(c *conn, method string) error {
	return c.want(200, request{method: method, path: "/v2/" + img.repo + "/manifests/" + img.tag, accept: v1.MediaTypeImageManifest})
}

func (img image) blob(c *conn, b content) error {
	return c.want(200, request{method: "GET", path: "/v2/" + img.repo + "/blobs/" + b.digest})
}

// bench keeps the results: by row, then by server, then by round.
type bench struct {
	rows    []row
	each    time.Duration
	results map[string]map[string][]result
}

func newBench(only string, each time.Duration) *bench {
	b := &bench{each: each, results: map[string]map[string][]result{}}
	for _, r := range rows() {
		if r.fixed || strings.Contains(r.name, only) {
			b.rows = append(b.rows, r)
			b.results[r.name] = map[string][]result{}
		}
	}
	return b
}

// round runs every row on each server; who comes first changes from round to round.
func (b *bench) round(ctx context.Context, number int, servers ...*server) error {
	images, err := newImages(number, 2*perRound)
	if err != nil {
		return err
	}
	for _, r := range b.rows {
		for i := range servers {
			s := servers[(i+number)%len(servers)]
			if s.name == "floor" && r.noFloor {
				continue
			}
			if r.fixed {
				if err := s.forgetLayers(); err != nil {
					return err
				}
			}
			got, err := measure(ctx, s, r, images, b.each)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, r.name, err)
			}
			b.results[r.name][s.name] = append(b.results[r.name][s.name], got)
		}
	}
	return nil
}

func measure(ctx context.Context, s *server, r row, images []image, each time.Duration) (result, error) {
	before, err := s.cpuSeconds()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	done, err := drive(ctx, s, r, images, start.Add(each))
	if err != nil {
		return result{}, err
	}
	seconds := time.Since(start).Seconds()
	after, err := s.cpuSeconds()
	if err != nil {
		return result{}, err
	}
	return result{operations: done, seconds: seconds, cpu: after - before}, s.lookAtMemory()
}

// drive lets all clients work at once, and returns how many operations they did.
func drive(ctx context.Context, s *server, r row, images []image, until time.Time) (int, error) {
	var next, done atomic.Int64
	var workers sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		workers.Go(func() {
			c, err := s.dial()
			if err != nil {
				failed <- err
				return
			}
			defer c.close()
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if r.fixed && i >= perRound || !r.fixed && time.Now().After(until) {
					return
				}
				if err := r.do(c, images, i); err != nil {
					failed <- err
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	close(failed)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return int(done.Load()), <-failed
}

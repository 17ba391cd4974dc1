package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	remoteLayer  = 256 << 20 // bytes of a layer
	remoteBucket = "images"
	remoteKey    = "bench"
	remoteSecret = "bench-secret"
	remotePart   = 5 << 20
	directAgent  = "direct/1" // who is redirected
	manyClients  = 32
)

// gateway is an object store.
type gateway struct {
	*server
	client *http.Client
}

func startGateway(ctx context.Context, program, dir string) (*gateway, error) {
	if err := os.MkdirAll(filepath.Join(dir, "data", remoteBucket), 0o700); err != nil {
		return nil, err
	}
	if err := selfSigned(dir); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	keys := fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", remoteKey, remoteSecret)
	if err := writeFile(filepath.Join(dir, "keys"), keys); err != nil {
		return nil, err
	}
	g := &gateway{server: &server{name: "direct", dir: dir, address: address, store: true}}
	err = g.start(ctx, program, nil, "--port", address, "--access", remoteKey, "--secret", remoteSecret, "--quiet", "--keep-alive",
		"--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem"), "posix", "--disable-object-lock-file", filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	if err := g.ready(filepath.Join(dir, "cert.pem")); err != nil {
		return nil, err
	}
	g.client = clientOf(g.tls)
	return g, nil
}

func clientOf(c *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: c, DisableCompression: true, MaxIdleConnsPerHost: manyClients, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// environ has a registry keep its blobs in the object store, and send those there who say that they are direct.
func (g *gateway) environ() []string {
	return []string{
		"HALLMARK_BLOBS_S3_ENDPOINT=https://" + g.address, "HALLMARK_BLOBS_S3_BUCKET=" + remoteBucket, "HALLMARK_BLOBS_S3_PREFIX=bench/",
		"HALLMARK_BLOBS_S3_CA=" + filepath.Join(g.dir, "cert.pem"), "HALLMARK_BLOBS_S3_CREDENTIALS=" + filepath.Join(g.dir, "keys"),
		"HALLMARK_BLOBS_S3_REDIRECT=true", "HALLMARK_BLOBS_S3_REDIRECT_AGENTS=" + directAgent,
	}
}

// remoteBench measures a registry over an object store beside that object store alone.
type remoteBench struct {
	ctx  context.Context
	s    *server
	own  *http.Client // of the registry
	g    *gateway
	body []byte
	n    byte
}

// runBlobs measures what a registry adds to an object store: layers are pulled through it and directly, and pushed, in turn.
func runBlobs(ctx context.Context, program, store, dir string, rounds int) error {
	g, err := startGateway(ctx, store, filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	defer g.stop()
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"), g.environ()...)
	if err != nil {
		return err
	}
	defer s.stop()
	b := &remoteBench{ctx: ctx, s: s, own: clientOf(s.tls), g: g, body: make([]byte, remoteLayer)}
	_, _ = rand.Read(b.body) // which never fails
	fmt.Printf("a layer of %d MB, %d rounds, medians\n\n| | direct, MB/s | registry, MB/s | registry / direct |\n| --- | --: | --: | --: |\n", remoteLayer/1_000_000, rounds)
	for _, row := range []struct {
		name         string
		direct, ours func() (time.Duration, error)
	}{{"push", b.putParts, b.push}, {"pull", b.getDirect, b.pull}} {
		if err := compareRemote(row.name, rounds, row.direct, row.ours); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return b.many()
}

func compareRemote(name string, rounds int, direct, ours func() (time.Duration, error)) error {
	var least, took []time.Duration
	for range rounds {
		a, err := direct()
		if err != nil {
			return fmt.Errorf("direct: %w", err)
		}
		b, err := ours()
		if err != nil {
			return err
		}
		least, took = append(least, a), append(took, b)
	}
	a, b := sorted(least)[rounds/2].Seconds(), sorted(took)[rounds/2].Seconds()
	fmt.Printf("| %s | %.0f | %.0f | %.2f |\n", name, remoteLayer/1e6/a, remoteLayer/1e6/b, a/b)
	return nil
}

// another makes the layer another one.
func (b *remoteBench) another() {
	b.n++
	b.body[0] = b.n
}

// ask asks, and reads the answer to its end.
func ask(c *http.Client, r *http.Request, status int) (http.Header, []byte, error) {
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	var said bytes.Buffer
	_, err = io.CopyBuffer(&beginning{&said}, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10))
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %s: %.300s", r.Method, r.URL.Path, resp.Status, said.Bytes())
	}
	return resp.Header, said.Bytes(), err
}

// beginning keeps the first MiB of what is written to it, so that a layer does not stay in memory.
type beginning struct{ kept *bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) < 1<<20 {
		b.kept.Write(p)
	}
	return len(p), nil
}

func (b *remoteBench) request(method, url string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(b.ctx, method, url, bytes.NewReader(body))
	if err != nil {
		panic(err) // its URL is one of ours
	}
	r.Header.Set("Authorization", b.s.login)
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	return r
}

// push pushes a layer that is not there.
func (b *remoteBench) push() (time.Duration, error) {
	b.another()
	d := digest.FromBytes(b.body)
	begun := time.Now()
	err := b.pushBytes(b.body, d)
	return time.Since(begun), err
}

func (b *remoteBench) pushBytes(body []byte, d digest.Digest) error {
	own := "https://" + b.s.address
	answer, _, err := ask(b.own, b.request("POST", own+"/v2/bench/layers/blobs/uploads/", nil), 202)
	if err != nil {
		return err
	}
	if answer, _, err = ask(b.own, b.request("PATCH", own+goOn(answer.Get("Location"), ""), body), 202); err != nil {
		return err
	}
	_, _, err = ask(b.own, b.request("PUT", own+goOn(answer.Get("Location"), d.String()), nil), 201)
	return err
}

func (b *remoteBench) layer() string {
	return "https://" + b.s.address + "/v2/bench/layers/blobs/" + digest.FromBytes(b.body).String()
}

// pull pulls the layer that was pushed last.
func (b *remoteBench) pull() (time.Duration, error) {
	r := b.request("GET", b.layer(), nil)
	begun := time.Now()
	_, _, err := ask(b.own, r, 200)
	return time.Since(begun), err
}

// getDirect gets the object of the layer that was pushed last from the object store.
func (b *remoteBench) getDirect() (time.Duration, error) {
	r := b.request("GET", b.layer(), nil)
	r.Header.Set("User-Agent", directAgent)
	answer, _, err := ask(b.own, r, 307)
	if err != nil {
		return 0, err
	}
	r = b.request("GET", answer.Get("Location"), nil)
	r.Header.Del("Authorization")
	begun := time.Now()
	_, _, err = ask(b.g.client, r, 200)
	return time.Since(begun), err
}

// putParts puts the layer into the object store in parts of the size that the registry's have, one after another.
func (b *remoteBench) putParts() (time.Duration, error) {
	b.another()
	begun := time.Now()
	_, said, err := ask(b.g.client, b.signed("POST", "uploads=", nil), 200)
	if err != nil {
		return 0, err
	}
	var upload struct {
		ID string `xml:"UploadId"`
	}
	if err := xml.Unmarshal(said, &upload); err != nil {
		return 0, err
	}
	var done bytes.Buffer
	done.WriteString("<CompleteMultipartUpload>")
	for n, rest := 1, b.body; len(rest) > 0; n++ {
		part := rest[:min(len(rest), remotePart)]
		answer, _, err := ask(b.g.client, b.signed("PUT", fmt.Sprintf("partNumber=%d&uploadId=%s", n, upload.ID), part), 200)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(&done, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, answer.Get("ETag"))
		rest = rest[len(part):]
	}
	done.WriteString("</CompleteMultipartUpload>")
	_, _, err = ask(b.g.client, b.signed("POST", "uploadId="+upload.ID, done.Bytes()), 200)
	return time.Since(begun), err
}

// signed is a request about one object, signed as S3 wants it, but for its body.
func (b *remoteBench) signed(method, query string, body []byte) *http.Request {
	now := time.Now().UTC()
	day, moment := now.Format("20060102"), now.Format("20060102T150405Z")
	path := "/" + remoteBucket + "/direct"
	r := b.request(method, "https://"+b.g.address+path+"?"+query, body)
	r.Header.Set("X-Amz-Date", moment)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	const names = "host;x-amz-content-sha256;x-amz-date"
	canonical := fmt.Sprintf("%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:%s\n\n%s\nUNSIGNED-PAYLOAD", method, path, query, b.g.address, moment, names)
	sum := sha256.Sum256([]byte(canonical))
	scope := day + "/us-east-1/s3/aws4_request"
	key := []byte("AWS4" + remoteSecret)
	for _, step := range []string{day, "us-east-1", "s3", "aws4_request", "AWS4-HMAC-SHA256\n" + moment + "\n" + scope + "\n" + hex.EncodeToString(sum[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(step))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", remoteKey, scope, names, key))
	return r
}

// many lets clients push and pull at once, and shows the most memory that the registry needs.
func (b *remoteBench) many() error {
	stop := b.s.watchMemory()
	url := b.layer()
	errs := make(chan error, manyClients)
	var group sync.WaitGroup
	for i := range manyClients {
		group.Go(func() {
			if i%2 == 0 {
				_, _, err := ask(b.own, b.request("GET", url, nil), 200)
				errs <- err
				return
			}
			body := make([]byte, 32<<20)
			body[0] = byte(i)
			errs <- b.pushBytes(body, digest.FromBytes(body))
		})
	}
	group.Wait()
	close(errs)
	var err error
	for one := range errs {
		err = errors.Join(err, one)
	}
	err = errors.Join(err, stop())
	fmt.Printf("\n%d clients at once, every other one pushing: %.0f MB of memory at most\n", manyClients, float64(b.s.peak)/1e6)
	return err
}

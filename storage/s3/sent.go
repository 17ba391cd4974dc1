package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
)

// sent is what an operation sends, in one try or several. A try begins once the one before is answered, while net/http may still
// be reading the body of that: so each reads the bytes by itself.
type sent struct {
	content []byte
	bodies  sync.WaitGroup // that may still be read
}

type sentKey struct{}

// send does an operation that sends bytes, with their hash in hex: the store compares it, so that what it has is what was sent.
// Nobody reads the bytes any more once it returns.
func (c *client) send(ctx context.Context, op string, content []byte, fn func(ctx context.Context, body io.Reader, sum string) error) error {
	sum := sha256.Sum256(content)
	s := &sent{content: content}
	defer s.bodies.Wait()
	return c.do(context.WithValue(ctx, sentKey{}, s), op, c.patient.sending, func(ctx context.Context) error {
		return fn(ctx, bytes.NewReader(content), hex.EncodeToString(sum[:]))
	})
}

// resender gives each try of an operation a body of its own.
type resender struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t resender) RoundTrip(r *http.Request) (*http.Response, error) {
	if s, ok := r.Context().Value(sentKey{}).(*sent); ok && r.ContentLength > 0 && r.ContentLength == int64(len(s.content)) {
		s.bodies.Add(1)
		r = r.WithContext(r.Context())
		r.Body = body{bytes.NewReader(s.content), sync.OnceFunc(s.bodies.Done)}
	}
	return t.Transport.RoundTrip(r)
}

// body is read by one try.
type body struct {
	io.Reader
	done func()
}

// Close implements io.Closer.
func (b body) Close() error {
	b.done()
	return nil
}

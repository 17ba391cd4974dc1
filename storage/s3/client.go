package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// tries is how often an operation is tried.
const tries = 5

// patienceOf is how long an operation may take, with all its tries.
type patienceOf struct {
	asking  time.Duration // without bytes, and until the first byte comes
	sending time.Duration // with those of a part
	idle    time.Duration // without a byte, of an object that is read
}

var usualPatience = patienceOf{asking: 30 * time.Second, sending: 5 * time.Minute, idle: time.Minute}

// client asks one bucket, below one prefix. It is safe for concurrent use.
type client struct {
	core     calls
	endpoint string
	bucket   string
	prefix   string
	patient  patienceOf
	counts   counts
}

// calls are the methods of minio.Core that are called. Were the Core itself in a value that somebody may look into, the linker
// would keep all of its methods: 1 MB of program.
type calls struct {
	PutObject               func(ctx context.Context, bucket, object string, data io.Reader, size int64, md5Base64, sha256Hex string, o minio.PutObjectOptions) (minio.UploadInfo, error)
	NewMultipartUpload      func(ctx context.Context, bucket, object string, o minio.PutObjectOptions) (string, error)
	PutObjectPart           func(ctx context.Context, bucket, object, id string, n int, data io.Reader, size int64, o minio.PutObjectPartOptions) (minio.ObjectPart, error)
	CopyObjectPart          func(ctx context.Context, fromBucket, from, bucket, object, id string, n int, at, length int64, metadata map[string]string) (minio.CompletePart, error)
	CompleteMultipartUpload func(ctx context.Context, bucket, object, id string, parts []minio.CompletePart, o minio.PutObjectOptions) (minio.UploadInfo, error)
	GetObject               func(ctx context.Context, bucket, object string, o minio.GetObjectOptions) (io.ReadCloser, minio.ObjectInfo, http.Header, error)
	RemoveObject            func(ctx context.Context, bucket, object string, o minio.RemoveObjectOptions) error
	AbortMultipartUpload    func(ctx context.Context, bucket, object, id string) error
	ListObjectParts         func(ctx context.Context, bucket, object, id string, after, most int) (minio.ListObjectPartsResult, error)
	ListMultipartUploads    func(ctx context.Context, bucket, prefix, after, afterID, delimiter string, most int) (minio.ListMultipartUploadsResult, error)
	PresignedGetObject      func(ctx context.Context, bucket, object string, lasts time.Duration, parameters url.Values) (*url.URL, error)
}

func callsOf(c *minio.Core) calls {
	return calls{
		c.PutObject, c.NewMultipartUpload, c.PutObjectPart, c.CopyObjectPart, c.CompleteMultipartUpload,
		c.GetObject, c.RemoveObject, c.AbortMultipartUpload, c.ListObjectParts, c.ListMultipartUploads, c.PresignedGetObject,
	}
}

func newClient(ctx context.Context, c Config) (*client, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("blobs.s3.endpoint is %q, and should be https://host or https://host:port", c.Endpoint)
	}
	transport, err := newTransport(c.CA)
	if err != nil {
		return nil, err
	}
	keys, err := newCredentials(ctx, c.Credentials, transport)
	if err != nil {
		return nil, err
	}
	region := c.Region
	if region == "" {
		region = "us-east-1"
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: keys, Secure: u.Scheme == "https", Region: region, Transport: resender{transport}, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("blobs.s3.endpoint is %q: %w", c.Endpoint, err)
	}
	return &client{core: callsOf(core), endpoint: u.Scheme + "://" + u.Host, bucket: c.Bucket, prefix: c.Prefix, patient: usualPatience}, nil
}

// newTransport trusts the certificate authorities of a file, or the system's.
func newTransport(ca string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		// A connection for each client of ours, so that none is made anew for each part.
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, ExpectContinueTimeout: 5 * time.Second,
		DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if ca == "" {
		return t, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("blobs.s3.ca: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("blobs.s3.ca: %s holds no certificate in PEM", ca)
	}
	return t, nil
}

// newCredentials finds the keys that sign requests, and wants there to be some: without, requests would be anonymous.
func newCredentials(ctx context.Context, file string, t *http.Transport) (*credentials.Credentials, error) {
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}}
	if file != "" {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("blobs.s3.credentials: %w", err)
		}
		chain = []credentials.Provider{&credentials.FileAWSCredentials{Filename: file}}
	}
	keys := credentials.NewChainCredentials(chain)
	found, err := keys.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: t, Timeout: 10 * time.Second}})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && found.AccessKeyID != "" && found.SecretAccessKey != "":
		return keys, nil
	case file != "":
		return nil, fmt.Errorf("blobs.s3.credentials: %s has no aws_access_key_id and aws_secret_access_key in its profile", file)
	}
	return nil, errors.New("blobs.s3: there are no keys for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file of them in blobs.s3.credentials")
}

// key is the name of an object.
func (c *client) key(p place.Place, epoch uint64) string {
	name := c.prefix + "blobs/" + place.FormatRun(p.Run) + "/" + place.FormatN(p.N)
	if epoch > 0 {
		name += "-" + place.FormatN(epoch)
	}
	return name
}

// do does an operation within a time, counts it, and says in a sentence what went wrong.
func (c *client) do(ctx context.Context, op string, within time.Duration, fn func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	err := fn(limited)
	if ctx.Err() != nil && err != nil {
		return ctx.Err() // nobody wants it any more
	}
	err = c.explain(op, err)
	c.counts.add(op, time.Since(began), err)
	return err
}

// put stores an object whole.
func (c *client) put(ctx context.Context, key string, content []byte, o minio.PutObjectOptions) (etag string, err error) {
	err = c.send(ctx, "put", content, func(ctx context.Context, body io.Reader, sum string) error {
		info, err := c.core.PutObject(ctx, c.bucket, key, body, int64(len(content)), "", sum, o)
		etag = info.ETag
		return err
	})
	return etag, err
}

// begin begins an upload in parts.
func (c *client) begin(ctx context.Context, key string) (id string, err error) {
	err = c.do(ctx, "begin", c.patient.asking, func(ctx context.Context) (err error) {
		id, err = c.core.NewMultipartUpload(ctx, c.bucket, key, minio.PutObjectOptions{})
		return err
	})
	return id, err
}

// putPart stores a part.
func (c *client) putPart(ctx context.Context, key, id string, n int, content []byte) (part, error) {
	made := part{Size: int64(len(content))}
	err := c.send(ctx, "part", content, func(ctx context.Context, body io.Reader, sum string) error {
		got, err := c.core.PutObjectPart(ctx, c.bucket, key, id, n, body, made.Size, minio.PutObjectPartOptions{Sha256Hex: sum})
		made.ETag = got.ETag
		return err
	})
	return made, err
}

// copyPart makes a part of an object, whose bytes stay where they are.
func (c *client) copyPart(ctx context.Context, from, key, id string, n int, size int64) (part, error) {
	made := part{Size: size}
	err := c.do(ctx, "copy", c.patient.sending, func(ctx context.Context) error {
		got, err := c.core.CopyObjectPart(ctx, c.bucket, from, c.bucket, key, id, n, 0, -1, nil)
		made.ETag = got.ETag
		return err
	})
	return made, err
}

// complete makes an object of parts.
func (c *client) complete(ctx context.Context, key, id string, parts []part) (etag string, err error) {
	named := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		named[i] = minio.CompletePart{PartNumber: i + 1, ETag: p.ETag}
	}
	err = c.do(ctx, "complete", c.patient.sending, func(ctx context.Context) error {
		info, err := c.core.CompleteMultipartUpload(ctx, c.bucket, key, id, named, minio.PutObjectOptions{})
		etag = info.ETag
		return err
	})
	return etag, err
}

// stat says what an object is like, which has bytes. It asks for the first, because the answer to HEAD has no body, and without one a
// bucket that is not there looks as an object that is not. Error: storage.ErrNotFound.
func (c *client) stat(ctx context.Context, key string) (found object, err error) {
	first := minio.GetObjectOptions{}
	if err := first.SetRange(0, 0); err != nil {
		return found, err
	}
	err = c.do(ctx, "stat", c.patient.asking, func(ctx context.Context) error {
		body, info, header, err := c.core.GetObject(ctx, c.bucket, key, first)
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // it was only read
		if _, err := io.Copy(io.Discard, io.LimitReader(body, 2)); err != nil {
			return err
		}
		found.ETag = info.ETag
		found.Size, err = sizeIn(header.Get("Content-Range"))
		return err
	})
	return found, err
}

// url is where an object can be fetched without keys for a time. The store is not asked.
func (c *client) url(ctx context.Context, key string, lasts time.Duration) (string, error) {
	u, err := c.core.PresignedGetObject(ctx, c.bucket, key, lasts, url.Values{"response-content-type": {"application/octet-stream"}})
	if err != nil {
		return "", c.explain("sign", err)
	}
	return u.String(), nil
}

// sizeIn is the size of an object in a Content-Range: bytes 0-0/SIZE.
func sizeIn(contentRange string) (int64, error) {
	_, size, _ := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("an answer to a range has the Content-Range %.60q", contentRange)
	}
	return n, nil
}

// get opens an object for reading, from a byte on. It must have an ETag still, where one is given. The body ends with ctx.
func (c *client) get(ctx context.Context, key, etag string, from int64) (body io.ReadCloser, found object, err error) {
	o := minio.GetObjectOptions{}
	if etag != "" {
		err = o.SetMatchETag(etag)
	}
	if from > 0 {
		err = errors.Join(err, o.SetRange(from, 0))
	}
	if err != nil {
		return nil, found, err
	}
	limited, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.patient.asking, cancel)
	began := time.Now()
	got, info, _, err := c.core.GetObject(limited, c.bucket, key, o)
	if !late.Stop() && err != nil && ctx.Err() == nil {
		err = context.DeadlineExceeded
	}
	if ctx.Err() != nil && err != nil {
		cancel()
		return nil, found, ctx.Err()
	}
	err = c.explain("get", err)
	c.counts.add("get", time.Since(began), err)
	if err != nil {
		cancel()
		return nil, found, err
	}
	return &reading{got, cancel, c.patient.idle, time.AfterFunc(c.patient.idle, cancel)}, object{Size: info.Size, ETag: info.ETag}, nil
}

// reading is an object that is being read, whose connection ends where no byte comes for too long.
type reading struct {
	io.ReadCloser
	cancel  func()
	patient time.Duration
	idle    *time.Timer
}

func (b *reading) Read(p []byte) (int, error) {
	b.idle.Reset(b.patient)
	n, err := b.ReadCloser.Read(p)
	b.idle.Stop() // until somebody reads on, nobody waits
	return n, err
}

func (b *reading) Close() error {
	b.idle.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}

// remove removes an object. That it is not there is no error.
func (c *client) remove(ctx context.Context, key string) error {
	return c.do(ctx, "remove", c.patient.asking, func(ctx context.Context) error {
		return c.core.RemoveObject(ctx, c.bucket, key, minio.RemoveObjectOptions{})
	})
}

// abort drops an upload in parts. Error: storage.ErrNotFound, once the store knows nothing of it.
func (c *client) abort(ctx context.Context, key, id string) error {
	return c.do(ctx, "abort", c.patient.asking, func(ctx context.Context) error {
		if err := c.core.AbortMultipartUpload(ctx, c.bucket, key, id); err != nil {
			return err
		}
		// A part that was on its way may have come behind it, and is charged for until somebody drops it again.
		_, err := c.core.ListObjectParts(ctx, c.bucket, key, id, 0, 1)
		return err
	})
}

// uploads returns the store's ids of the uploads in parts to one name: none where we may not ask.
func (c *client) uploads(ctx context.Context, key string) (ids []string, err error) {
	denied := false
	err = c.do(ctx, "uploads", c.patient.asking, func(ctx context.Context) error {
		found, err := c.core.ListMultipartUploads(ctx, c.bucket, key, "", "", "", 100)
		for _, u := range found.Uploads {
			if u.Key == key {
				ids = append(ids, u.UploadID)
			}
		}
		denied = isDenied(err)
		return err
	})
	if denied {
		return nil, nil
	}
	return ids, err
}

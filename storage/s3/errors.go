package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/seed-260924e6/hallmark/storage"
)

// explain says in a sentence why an operation failed, and what to do. It names no key and no query. Errors:
// storage.ErrNotFound, storage.ErrCorrupt where an object is another one than it was; else storage.ErrAway.
func (c *client) explain(op string, err error) error {
	var answer minio.ErrorResponse
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return c.explainAnswer(op, answer)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return c.away("does not answer in time (%s)", op)
	}
	var unsafe *tls.CertificateVerificationError
	if errors.As(err, &unsafe) {
		return c.away("has a certificate that is not trusted: name its certificate authority in blobs.s3.ca (%w)", unsafe)
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // without the URL
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return c.away("does not answer in time (%s)", op)
	}
	return c.away("cannot be reached: %w", err)
}

func (c *client) away(format string, args ...any) error {
	return fmt.Errorf("%w: %s %w", storage.ErrAway, c.endpoint, fmt.Errorf(format, args...))
}

// explainAnswer says what an answer of the store means.
func (c *client) explainAnswer(op string, a minio.ErrorResponse) error {
	switch a.Code {
	case "NoSuchKey":
		return fmt.Errorf("the object is not there: %w", storage.ErrNotFound)
	case "NoSuchUpload":
		return fmt.Errorf("the object store does not know the upload any more: %w", storage.ErrNotFound)
	case "PreconditionFailed":
		return fmt.Errorf("%w: the object has another ETag than when it was made: somebody wrote to it", storage.ErrCorrupt)
	case "NoSuchBucket":
		return c.away("has no bucket %q: make it, or correct blobs.s3.bucket", c.bucket)
	case "InvalidAccessKeyId":
		return c.away("does not know the access key: correct the keys that blobs.s3.credentials or the environment names")
	case "SignatureDoesNotMatch":
		return c.away("refuses the signature: the secret key is wrong, or a proxy in between changes requests")
	case "RequestTimeTooSkewed", "RequestExpired":
		return c.away("has another time than this machine, by more than 15 minutes: set the clock")
	case "ExpiredToken", "InvalidToken", "ExpiredTokenException":
		return c.away("refuses the keys of this session: they have expired")
	case "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException", "PermanentRedirect":
		return c.away("has the bucket in another region%s: correct blobs.s3.region", inBrackets(a.Region))
	}
	return c.explainStatus(op, a)
}

func (c *client) explainStatus(op string, a minio.ErrorResponse) error {
	switch {
	case 300 <= a.StatusCode && a.StatusCode < 400:
		return c.away("answers %q with a redirect, which is not followed: name in blobs.s3.endpoint where the bucket is", op)
	case a.StatusCode == http.StatusForbidden:
		return c.away("does not allow %q: let the key list bucket %q, and get, put and delete what begins with %q", op, c.bucket, c.prefix)
	case a.StatusCode == http.StatusServiceUnavailable || a.StatusCode == http.StatusTooManyRequests || a.Code == "SlowDown":
		return c.away("has too much to do (%q, %d tries)", op, tries)
	}
	return c.away("answers %q with %d %s%s", op, a.StatusCode, a.Code, inBrackets(a.Message))
}

// isDenied says that a store does not do an operation for us, or for anybody, however often it is asked.
func isDenied(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" (%.200s)", s)
}

package server

import (
	"context"
	"time"

	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// remoteOf says where the object store of the blobs is, where they are in one.
func remoteOf(c config.Config) func() (*s3.Config, error) {
	return func() (*s3.Config, error) { return c.Blobs.Remote(), nil }
}

// tidyRemote removes objects that nothing needs, until ctx ends.
func (s *Server) tidyRemote(ctx context.Context) {
	if remote, ok := s.data.Blobs.(*s3.Store); ok {
		remote.Tidy(ctx, time.Minute)
	}
}

// blobsAway says what is wrong with what keeps the blobs.
func (s *Server) blobsAway() string {
	if _, remote := s.data.Blobs.(*s3.Store); remote {
		return "the object store of the blobs does not answer, or refuses to; the log says more"
	}
	return "the disk of the blobs does not answer, or is not mounted"
}

// addRemoteMetrics shows what is asked of the object store. Where there is none, nothing is.
func (s *Server) addRemoteMetrics() {
	each := func(value func(s3.Counted) float64) func() map[string]float64 {
		return func() map[string]float64 {
			all := map[string]float64{}
			if remote, ok := s.data.Blobs.(*s3.Store); ok {
				for operation, n := range remote.Counted() {
					all[operation] = value(n)
				}
			}
			return all
		}
	}
	s.metrics.Counters("hallmark_object_store_requests_total", "Operations on the object store, each with all its tries.", "operation",
		each(func(n s3.Counted) float64 { return float64(n.Requests) }))
	s.metrics.Counters("hallmark_object_store_failures_total", "Those that failed.", "operation", each(func(n s3.Counted) float64 { return float64(n.Failures) }))
	s.metrics.Counters("hallmark_object_store_seconds_total", "How long they took; reading counts until the first byte.", "operation", each(func(n s3.Counted) float64 { return n.Seconds }))
}

// Package obs shows what the server does: structured log lines, Prometheus metrics, and the
// middleware that gives each request an id, one line and its place in the metrics.
package obs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
)

// LogConfig says what is logged, and how.
type LogConfig struct {
	// Level is the least severe level that is logged: debug, info, warn or error. Requests that went well
	// are info, so warn leaves only what somebody should look at. Default: info.
	Level string `yaml:"level"`
	// Format is text, or json with one object a line. Default: text.
	Format string `yaml:"format"`
}

// NewLogger returns a logger that writes to w. level can be changed while it is in use.
func NewLogger(w io.Writer, c LogConfig, level *slog.LevelVar) (*slog.Logger, error) {
	l, err := ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	level.Set(l)
	o := &slog.HandlerOptions{Level: level}
	if err := CheckFormat(c.Format); err != nil {
		return nil, err
	}
	if c.Format != "json" {
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	o.ReplaceAttr = withUnits
	return slog.New(slog.NewJSONHandler(w, o)), nil
}

// CheckFormat refuses a LogConfig.Format that there is not.
func CheckFormat(format string) error {
	switch format {
	case "", "text", "json":
		return nil
	}
	return fmt.Errorf("log format %q is neither text nor json", format)
}

// withUnits writes lengths of time as people do, 1.5s, where JSON would have nanoseconds without saying so.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// ParseLevel reads a level as LogConfig has it.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("log level %q is none of debug, info, warn and error", s)
	}
}

// request is what the middleware and the handlers below it know together about one request. The
// handler's goroutine owns it until the handler returns.
type request struct {
	id    string
	route string // a name with few values, for metrics
	user  string
	known func() // called when the user is known, or nil
}

type requestKey struct{}

func of(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// RequestID returns the id of the request that a context belongs to, or "".
func RequestID(ctx context.Context) string {
	if r := of(ctx); r != nil {
		return r.id
	}
	return ""
}

// SetRoute names the route of a request. Names must be few: they label metrics.
func SetRoute(ctx context.Context, route string) {
	if r := of(ctx); r != nil {
		r.route = route
	}
}

// SetUser names who makes a request, for its log line.
func SetUser(ctx context.Context, user string) {
	if r := of(ctx); r != nil {
		r.user = user
		if r.known != nil {
			r.known()
		}
	}
}

// OnUser calls fn when it is known who makes a request.
func OnUser(ctx context.Context, fn func()) {
	if r := of(ctx); r != nil {
		r.known = fn
	}
}

// ids are unique over all processes: a random part of this one, and a number.
var (
	idPrefix = func() string {
		b := make([]byte, 6)
		rand.Read(b) // which never fails
		return hex.EncodeToString(b) + "-"
	}()
	idNext atomic.Uint64
)

func newID() string { return idPrefix + strconv.FormatUint(idNext.Add(1), 16) }

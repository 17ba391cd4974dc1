package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// keepAlive finds within half a minute that the other end is gone: a commit is waited for without any other limit.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// openPool prepares connections, and makes none yet.
func openPool(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	p, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("this is no URL of a database, as postgres://user@host/database: %w", withoutURL(err))
	}
	p.MaxConns = int32(c.Connections)
	if c.Connections == 0 {
		p.MaxConns = 16
	}
	p.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statements: a pooler may be between
	p.ConnConfig.ConnectTimeout = connectWithin
	p.ConnConfig.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	if p.ConnConfig.RuntimeParams["application_name"] == "" {
		p.ConnConfig.RuntimeParams["application_name"] = "hallmark"
	}
	return pgxpool.NewWithConfig(ctx, p)
}

// Shown is the URL of a database without what may be secret.
func Shown(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "postgres://…"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "…")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// withoutURL leaves the URL, and so a password, out of what pgx says about one that it cannot read.
func withoutURL(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+3:]
	}
	return fmt.Errorf("%s", text)
}

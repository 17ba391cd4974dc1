package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/tlog"
)

// What follows is for those who check the registry: they may have no account, and nothing here names a
// repository.

// Transparency is the log of what was signed, and the keys. An origin of "" is the newest log. Error: log.ErrNoLog.
type Transparency interface {
	// Checkpoint returns the newest signed checkpoint.
	Checkpoint(ctx context.Context, origin string) (signed string, err error)
	// CosignedCheckpoint returns the newest that a witness cosigned: any witness where none is named.
	CosignedCheckpoint(ctx context.Context, origin, witness string) (signed string, err error)
	// Tile returns a tile of hashes or entries. Error: log.ErrSize.
	Tile(ctx context.Context, origin string, tile tlog.Tile) ([]byte, error)
	// KeyRanges are the receipt keys, each with the records that it signed; the last one is in force.
	KeyRanges(ctx context.Context) ([]provenance.KeyRange, error)
	// Logs are all logs, oldest first.
	Logs(ctx context.Context) ([]log.Log, error)
	// KeyEntries and LogEntries are the same as files for verifiers have them.
	KeyEntries(ctx context.Context) ([]receipt.KeyEntry, error)
	LogEntries(ctx context.Context) ([]receipt.LogEntry, error)
}

// publicRoutes need no login, unless the log is private.
func (a *API) publicRoutes() []route {
	return []route{
		{"GET /log/{path...}", "log", false, a.log},
		{"POST /log/cosignature", "cosignature", false, a.cosignature},
		{"GET /keys/receipts.json", "keys", false, a.receiptKeys},
		{"GET /keys/receipts.pem", "keys", false, a.currentKey},
		{"GET /keys/receipts/{file}", "keys", false, a.receiptKey},
		{"GET /keys/logs.json", "keys", false, a.logKeys},
		{"GET /keys/log.vkey", "keys", false, a.logKey},
		{"GET /trusted_root.json", "keys", false, a.trustedRoot},
	}
}

// servePublic answers a call of anyone.
func (a *API) servePublic(w http.ResponseWriter, r *http.Request, route route) {
	obs.SetRoute(r.Context(), route.name)
	c := &call{Request: r, w: w}
	var err error
	if route.name != "log" { // which has a parameter
		err = c.query().end()
	}
	if err == nil && a.PrivateLog && route.name == "log" {
		if c.who, err = a.Gate.Identify(r); err == nil && c.isStranger() {
			err = access.ErrNoLogin // whatever strangers may pull
		}
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	value, err := route.handler(c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.answer(w, value)
}

// raw is an answer of bytes.
type raw struct {
	contentType string
	cache       string
	data        []byte
}

func (v raw) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", v.contentType)
	h.Set("Cache-Control", v.cache)
	h.Set("Content-Length", fmt.Sprint(len(v.data)))
	_, _ = w.Write(v.data) // a client that left does not matter any more
}

// How long answers may be kept: for ever what can never change, a moment what may grow.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheMoment  = "public, max-age=5"
	cacheNever   = "no-store"
)

const text = "text/plain; charset=utf-8"

// log answers GET /log/…: checkpoints and tiles of the newest log, and under its origin those of each.
func (a *API) log(c *call) (any, error) {
	path := c.PathValue("path")
	origin := ""
	if first, rest, ok := strings.Cut(path, "/"); ok && first != "tile" {
		origin, path = first, rest
	}
	q := c.query()
	witness := ""
	if path == "checkpoint.cosigned" {
		witness = q.text("witness")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	switch path {
	case "checkpoint":
		signed, err := a.Transparency.Checkpoint(c.Context(), origin)
		return raw{text, cacheNever, []byte(signed)}, err
	case "checkpoint.cosigned":
		signed, err := a.Transparency.CosignedCheckpoint(c.Context(), origin, witness)
		return raw{text, cacheNever, []byte(signed)}, err
	}
	tile, err := log.ParseTile(path)
	if err != nil {
		return nil, problemf(http.StatusNotFound, "%s; and there are checkpoint and checkpoint.cosigned", err)
	}
	data, err := a.Transparency.Tile(c.Context(), origin, tile)
	cache := cacheForever
	if tile.W < log.TileWidth {
		cache = cacheMoment // it will not change, but its full twin takes its place
	}
	if a.PrivateLog {
		cache = strings.Replace(cache, "public", "private", 1)
	}
	return raw{"application/octet-stream", cache, data}, err
}

// receiptKeys answers GET /keys/receipts.json.
func (a *API) receiptKeys(c *call) (any, error) {
	keys, err := a.Transparency.KeyEntries(c.Context())
	return receipt.KeyFile{Keys: keys}, err
}

const pemType = "application/x-pem-file"

// currentKey answers GET /keys/receipts.pem.
func (a *API) currentKey(c *call) (any, error) {
	ranges, err := a.Transparency.KeyRanges(c.Context())
	if err == nil && len(ranges) == 0 {
		err = log.ErrNoLog
	}
	if err != nil {
		return nil, err
	}
	return raw{pemType, cacheNever, ranges[len(ranges)-1].Key.PEM()}, nil
}

// receiptKey answers GET /keys/receipts/{hint}.pem.
func (a *API) receiptKey(c *call) (any, error) {
	ranges, err := a.Transparency.KeyRanges(c.Context())
	if err != nil {
		return nil, err
	}
	for _, k := range ranges {
		if c.PathValue("file") == k.Key.Hint()+".pem" {
			return raw{pemType, cacheForever, k.Key.PEM()}, nil
		}
	}
	return nil, problemf(http.StatusNotFound, "no receipt key of this registry has that name; /keys/receipts.json lists them all")
}

// logKeys answers GET /keys/logs.json.
func (a *API) logKeys(c *call) (any, error) {
	entries, err := a.Transparency.LogEntries(c.Context())
	return receipt.LogFile{Logs: entries}, err
}

// receiptLog is a log as receipts know it.
func receiptLog(l log.Log) receipt.Log {
	known := receipt.Log{Origin: l.Origin, Key: l.Key, From: l.Begun}
	if l.Closed != nil {
		known.Until = l.Closed.Time
	}
	return known
}

// logKey answers GET /keys/log.vkey.
func (a *API) logKey(c *call) (any, error) {
	logs, err := a.Transparency.Logs(c.Context())
	if err == nil && len(logs) == 0 {
		err = log.ErrNoLog
	}
	if err != nil {
		return nil, err
	}
	return raw{text, cacheNever, []byte(receiptLog(logs[len(logs)-1]).VKey() + "\n")}, nil
}

// trustedRoot answers GET /trusted_root.json: what `cosign --trusted-root` takes.
func (a *API) trustedRoot(c *call) (any, error) {
	logs, err := a.Transparency.Logs(c.Context())
	if err != nil {
		return nil, err
	}
	known := make([]receipt.Log, len(logs))
	for i, l := range logs {
		known[i] = receiptLog(l)
	}
	root, err := receipt.TrustedRoot(known)
	return raw{"application/json", cacheNever, root}, err
}

package independent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is one whose signature was checked.
type Checkpoint struct {
	Size   uint64
	Root   []byte
	Signed string // the note
}

// logEntry is a log in /keys/logs.json.
type logEntry struct {
	Origin string
	VKey   string
	First  uint64
	Closed *struct {
		Reason, Checkpoint, Kept string
		Size                     uint64
	}
}

// servedLog is a log as it is served now.
type servedLog struct {
	logEntry
	now   Checkpoint  // the newest of what is kept of it
	ended *Checkpoint // the one that it was closed with; nil as long as it goes on
	tiles *tileReader
}

func (l *servedLog) end() uint64 { return l.First + l.now.Size }

// open checks a checkpoint's signature.
func open(vkey, signed string) (c Checkpoint, err error) {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return c, refuse("the key %q: %v", vkey, err)
	}
	parsed, _, _, err := log.ParseCheckpoint([]byte(signed), key.Name(), key)
	if err != nil {
		return c, refuse("a checkpoint of %s: %v", key.Name(), err)
	}
	return Checkpoint{parsed.Size, parsed.Hash, signed}, nil
}

// readLogs reads the logs with their newest checkpoints, which have to continue what was seen.
func (v *visit) readLogs(ctx context.Context, m *Memory) error {
	var file struct{ Logs []*servedLog }
	if err := v.getJSON(ctx, "/keys/logs.json", &file); err != nil {
		return err
	}
	if v.logs = file.Logs; len(v.logs) < max(1, len(m.Logs)) {
		return refuse("there are %d logs, and %d were seen", len(v.logs), len(m.Logs))
	}
	for i, l := range v.logs {
		seen := SeenLog{Origin: l.Origin, VKey: l.VKey, First: l.First}
		if i < len(m.Logs) {
			seen = m.Logs[i]
		}
		if seen.Origin != l.Origin || seen.VKey != l.VKey || seen.First != l.First {
			return refuse("where the log %s was, is %s with another name, key or beginning", seen.Origin, l.Origin)
		}
		if err := v.readLog(ctx, l, i == len(v.logs)-1); err != nil {
			return err
		}
		if i > 0 && v.logs[i-1].end() != l.First {
			return refuse("the log %s begins with record %d, and the one before it ends before record %d", l.Origin, l.First, v.logs[i-1].end())
		}
		if err := v.follow(l, &seen); err != nil {
			return err
		}
		v.next.Logs = append(v.next.Logs, seen)
	}
	signed, err := v.get(ctx, "/log/checkpoint")
	if err != nil {
		return err
	}
	if newest := v.logs[len(v.logs)-1].now.Signed; string(signed) != newest {
		return refuse("/log/checkpoint is not the newest checkpoint of the newest log:\n%s\n%s", signed, newest)
	}
	return nil
}

func (v *visit) readLog(ctx context.Context, l *servedLog, newest bool) error {
	if (l.Closed == nil) != newest {
		return refuse("the log %s has to be closed, or else to be the last", l.Origin)
	}
	signed, err := v.get(ctx, "/log/"+l.Origin+"/checkpoint")
	if err != nil {
		return err
	}
	if l.now, err = open(l.VKey, string(signed)); err != nil {
		return err
	}
	l.tiles = &tileReader{ctx: ctx, from: v.Registry, origin: l.Origin}
	if l.Closed == nil {
		return nil
	}
	ended, err := open(l.VKey, l.Closed.Checkpoint)
	if err != nil {
		return err
	}
	l.ended = &ended
	kept := ended
	if l.Closed.Kept != "" {
		if kept, err = open(l.VKey, l.Closed.Kept); err != nil {
			return err
		}
	}
	if ended.Size != l.Closed.Size || ended.Size < l.now.Size || kept.Size != l.now.Size || !bytes.Equal(kept.Root, l.now.Root) {
		return refuse("the log %s was closed at %d leaves, and %d are served", l.Origin, ended.Size, l.now.Size)
	}
	return nil
}

// follow wants a log to continue every checkpoint of it that was seen.
func (v *visit) follow(l *servedLog, seen *SeenLog) error {
	var most uint64
	for _, old := range slices.Backward(seen.Seen) {
		most = max(most, old.Size)
		switch {
		case old.Size <= l.now.Size:
			if err := l.continues(old); err != nil {
				return err
			}
		case l.ended == nil || seen.Closed:
			return refuse("the log %s has %d leaves, and had %d", l.Origin, l.now.Size, old.Size)
		case old.Size > l.ended.Size || old.Size == l.ended.Size && !bytes.Equal(old.Root, l.ended.Root):
			return refuse("the log %s was closed at %d leaves, and had other ones, %d", l.Origin, l.ended.Size, old.Size)
		}
	}
	if most > l.now.Size && !seen.Closed {
		v.report.Lost += most - l.now.Size // the registry declares it
		for len(seen.Seen) > 0 && seen.Seen[len(seen.Seen)-1].Size > l.now.Size {
			seen.Seen = seen.Seen[:len(seen.Seen)-1]
		}
	}
	if most < l.now.Size && seen.Closed {
		return refuse("the log %s was closed at %d leaves, and has %d", l.Origin, most, l.now.Size)
	}
	seen.Closed = l.ended != nil
	seen.Seen = append(seen.Seen[:len(seen.Seen):len(seen.Seen)], l.now)
	return nil
}

// continues has others' code check a proof that is made of the tiles.
func (l *servedLog) continues(old Checkpoint) error {
	if old.Size == 0 {
		return nil
	}
	var hashes [][]byte
	if old.Size < l.now.Size {
		made, err := tlog.ProveTree(int64(l.now.Size), int64(old.Size), l.hashes())
		if err != nil {
			return refuse("the tiles of %s: %v", l.Origin, err)
		}
		for _, h := range made {
			hashes = append(hashes, h[:])
		}
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, l.now.Size, hashes, old.Root, l.now.Root); err != nil {
		return refuse("the log %s does not continue its checkpoint of %d leaves: %v", l.Origin, old.Size, err)
	}
	return nil
}

// hashes reads the log's hashes from its tiles, each checked against the newest checkpoint.
func (l *servedLog) hashes() tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(l.now.Size), Hash: tlog.Hash(l.now.Root)}, l.tiles)
}

// tileReader reads tiles as C2SP tlog-tiles has them.
type tileReader struct {
	ctx    context.Context
	from   *Registry
	origin string
	good   map[string][]byte // that were checked, by path
}

func (t *tileReader) Height() int { return 8 }

func (t *tileReader) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, ok := t.good[path]
		if !ok {
			if data, err = t.from.get(t.ctx, "/log/"+t.origin+"/"+path); err != nil {
				return nil, err
			}
		}
		all = append(all, data)
	}
	return all, nil
}

func (t *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	if t.good == nil {
		t.good = make(map[string][]byte)
	}
	for i, tile := range tiles {
		t.good["tile/"+strings.TrimPrefix(tile.Path(), "tile/8/")] = data[i]
	}
}

// readTrust wants trusted_root.json, which stock tools go by, to name the same logs.
func (v *visit) readTrust(ctx context.Context, _ *Memory) (err error) {
	if v.trust, err = v.get(ctx, "/trusted_root.json"); err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromJSON(v.trust)
	if err != nil {
		return refuse("/trusted_root.json: %v", err)
	}
	if len(trusted.RekorLogs()) != len(v.logs) {
		return refuse("/trusted_root.json names %d logs, and there are %d", len(trusted.RekorLogs()), len(v.logs))
	}
	named := make(map[string]string) // key by origin
	for _, l := range trusted.RekorLogs() {
		u, err := url.Parse(l.BaseURL)
		if key, ok := l.PublicKey.(ed25519.PublicKey); err == nil && ok {
			named[u.Hostname()] = hex.EncodeToString(key)
		}
	}
	for _, l := range v.logs {
		key, err := base64.StdEncoding.DecodeString(strings.SplitN(l.VKey, "+", 3)[2]) // note.NewVerifier has read it
		if err != nil || named[l.Origin] != hex.EncodeToString(key[1:]) {              // behind the byte of the algorithm
			return refuse("/trusted_root.json has another key of the log %s", l.Origin)
		}
	}
	return nil
}

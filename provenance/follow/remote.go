package follow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Source fetches what a registry serves at a path, as /log/checkpoint. Nothing it returns is believed.
type Source func(ctx context.Context, path string) ([]byte, error)

// ErrBroken says that a registry serves something that contradicts a checkpoint that it signed.
var ErrBroken = errors.New("what the registry serves does not fit its own signed checkpoint")

// A Remote is one log, as its registry serves it.
type Remote struct {
	Origin string
	vkey   string
	src    Source
	log    note.Verifier
	tiles  map[string][]byte // what was fetched and has proved right, by path
}

// NewRemote returns the log with this verifier key.
func NewRemote(src Source, vkey string) (*Remote, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%q is not the key of a log, NAME+HASH+KEY: %w", vkey, err)
	}
	return &Remote{Origin: v.Name(), vkey: vkey, src: src, log: v, tiles: map[string][]byte{}}, nil
}

// Checkpoint fetches the log's newest checkpoint, and checks that the log signed it.
func (r *Remote) Checkpoint(ctx context.Context) (signed string, c checkpoint.Checkpoint, err error) {
	data, err := r.src(ctx, r.path("checkpoint"))
	if err != nil {
		return "", c, err
	}
	c, err = r.Open(string(data))
	return string(data), c, err
}

// Open reads a checkpoint of the log, and checks that the log signed it.
func (r *Remote) Open(signed string) (checkpoint.Checkpoint, error) {
	return checkpoint.Open(signed, r.log)
}

func (r *Remote) path(rest string) string { return "/log/" + r.Origin + "/" + rest }

// RootAt returns the root hash that the tree of a checkpoint had at a smaller size. ErrBroken when the
// registry serves other hashes than the checkpoint stands for.
func (r *Remote) RootAt(ctx context.Context, c checkpoint.Checkpoint, size uint64) (tlog.Hash, error) {
	h, err := tlog.TreeHash(int64(size), r.hashes(ctx, c))
	return h, r.broken(err)
}

// Consistency returns the proof that the tree of a checkpoint continues its own tree of a smaller size.
func (r *Remote) Consistency(ctx context.Context, c checkpoint.Checkpoint, size uint64) (tlog.TreeProof, error) {
	if size == 0 {
		return nil, nil
	}
	p, err := tlog.ProveTree(int64(c.Size), int64(size), r.hashes(ctx, c))
	return p, r.broken(err)
}

// hashes reads the tree of a checkpoint from tiles, and checks each against the checkpoint.
func (r *Remote) hashes(ctx context.Context, c checkpoint.Checkpoint) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(c.Size), Hash: c.Root}, tileReader{ctx, r})
}

// fetchError is that of a Source, told from those of the hashes.
type fetchError struct{ error }

func (e fetchError) Unwrap() error { return e.error }

// broken marks an error that is not that of fetching.
func (r *Remote) broken(err error) error {
	if err == nil || errors.As(err, new(fetchError)) {
		return err
	}
	return fmt.Errorf("the log %s: %w: %w", r.Origin, ErrBroken, err)
}

// tileReader is a tlog.TileReader for one call.
type tileReader struct {
	ctx context.Context
	*Remote
}

// Height implements tlog.TileReader.
func (t tileReader) Height() int { return log.TileHeight }

// ReadTiles implements tlog.TileReader.
func (t tileReader) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		path := t.path(log.TilePath(tile))
		got, ok := t.tiles[path]
		if !ok {
			if got, err = t.src(t.ctx, path); err != nil {
				return nil, fetchError{err}
			}
		}
		if len(got) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes instead of %d", path, len(got), tile.W*tlog.HashSize)
		}
		data = append(data, got)
	}
	return data, nil
}

// SaveTiles implements tlog.TileReader.
func (t tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, tile := range tiles {
		t.tiles[t.path(log.TilePath(tile))] = data[i]
	}
}

// Entries fetches the log's entries from one leaf up to another, and checks each against the checkpoint.
// ErrBroken names the first that is another one.
func (r *Remote) Entries(ctx context.Context, c checkpoint.Checkpoint, from, to uint64) error {
	for n := from / log.TileWidth; n*log.TileWidth < to; n++ {
		width := min(log.TileWidth, int(c.Size-n*log.TileWidth))
		path := r.path(log.TilePath(tlog.Tile{H: log.TileHeight, L: log.Entries, N: int64(n), W: width}))
		bundle, err := r.src(ctx, path)
		if err != nil {
			return fetchError{err}
		}
		if err := r.bundle(ctx, c, n*log.TileWidth, width, bundle); err != nil {
			return err
		}
	}
	return nil
}

// Leaves returns the hashes of the leaves from one up to another: those that the root hash of the checkpoint is made of.
// ErrBroken when the registry serves others.
func (r *Remote) Leaves(ctx context.Context, c checkpoint.Checkpoint, from, to uint64) ([]tlog.Hash, error) {
	indexes := make([]int64, to-from)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(from)+int64(i))
	}
	hashes, err := r.hashes(ctx, c).ReadHashes(indexes)
	return hashes, r.broken(err)
}

// Included proves that a leaf is in the tree of a checkpoint. Which leaf that is, the caller has to compare.
func (r *Remote) Included(ctx context.Context, c checkpoint.Checkpoint, leaf uint64) (in checkpoint.Inclusion, err error) {
	entries, err := r.Leaves(ctx, c, leaf, leaf+1)
	if err != nil {
		return in, err
	}
	proof, err := tlog.ProveRecord(int64(c.Size), int64(leaf), r.hashes(ctx, c))
	return checkpoint.Inclusion{Leaf: leaf, Entry: entries[0], Proof: proof}, r.broken(err)
}

// Differs returns the first leaf of the smallest of these subtrees that is another one in the tree of a checkpoint: a proof of that leaf
// shows it. Those that the tree does not have whole are passed over.
func (r *Remote) Differs(ctx context.Context, c checkpoint.Checkpoint, fixed map[checkpoint.Subtree]tlog.Hash) (leaf uint64, differs bool, err error) {
	var whole []checkpoint.Subtree
	var indexes []int64
	for _, s := range checkpoint.InOrder(fixed) {
		if _, last := s.Leaves(); last < c.Size {
			whole, indexes = append(whole, s), append(indexes, tlog.StoredHashIndex(s.Level, int64(s.Index)))
		}
	}
	hashes, err := r.hashes(ctx, c).ReadHashes(indexes)
	if err != nil {
		return 0, false, r.broken(err)
	}
	for i, s := range whole {
		if hashes[i] != fixed[s] {
			leaf, _ = s.Leaves()
			return leaf, true, nil
		}
	}
	return 0, false, nil
}

// bundle checks a bundle of entries against the leaves of the tree.
func (r *Remote) bundle(ctx context.Context, c checkpoint.Checkpoint, first uint64, width int, bundle []byte) error {
	want, err := r.Leaves(ctx, c, first, first+uint64(width))
	if err != nil {
		return err
	}
	for i := range want {
		entry, rest, err := cutEntry(bundle)
		if err != nil || tlog.RecordHash(entry) != want[i] {
			return r.broken(errors.New("leaf " + strconv.FormatUint(first+uint64(i), 10) + " is not the one that was logged"))
		}
		bundle = rest
	}
	if len(bundle) > 0 {
		return r.broken(fmt.Errorf("the entries from leaf %d on are followed by %d bytes", first, len(bundle)))
	}
	return nil
}

// cutEntry takes the first entry from a bundle: it stands behind its length.
func cutEntry(bundle []byte) (entry, rest []byte, err error) {
	if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
		return nil, nil, errors.New("the bundle ends within an entry")
	}
	end := 2 + int(binary.BigEndian.Uint16(bundle))
	return bundle[2:end], bundle[end:], nil
}

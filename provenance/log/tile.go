package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// The geometry of C2SP tlog-tiles.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight // hashes, or entries, of a full tile
)

// ErrPath says that a path names no tile.
var ErrPath = errors.New("it is no path of a tile: tile/LEVEL/INDEX, tile/entries/INDEX, both perhaps with .p/WIDTH")

// Entries is the level of a tile that is a bundle of entries.
const Entries = -1

// ParseTile reads a path below the log's URL, as tile/0/x001/067.p/3. sumdb/tlog has the same tiles under
// other names: the height stands in its paths, and entries are called data. Error: ErrPath.
func ParseTile(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if entries, isEntries := strings.CutPrefix(rest, "entries/"); isEntries {
		rest = "data/" + entries
	} else if strings.HasPrefix(rest, "data/") {
		ok = false
	}
	t, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", TileHeight, rest))
	if !ok || err != nil || t.L > 63/TileHeight || t.N < 0 {
		return t, fmt.Errorf("%.100q: %w", path, ErrPath)
	}
	return t, nil
}

// TilePath returns the path of a tile below the log's URL.
func TilePath(t tlog.Tile) string {
	rest := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", TileHeight))
	if t.L == Entries {
		rest = "entries/" + strings.TrimPrefix(rest, "data/")
	}
	return "tile/" + rest
}

// Tile returns the hashes of a tile. Error: ErrSize when the log is too small to have it.
func (t *Tree) Tile(tile tlog.Tile) ([]byte, error) {
	if err := t.has(tile); err != nil {
		return nil, err
	}
	return tlog.ReadTileData(tile, t)
}

// Bundle returns the entries of a tile of the level Entries: each behind its length, a big-endian uint16.
// entry gives the leaf of an entry of the sequence. Error: ErrSize when the log is too small to have it.
func (t *Tree) Bundle(tile tlog.Tile, entry func(uint64) ([]byte, error)) ([]byte, error) {
	if err := t.has(tile); err != nil {
		return nil, err
	}
	var bundle []byte
	for leaf := uint64(tile.N) * TileWidth; leaf < uint64(tile.N)*TileWidth+uint64(tile.W); leaf++ {
		data, err := entry(t.First + leaf)
		if err != nil {
			return nil, err
		}
		if len(data) > 1<<16-1 {
			return nil, fmt.Errorf("entry %d has %d bytes, which no bundle can hold", t.First+leaf, len(data))
		}
		bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(data)))
		bundle = append(bundle, data...)
	}
	return bundle, nil
}

// has says whether the log has all that is in a tile.
func (t *Tree) has(tile tlog.Tile) error {
	level := max(tile.L, 0) * TileHeight
	hashes := int64(t.Size) >> level // complete subtrees of that level
	if tile.N > hashes>>TileHeight || tile.N<<TileHeight+int64(tile.W) > hashes {
		return fmt.Errorf("%s: %w", TilePath(tile), ErrSize)
	}
	return nil
}

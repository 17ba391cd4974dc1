package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// The registry that images come from may be one that keeps a log. What it says of an image comes with the image; that witnesses have
// seen its log it has to be asked for. The registry here says for which manifests it wants that, and what it makes of the answers.

// A publisher is a Source that can be asked for what it publishes beside its images.
type publisher interface {
	// Public returns what it serves to everybody at a path, as /log/checkpoint. Error: ErrAbsent.
	Public(ctx context.Context, path string) ([]byte, error)
}

// maxPublic bounds one such answer, in bytes: a tile has 8 KiB.
const maxPublic = 64 << 10

// Public implements publisher.
func (r *remote) Public(ctx context.Context, path string) ([]byte, error) {
	at, err := url.Parse(path)
	if err != nil || at.IsAbs() || at.Host != "" {
		return nil, fmt.Errorf("%.100q is no path", path)
	}
	resp, err := r.get(ctx, "", path, nil) //nolint:bodyclose // readBounded closes it
	if err != nil {
		return nil, err
	}
	return readBounded(resp.Body, path, maxPublic)
}

// home remembers what the source published, for one run. Tiles never change, and many images share them. One that does not answer is not
// asked again for each image: else a run would wait for it as often.
type home struct {
	mu    sync.Mutex
	down  error             // guarded by mu
	tiles map[string][]byte // guarded by mu
}

// maxTiles bounds the tiles that are remembered.
const maxTiles = 512

func (h *home) known(path string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tiles[path], h.down
}

func (h *home) note(path string, answer []byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		if !errors.Is(err, ErrAbsent) && !errors.Is(err, context.Canceled) {
			h.down = err
		}
		return
	}
	if !strings.Contains(path, "/tile/") {
		return
	}
	if h.tiles == nil || len(h.tiles) == maxTiles {
		h.tiles = map[string][]byte{}
	}
	h.tiles[path] = answer
}

// prove has a manifest that is attached to the image proved by what its source publishes. What is missing is told, and the rest goes on:
// it can be asked for again.
func (w *work) prove(ctx context.Context, d digest.Digest) error {
	from, ok := w.From.(publisher)
	if !ok || w.DryRun {
		return nil
	}
	why, err := w.Here.Prove(ctx, w.into, d, func(ctx context.Context, path string) ([]byte, error) {
		if answer, err := w.home.known(path); answer != nil || err != nil {
			return answer, err
		}
		answer, err := from.Public(ctx, path)
		w.home.note(path, answer, err)
		return answer, err
	})
	if err == nil && why != "" {
		w.remark(&w.report.Unproved, referenceTo(w.repo, d.String()), why)
	}
	return err
}

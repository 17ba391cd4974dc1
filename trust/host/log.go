package host

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/trust"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// transparencyLog reads the checkpoint of a log (C2SP tlog-checkpoint, at the address where Hallmark has
// it) and verifies it with the key beside it. That proves the form, and what the server has committed to;
// not that it is the key that you know.
func (i *inspection) transparencyLog(ctx context.Context) trust.Check {
	checkpoint := i.ask.get(ctx, i.ask.stranger, "/log/checkpoint")
	switch {
	case checkpoint.err != nil:
		return trust.NotKnown(trust.HostLog, "The log was not answered for: "+checkpoint.Error).With(requests(checkpoint))
	case checkpoint.Status == http.StatusUnauthorized || checkpoint.Status == http.StatusForbidden:
		return trust.NotKnown(trust.HostLog, "Strangers may not read its log, if it has one.").With(requests(checkpoint))
	case checkpoint.Status != http.StatusOK || !strings.Contains(string(checkpoint.body), "\n\n\u2014 "):
		return trust.Doubted(trust.HostLog, "It keeps no transparency log: it could show different people different things, and nobody could tell.").
			With(requests(checkpoint))
	}
	keys := i.ask.get(ctx, i.ask.stranger, "/keys/log.vkey")
	if keys.err != nil || keys.Status != http.StatusOK {
		return trust.NotKnown(trust.HostLog, "It shows a checkpoint, and no key to verify it with.").With(requests(checkpoint, keys))
	}
	tree, origin, err := openCheckpoint(checkpoint.body, keys.body)
	if err != nil {
		return trust.Failed(trust.HostLog, "The checkpoint of its log does not verify: "+err.Error()+".").
			With(map[string]any{"requests": []*answer{checkpoint, keys}, "checkpoint": string(checkpoint.body)}).
			Advise("Keep this checkpoint, and ask who runs the registry: a log that does not verify is worse than none.")
	}
	return trust.Passed(trust.HostLog, "Its transparency log has a checkpoint that verifies.").With(map[string]any{
		"origin": origin, "size": tree.N, "root": tree.Hash.String(), "key": strings.TrimSpace(string(keys.body)),
	})
}

// openCheckpoint verifies a checkpoint with one of the keys of a file, one a line.
func openCheckpoint(checkpoint, keys []byte) (tree tlog.Tree, origin string, err error) {
	var known []note.Verifier
	for line := range strings.Lines(string(keys)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return tree, "", errors.New("its key is malformed")
		}
		known = append(known, v)
	}
	opened, err := note.Open(checkpoint, note.VerifierList(known...))
	if err != nil {
		return tree, "", err
	}
	return parseCheckpoint(opened.Text)
}

// parseCheckpoint reads the text of a checkpoint: origin, size, root hash, each on a line.
func parseCheckpoint(text string) (tree tlog.Tree, origin string, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return tree, "", errors.New("it has not the three lines of one")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || tree.N < 0 {
		return tree, "", errors.New("its size is no number")
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, lines[0], err
}

package host

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/trust"
	"golang.org/x/mod/sumdb/note"
)

// transparencyLog reads the checkpoint of a log (C2SP tlog-checkpoint, at the address where Hallmark has
// it) and verifies it with the key beside it. That proves the form, and what the server has committed to;
// not that it is the key that you know.
func (i *inspection) transparencyLog(ctx context.Context) trust.Check {
	shown := i.ask.get(ctx, i.ask.stranger, "/log/checkpoint")
	switch {
	case shown.err != nil:
		return trust.NotKnown(trust.HostLog, "The log was not answered for: "+shown.Error).With(requests(shown))
	case shown.Status == http.StatusUnauthorized || shown.Status == http.StatusForbidden:
		return trust.NotKnown(trust.HostLog, "Strangers may not read its log, if it has one.").With(requests(shown))
	case shown.Status != http.StatusOK || !strings.Contains(string(shown.body), "\n\n\u2014 "):
		return trust.Doubted(trust.HostLog, "It keeps no transparency log: it could show different people different things, and nobody could tell.").
			With(requests(shown))
	}
	keys := i.ask.get(ctx, i.ask.stranger, "/keys/log.vkey")
	if keys.err != nil || keys.Status != http.StatusOK {
		return trust.NotKnown(trust.HostLog, "It shows a checkpoint, and no key to verify it with.").With(requests(shown, keys))
	}
	c, err := openCheckpoint(string(shown.body), string(keys.body))
	if err != nil {
		return trust.Failed(trust.HostLog, "The checkpoint of its log does not verify: "+err.Error()+".").
			With(badLogEvidence{string(shown.body), []*answer{shown, keys}}).
			Advise("Keep this checkpoint, and ask who runs the registry: a log that does not verify is worse than none.")
	}
	return trust.Passed(trust.HostLog, "Its transparency log has a checkpoint that verifies.").With(logEvidence{
		Key: strings.TrimSpace(string(keys.body)), Origin: c.Origin, Root: c.Root.String(), Size: c.Size,
	})
}

// openCheckpoint verifies a checkpoint with one of the keys of a file, one a line.
func openCheckpoint(signed, keys string) (c checkpoint.Checkpoint, err error) {
	err = errors.New("there is no key to verify it with")
	for line := range strings.Lines(keys) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, keyErr := note.NewVerifier(line)
		if keyErr != nil {
			return c, errors.New("its key is malformed")
		}
		if c, err = checkpoint.Open(signed, key); err == nil {
			return c, nil
		}
	}
	return c, err
}

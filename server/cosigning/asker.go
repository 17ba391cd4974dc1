// Package cosigning has witnesses cosign the log's checkpoints, so that people who check the log need not rely on the
// registry alone that there is one history (C2SP tlog-witness).
package cosigning

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// How often a witness is asked: soon after the log has grown, and less and less often while it fails. A log that does not
// grow is cosigned again all the same: the witness's time tells those who check that nothing is kept from them.
const (
	askWitnessEvery = 5 * time.Second
	askWitnessMost  = 5 * time.Minute
	askWitnessAgain = 6 * time.Hour
)

// Ask has each witness that has a URL cosign the newest checkpoint, until ctx ends. No push waits for any of it.
func Ask(ctx context.Context, book *provenance.Book, witnesses []Witness, log *slog.Logger) {
	var group sync.WaitGroup
	defer group.Wait()
	for _, w := range witnesses {
		if w.url != "" {
			a := &asker{book: book, witness: w, client: w.client(), again: askWitnessAgain}
			group.Go(func() { a.loop(ctx, askWitnessEvery, log.With("witness", w.Name())) })
		}
	}
}

// asker asks one witness.
type asker struct {
	book    *provenance.Book
	witness Witness
	client  *http.Client
	again   time.Duration // after which an unchanged checkpoint is cosigned again

	// What it is known to have cosigned last, and when it did so. The loop alone uses it. The time is compared by its
	// monotonic reading: a clock that is set back would otherwise hold the next cosignature back as long.
	origin   string
	size     uint64
	cosigned time.Time
}

func (a *asker) loop(ctx context.Context, every time.Duration, log *slog.Logger) {
	for wait := every; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := a.ask(ctx)
		switch {
		case err == nil:
			wait = every
		case ctx.Err() == nil:
			wait = min(2*wait, askWitnessMost)
			log.Warn("a witness has not cosigned", "err", err, "next", wait)
		}
	}
}

// ask has the newest checkpoint cosigned, if it is not yet, or not since the time after which it is to be again. A
// witness that knows another size than we thought says so, and is asked once more.
func (a *asker) ask(ctx context.Context) error {
	signed, err := a.book.Checkpoint(ctx, "")
	if errors.Is(err, log.ErrNoLog) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := checkpoint.Parse(signed)
	if err != nil {
		return err
	}
	if c.Origin != a.origin {
		a.origin, a.size = c.Origin, 0
	}
	if c.Size == 0 || c.Size == a.size && time.Since(a.cosigned) < a.again {
		return nil
	}
	line, err := a.submit(ctx, c, signed)
	if conflict := new(witness.ConflictError); errors.As(err, &conflict) && conflict.Size <= c.Size {
		a.size = conflict.Size
		line, err = a.submit(ctx, c, signed)
	}
	if err != nil {
		return err
	}
	// Not with the signatures that are there already: one of the same witness would hide this one.
	if _, err := a.book.Cosign(ctx, c.String()+"\n"+line, []note.Verifier{a.witness.Verifier}); err != nil {
		return err
	}
	a.size, a.cosigned = c.Size, time.Now()
	return nil
}

// submit sends add-checkpoint (C2SP tlog-witness), and returns the cosignature's line.
func (a *asker) submit(ctx context.Context, c checkpoint.Checkpoint, signed string) (line string, err error) {
	var proof tlog.TreeProof
	if a.size > 0 {
		if proof, err = a.book.Consistency(ctx, c.Origin, a.size, c.Size); err != nil {
			return "", err
		}
	}
	body := witness.FormatRequest(a.size, proof, signed)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.witness.url+"/add-checkpoint", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return "", err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return string(data), nil
	case http.StatusConflict:
		if size, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 63); err == nil {
			return "", &witness.ConflictError{Size: size}
		}
	}
	return "", fmt.Errorf("it answers %s: %.200q", resp.Status, data)
}

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
)

// followed wants the logs of a registry that were cosigned before to have ended as they should, before another one takes
// their place: the registry names them, closed, with no fewer leaves than were cosigned. Anyone who vouches for the new log
// vouches that nothing was left behind in the old one; where something was, that is for a person to decide.
func (e *env) followed(ctx context.Context, cl *client, w *witness.Witness, logs []receipt.LogEntry) error {
	newest := logs[len(logs)-1]
	for _, origin := range w.Origins() {
		known, err := w.Log(origin)
		if err != nil {
			return err
		}
		entry := entryOf(logs, origin)
		if known.Size == 0 || known.Next != "" || entry == nil && known.Registry != cl.Base {
			continue // nothing is vouched for, or its end was looked at, or it is of another registry
		}
		says, err := ended(ctx, cl, entry, known)
		if errors.Is(err, witness.ErrProof) {
			return nof("%s: not cosigned: the log %s %w. Ask its operator what happened; to cosign its log %s all the same, name it: hallmark witness --log %s %s",
				cl.Base, origin, err, newest.Origin, newest.VKey, cl.Base)
		}
		if err != nil {
			return cannotCosign(cl.Base, err)
		}
		fmt.Fprintf(e.stdout, "the log %s %s; %s goes on in the log %s\n", clean(origin), clean(says), cl.Base, clean(newest.Origin))
	}
	return nil
}

func origins(logs []receipt.LogEntry) (all []string) {
	for _, l := range logs {
		all = append(all, l.Origin)
	}
	return all
}

func entryOf(logs []receipt.LogEntry, origin string) *receipt.LogEntry {
	for i := range logs {
		if logs[i].Origin == origin {
			return &logs[i]
		}
	}
	return nil
}

// ended says how a log ended that was cosigned before. witness.ErrProof says that it did not end as it should; entry is nil
// where the registry does not name it.
func ended(ctx context.Context, cl *client, entry *receipt.LogEntry, known witness.Log) (says string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", notEnded{fmt.Sprintf(format, args...)}
	}
	switch {
	case entry == nil:
		return refuse("is not named any more, and %d of its leaves were cosigned here", known.Size)
	case entry.VKey != known.VKey:
		return refuse("has another key than the one that was known")
	case entry.Closed == nil:
		return refuse("has another one behind it, and is not closed")
	}
	remote, err := follow.NewRemote(cl.source, entry.VKey)
	if err != nil {
		return "", err
	}
	end, err := remote.Open(entry.Closed.Checkpoint)
	if err != nil {
		return refuse("was closed with what is no checkpoint of it: %s", err)
	}
	_, kept, err := remote.Checkpoint(ctx)
	if err != nil {
		return "", err
	}
	root := end.Root // of what was cosigned: the end may say it, and what is kept can prove it
	if kept.Size >= known.Size {
		if root, err = remote.RootAt(ctx, kept, known.Size); err != nil {
			return "", err
		}
	}
	switch {
	case end.Size < known.Size:
		return refuse("was closed at %d leaves (%s), and %d were cosigned here", end.Size, entry.Closed.Reason, known.Size)
	case root != known.Root && (kept.Size >= known.Size || end.Size == known.Size):
		return refuse("has other leaves now than the %d that were cosigned here", known.Size)
	case kept.Size < known.Size:
		return fmt.Sprintf("was closed at %d leaves (%s), of which it has %d; %d were cosigned here", end.Size, entry.Closed.Reason, kept.Size, known.Size), nil
	}
	return fmt.Sprintf("was closed at %d leaves (%s), and all %d that were cosigned here are there", end.Size, entry.Closed.Reason, known.Size), nil
}

// notEnded is a witness.ErrProof with its own words.
type notEnded struct{ says string }

func (e notEnded) Error() string { return e.says }

func (e notEnded) Is(target error) bool { return target == witness.ErrProof }

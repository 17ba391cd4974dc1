package server

import (
	"context"
	"fmt"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/datadir"
)

// Each record states the public name that the registry had. The name that the data directory keeps is no more than a setting: anyone who
// can write the store can change it, and clients are sent to it for their logins. So a start says when it is not the name of the newest
// record, and a check says it too, until a record is made under it.

// saysName logs that the public name is another than before, and where nobody configured it, what to do.
func (s *Server) saysName(ctx context.Context) {
	said, index, err := s.book.Named(ctx)
	switch {
	case err != nil || provenance.SameName(said, s.url): // what is wrong with the records is said elsewhere
		return
	case s.c.URL != "":
		s.log.Info("the public name has changed", "from", said, "to", s.url)
		return
	}
	s.log.Warn("the public name that the data directory keeps is not the one of the newest record", "kept", s.url, "record", index, "says", said,
		"do", undo(said))
}

// undo says how the registry gets back the name that the newest record says.
func undo(said string) string {
	if provenance.DefaultName(said) {
		return "the record is from before the registry had a name: if nobody gave it one since, start once with --url " + said
	}
	return "if nobody changed it, start once with --url " + said
}

// checkStore checks the store's file, where it has one, and reports a kept name that is not the one of the newest record.
func (s *services) checkStore(ctx context.Context, bad func(error)) error {
	if embedded := s.data.Embedded(); embedded != nil {
		if err := embedded.Check(ctx, bad); err != nil {
			return err
		}
	}
	kept, err := s.data.Setting(ctx, datadir.SettingURL)
	if err != nil {
		return err
	}
	said, index, err := s.book.Named(ctx)
	if err != nil || provenance.SameName(said, kept) {
		return nil //nolint:nilerr // the check of the records says it
	}
	what := "the public name " + kept + " that the data directory keeps"
	if kept == "" {
		what = "that the data directory keeps no public name"
	}
	bad(&access.NotOnRecordError{What: fmt.Sprintf("%s (record %d, the newest, says %s; %s)", what, index, said, undo(said))})
	return nil
}

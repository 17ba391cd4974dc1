package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// away says of an error of the database, or of the way to it, what it means to a room, and what to do.
func away(err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, ErrAway), errors.Is(err, ErrTakenOver), errors.Is(err, ErrRewound), errors.Is(err, storage.ErrFull):
		return err
	case !errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	switch refused.Code {
	case "53100": // disk_full
		return fmt.Errorf("%w: the database's: %w", storage.ErrFull, err)
	case "25006": // read_only_sql_transaction
		return fmt.Errorf("%w: it takes no changes. Name the primary, not a standby, or let target_session_attrs=read-write in the URL find it: %w", ErrAway, err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: the user of the URL lacks a right. Give it a database of its own, or USAGE and CREATE on the schema: %w", ErrAway, err)
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		return fmt.Errorf("%w: it does not let this user in. Look at the user and the password of the URL, at PGPASSWORD and at the server's pg_hba.conf: %w", ErrAway, err)
	case "3D000": // invalid_catalog_name
		return fmt.Errorf("%w: there is no such database. Make it: createdb NAME: %w", ErrAway, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

func isNoRow(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/layout"
)

// oldest is the first version of PostgreSQL that is tested and kept up.
const oldest = 15

// schema makes what is not there. Values are not compressed: most of them are, or are signed noise. The table that is locked has no row and
// no column: its lock keeps neither readers nor the removal of dead rows waiting.
const schema = `
SELECT pg_advisory_xact_lock(hashtext('hallmark_schema'));
CREATE TABLE IF NOT EXISTS hallmark_rows (t text COLLATE "C" NOT NULL, k bytea NOT NULL, v bytea NOT NULL, PRIMARY KEY (t, k));
ALTER TABLE hallmark_rows ALTER COLUMN v SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS hallmark_writer ();
CREATE TABLE IF NOT EXISTS hallmark_process (id text PRIMARY KEY, token bytea NOT NULL, seen timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS hallmark_lease (name text PRIMARY KEY, holder text NOT NULL, number bigint NOT NULL, until timestamptz NOT NULL);
INSERT INTO hallmark_lease VALUES ('store', '', 0, 'epoch') ON CONFLICT DO NOTHING`

// makeSchema makes the tables where they are not there. If we stop within it, nothing was made.
func (s *Store) makeSchema(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if there, err := s.hasTables(ctx); err != nil || there {
		return err
	}
	return away(pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, schema, pgx.QueryExecModeSimpleProtocol)
		return err
	}))
}

func (s *Store) hasTables(ctx context.Context) (there bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT to_regclass('hallmark_lease') IS NOT NULL`).Scan(&there)
	return there, away(err)
}

// checkReadable wants a store whose layout this program reads.
func (s *Store) checkReadable(ctx context.Context) error {
	there, err := s.hasTables(ctx)
	if err != nil {
		return err
	}
	if !there {
		return errors.New("there is no registry in this database")
	}
	if err := s.admit(ctx); err != nil {
		return err
	}
	return layout.Way{Store: s, Steps: s.config.Steps}.Readable(ctx)
}

// migrate takes the store to the layout of this program. What it was is not kept aside: that is for the backups of the database.
func (s *Store) migrate(ctx context.Context) error {
	return layout.Way{
		Store: s, Steps: s.config.Steps, Say: s.config.Say, Name: "the store in the database",
		GoBack: func(uint32) string {
			return "To go back: stop hallmark, put back a backup of the database from before, and run the version that wrote it."
		},
	}.Go(ctx)
}

// checkServer refuses a database that is not fit, and says what should be set otherwise.
func (s *Store) checkServer(ctx context.Context) error {
	var version int
	var standby, flushes, replicas, waits bool
	err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(),
		current_setting('fsync')::bool AND current_setting('full_page_writes')::bool,
		EXISTS (SELECT FROM pg_stat_replication), current_setting('synchronous_standby_names') <> ''`).
		Scan(&version, &standby, &flushes, &replicas, &waits)
	switch {
	case err != nil:
		return away(err)
	case version/10000 < oldest:
		return fmt.Errorf("it is PostgreSQL %d, and has to be %d or later", version/10000, oldest)
	case standby:
		return errors.New("it is a standby, which takes no changes. Name the primary, or let target_session_attrs=read-write in the URL find it")
	}
	if !flushes {
		s.config.say("the database has fsync or full_page_writes turned off: what the registry acknowledges is lost when that machine stops. Turn both on")
	}
	if replicas && !waits {
		s.config.say("the database has standbys and waits for none of them: if one takes over, pushes that were acknowledged are lost. Set synchronous_standby_names")
	}
	return nil
}

var _ storage.Store = (*Store)(nil)

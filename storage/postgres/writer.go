package postgres

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// writer is the one connection that writes. One goroutine owns it, but for warned.
//
// Each commit writes a random token into the row of this process. When the answer to a COMMIT is lost, or is not what it should be, the
// token says whether it happened: read under the writer's lock, which waits for the transaction that may still be ending. Numbers of
// transactions would not do: after another server took over they are used again.
type writer struct {
	store  *Store
	config *pgconn.Config
	conn   *pgconn.PgConn // nil when it was lost
	token  []byte         // of the last commit whose success is known
	warned atomic.Bool    // the database warned since it was last asked
}

const (
	beginWrite = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	lockWriter = `LOCK TABLE hallmark_writer IN EXCLUSIVE MODE`
	// durably has a COMMIT waited for, whatever the database's default is; a stronger setting stays.
	durably = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')`
	// enter says that this process is there, and reads its token. That it writes has the commit replicated, and with it all that
	// were before it: a server may see one that its standby does not have yet.
	enter = `INSERT INTO hallmark_process VALUES (convert_from($1, 'UTF8'), ''::bytea, clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET seen = excluded.seen RETURNING token`
	setToken = `UPDATE hallmark_process SET token = $2 WHERE id = convert_from($1, 'UTF8')`
)

// openWriter makes the tables, takes the lease, and connects.
func (s *Store) openWriter(ctx context.Context) (*writer, error) {
	if err := s.makeSchema(ctx); err != nil {
		return nil, err
	}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	w := &writer{store: s, config: s.pool.Config().ConnConfig.Config.Copy()}
	w.config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			w.warned.Store(true)
		}
	}
	token, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	w.token = token
	return w, nil
}

// process is the name of this process as a parameter.
func (w *writer) process() []byte { return []byte(w.store.config.Process) }

// connect connects anew, and returns the token of the last commit of this process that the database has. It waits for one that may be ending.
func (w *writer) connect(ctx context.Context) (token []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, w.config)
	if err != nil {
		return nil, away(err)
	}
	t := begin(ctx, conn)
	w.warned.Store(false)
	answers, err := t.ask(plain(beginWrite), plain(durably), plain(lockWriter), plain(holdsLease),
		statement{enter, []uint32{oidBytea}, [][]byte{w.process()}}, plain("COMMIT"))
	if err == nil {
		err = committed(answers[len(answers)-1], &w.warned)
	}
	t.over = err == nil
	err = errors.Join(err, t.end())
	if err == nil {
		err = w.store.lease.held(answers[3])
	}
	if err != nil {
		return nil, errors.Join(away(err), conn.Close(ctx))
	}
	w.conn = conn
	w.store.writing.Store(conn)
	return answers[4].Rows[0][0], nil
}

// committed wants the answer to a COMMIT to be one. A database that gave up to wait for its standby answers with COMMIT and a
// warning.
func committed(answer *pgconn.Result, warned *atomic.Bool) error {
	if tag := answer.CommandTag.String(); tag != "COMMIT" {
		return fmt.Errorf("%w: it answers COMMIT with %s", ErrAway, tag)
	}
	if warned.Load() {
		return fmt.Errorf("%w: it warns at COMMIT that it did not wait for its standby", ErrAway)
	}
	return nil
}

// lose closes the connection.
func (w *writer) lose() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx) // it is lost already, or not needed
	w.conn = nil
}

// ready connects where the connection was lost, and wants the database to have the last commit that it said it had.
func (w *writer) ready() error {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	w.lose()
	token, err := w.connect(context.Background())
	if err != nil {
		return err
	}
	if !bytes.Equal(token, w.token) {
		w.lose()
		return ErrRewound
	}
	w.store.log.Info("the database is there again")
	return nil
}

// resolve finds out whether a commit happened to whose COMMIT there was no good answer. Error: storage.ErrUnknownOutcome, when the database
// does not come back in time.
func (w *writer) resolve(token []byte, why error) error {
	if w.store.gaveUp.Load() {
		return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, why)
	}
	w.store.log.Warn("the database gave no good answer to a COMMIT; it is looked up whether it happened", "err", why)
	w.lose()
	for ended := time.Now().Add(2 * retryWithin); ; time.Sleep(200 * time.Millisecond) {
		found, err := w.connect(context.Background())
		switch {
		case errors.Is(err, ErrTakenOver), err != nil && (time.Now().After(ended) || w.store.gaveUp.Load()):
			return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, errors.Join(why, err))
		case err != nil:
			continue
		case bytes.Equal(found, token):
			w.token = token
			return nil
		case bytes.Equal(found, w.token):
			return away(why) // it did not happen
		}
		w.lose()
		return ErrRewound
	}
}

// release gives the lease back, if the database is there, and closes the connection.
func (w *writer) release(l *lease) {
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	if _, err := w.store.pool.Exec(ctx, releaseLease, l.holder, l.number); err != nil {
		w.store.log.Warn("the lease of the store was not given back; it ends by itself", "err", err)
	}
	w.lose()
}

func newToken() []byte {
	token := make([]byte, 16)
	crand.Read(token) // which never fails
	return token
}

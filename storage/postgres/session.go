package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// A statement is one that is sent, with its parameters in their binary form. Statements are not prepared, so that a pooler may give each transaction
// another connection.
type statement struct {
	sql    string
	types  []uint32
	values [][]byte
}

func plain(sql string) statement { return statement{sql: sql} }

// A session sends statements on one connection without waiting for each. Whoever collects waits for all that were sent: that is one
// round trip, however many they are.
type session struct {
	conn  *pgconn.PgConn
	p     *pgconn.Pipeline
	syncs int   // sent and not collected
	over  bool  // it was committed
	lost  error // the first thing that went wrong: the transaction is over, and changed nothing
}

// begin begins a session. No context ends one before its time: that would cost the connection.
func begin(ctx context.Context, conn *pgconn.PgConn) *session {
	return &session{conn: conn, p: conn.StartPipeline(ctx)}
}

var binary1 = []int16{1} // all parameters, or columns, are in binary form

// send sends statements. One that fails keeps those behind it, of the same call, from being done.
func (s *session) send(all ...statement) error {
	if s.isClosed() { // pgx closes it in the background, and may be writing its farewell
		return errors.New("the connection to the database is lost")
	}
	for _, one := range all {
		s.p.SendQueryParams(one.sql, one.values, one.types, binary1, binary1)
	}
	s.syncs++
	return s.p.Sync()
}

// collect waits for all that was sent, and returns the answer to each in order, up to the first that failed.
func (s *session) collect() (answers []*pgconn.Result, err error) {
	defer func() {
		if s.lost == nil {
			s.lost = err
		}
	}()
	for s.syncs > 0 {
		next, got := s.p.GetResults()
		var refused *pgconn.PgError
		switch {
		case errors.As(got, &refused): // what is behind it was not done; its end is still to come
			err = errors.Join(err, got)
			continue
		case got != nil:
			return answers, errors.Join(err, got)
		}
		switch next := next.(type) {
		case *pgconn.ResultReader:
			answer := next.Read()
			if answer.Err != nil {
				err = errors.Join(err, answer.Err)
				continue
			}
			answers = append(answers, answer)
		case *pgconn.PipelineSync:
			s.syncs--
		case nil:
			return answers, errors.Join(err, errors.New("the database ended the connection"))
		}
	}
	return answers, err
}

// ask sends and collects.
func (s *session) ask(all ...statement) ([]*pgconn.Result, error) {
	if err := s.send(all...); err != nil {
		return nil, err
	}
	return s.collect()
}

// isClosed says that the connection is lost.
func (s *session) isClosed() bool { return s.conn.IsClosed() }

// end ends the transaction, undoing it where it was not committed, and gives the connection back to normal use. One that is lost has
// nothing to end.
func (s *session) end() error {
	var err error
	if !s.over {
		_, err = s.ask(plain("ROLLBACK"))
	}
	if s.isClosed() {
		return err
	}
	return errors.Join(err, s.p.Close())
}

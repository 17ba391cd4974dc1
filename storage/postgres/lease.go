package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// A lease says who works on the store. Its holder renews it; its number grows each time that it is taken, and each transaction compares
// it, under the writer's lock where it writes. So a process that was paused beyond the end of its lease changes nothing any more, and
// answers nothing from what it remembers: rights in its memory may have been revoked meanwhile.
const (
	leaseLasts = 30 * time.Second
	renewEvery = 10 * time.Second
)

// lease is what its holder knows of it.
type lease struct {
	holder string
	number int64
}

const (
	// takeLease takes it where nobody holds it, where it ended by the database's clock, and where the same process held it.
	takeLease = `UPDATE hallmark_lease SET holder = $1, number = number + 1, until = clock_timestamp() + $2
		WHERE name = 'store' AND (holder = $1 OR until < clock_timestamp()) RETURNING number`
	whoHolds     = `SELECT holder, ceil(extract(epoch FROM until - clock_timestamp()))::int8 FROM hallmark_lease WHERE name = 'store'`
	renewLease   = `UPDATE hallmark_lease SET until = clock_timestamp() + $3 WHERE name = 'store' AND holder = $1 AND number = $2`
	releaseLease = `UPDATE hallmark_lease SET until = clock_timestamp() WHERE name = 'store' AND holder = $1 AND number = $2`
	// holdsLease is read in each transaction, with the database's time. In one that only reads, it takes the snapshot too.
	holdsLease = `SELECT number, (extract(epoch FROM clock_timestamp()) * 1000000)::int8 FROM hallmark_lease WHERE name = 'store'`
)

// take takes the lease. Error: storage.ErrInUse.
func (s *Store) take(ctx context.Context) error {
	s.lease.holder = s.config.Process
	err := s.pool.QueryRow(ctx, takeLease, s.lease.holder, leaseLasts).Scan(&s.lease.number)
	if !isNoRow(err) {
		return away(err)
	}
	var holder string
	var seconds int64
	if err := s.pool.QueryRow(ctx, whoHolds).Scan(&holder, &seconds); err != nil {
		return away(err)
	}
	return fmt.Errorf("%w: %s works on it. If that process is gone, start again in %d s, when its lease has ended", storage.ErrInUse, holder, max(seconds, 1))
}

// renew renews the lease until the store is closed.
func (s *Store) renew() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
		tag, err := s.pool.Exec(ctx, renewLease, s.lease.holder, s.lease.number, leaseLasts)
		cancel()
		switch {
		case err != nil:
			s.log.Warn("the lease of the store was not renewed; it is tried again", "err", err)
		case tag.RowsAffected() == 0:
			_ = s.fail(ErrTakenOver)
			return
		}
	}
}

// held wants the answer to holdsLease to be our number.
func (l lease) held(rows *pgconn.Result) error {
	number, ok := column(rows, 0)
	switch {
	case !ok:
		return errors.New("the database does not say who works on the store")
	case number != l.number:
		return ErrTakenOver
	}
	return nil
}

// timeIn is the database's time in the answer to holdsLease, or the zero time.
func timeIn(rows *pgconn.Result) time.Time {
	if micros, ok := column(rows, 1); ok {
		return time.UnixMicro(micros)
	}
	return time.Time{}
}

// column is a number in the answer to holdsLease.
func column(rows *pgconn.Result, i int) (n int64, ok bool) {
	if len(rows.Rows) != 1 || len(rows.Rows[0]) != 2 || len(rows.Rows[0][i]) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(rows.Rows[0][i])), true
}

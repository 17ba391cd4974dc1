package lease

import (
	"context"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// state is what the store says of replicas and leases at a time of its own.
type state struct {
	now      time.Time
	replicas map[string]replicaRow
	leases   map[string]leaseRow
}

func stateReads() []storage.Read {
	return []storage.Read{storage.Rows(replicaTable, nil, nil), storage.Rows(leaseTable, nil, nil)}
}

func readState(tx storage.Reader) (s state, err error) {
	if s.replicas, err = readTable[replicaRow](tx, replicaTable); err != nil {
		return s, err
	}
	if s.leases, err = readTable[leaseRow](tx, leaseTable); err != nil {
		return s, err
	}
	s.now, err = storage.Now(tx)
	return s, err
}

func readTable[Row any](tx storage.Reader, table storage.Table) (map[string]Row, error) {
	rows := map[string]Row{}
	for item, err := range tx.Scan(table, nil, nil) {
		if err != nil {
			return nil, err
		}
		if rows[string(item.Key)], err = decode[Row](string(item.Key), item.Value); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// isFree says that a replica may take a lease: nobody has it, or one that is gone. A replica that finds its own name there, and did not
// take the lease, had it in a former life.
func (s state) isFree(name, by string) bool {
	holder := s.leases[name].Holder
	row, there := s.replicas[holder]
	return holder == "" || holder == by || !there || !s.now.Before(row.Until)
}

// giveBack leaves leases of some replicas to whoever wants them.
func (s state) giveBack(tx storage.Tx, of func(id string) bool) error {
	for name, row := range s.leases {
		if row.Holder == "" || !of(row.Holder) {
			continue
		}
		row.Holder = ""
		if err := put(tx, leaseTable, name, row); err != nil {
			return err
		}
	}
	return nil
}

// Keep renews the replica's row and takes the leases that are wanted here, until ctx ends.
func (r *Replica) Keep(ctx context.Context) {
	if r.c.Alone {
		return
	}
	for {
		if err := r.beat(ctx); err != nil && ctx.Err() == nil {
			r.c.Log.Warn("the row of this replica was not renewed; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
		case <-time.After(lookEvery):
		}
	}
}

// beat looks at what the store says, and changes it where that is needed.
func (r *Replica) beat(ctx context.Context) error {
	s, err := r.look(ctx)
	if err == nil {
		r.settle(s)
		if r.isDue(s) {
			err = r.renew(ctx)
		}
	}
	if err != nil && time.Since(r.renewed) > lasts {
		r.loseAll() // others have them by now, or nobody: the store would refuse what is written under them
	}
	return err
}

// look reads the state, and how far this machine's clock is from the store's.
func (r *Replica) look(ctx context.Context) (s state, err error) {
	began := r.c.Machine()
	err = r.store.View(ctx, func(tx storage.Reader) (err error) {
		storage.Expect(tx, stateReads)
		s, err = readState(tx)
		return err
	})
	if err != nil {
		return s, err
	}
	half := r.c.Machine().Sub(began) / 2
	offset := s.now.Sub(began.Add(half))
	r.offset.Store(int64(offset))
	far := offset.Abs() > farApart
	if far && !r.told {
		r.c.Log.Warn("this machine's clock is far from the store's, which counts: set it right", "ahead", (-offset).Round(time.Second).String())
	}
	r.told = far
	return s, nil
}

// isDue says that something is to be written: this replica's row, a lease that is free and wanted, or one that is wanted no more.
func (r *Replica) isDue(s state) bool {
	row, there := s.replicas[r.c.ID]
	if !there || !s.now.Before(row.Renewed.Add(renewEvery)) {
		return true
	}
	take, leave := r.changes(s)
	return len(take)+len(leave) > 0
}

// changes are the leases to take and those to give back.
func (r *Replica) changes(s state) (take, leave []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, j := range r.jobs {
		if j.held == nil && s.isFree(name, r.c.ID) {
			take = append(take, name)
		}
	}
	for name, row := range s.leases {
		if row.Holder == r.c.ID && r.jobs[name] == nil {
			leave = append(leave, name)
		}
	}
	return take, leave
}

// renew writes this replica's row, removes those of replicas that are gone, and takes what is free.
func (r *Replica) renew(ctx context.Context) error {
	began := time.Now()
	var s state
	var take []string
	err := storage.UpdateReading(ctx, r.store, stateReads, func(tx storage.Tx) (err error) {
		if s, err = readState(tx); err != nil {
			return err
		}
		var leave []string
		take, leave = r.changes(s)
		for id, row := range s.replicas {
			if !s.now.Before(row.Until) {
				tx.Delete(replicaTable, []byte(id))
			}
		}
		for _, name := range take {
			err = errors.Join(err, s.hand(tx, name, leaseRow{s.leases[name].Number + 1, r.c.ID}))
		}
		for _, name := range leave {
			err = errors.Join(err, s.hand(tx, name, leaseRow{Number: s.leases[name].Number}))
		}
		return errors.Join(err, put(tx, replicaTable, r.c.ID, replicaRow{r.c.Version, s.now, s.now.Add(lasts)}))
	})
	if err == nil {
		r.renewed = began
		r.settle(s)
		r.take(s, take)
	}
	return err
}

func (s state) hand(tx storage.Tx, name string, row leaseRow) error {
	s.leases[name] = row
	return put(tx, leaseTable, name, row)
}

// settle ends the work whose lease others have.
func (r *Replica) settle(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, j := range r.jobs {
		if row := s.leases[name]; j.held != nil && (row.Holder != r.c.ID || row.Number != j.held.number) {
			r.lose(name, j)
		}
	}
}

// take begins the work whose leases this process has taken.
func (r *Replica) take(s state, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if j := r.jobs[name]; j != nil { // else nobody wants it any more, and it is given back
			j.held = &held{name, s.leases[name].Number}
			select {
			case <-j.got: // one that was lost before the work began
			default:
			}
			j.got <- j.held
		}
	}
}

// lose ends the work under a lease. The caller holds mu.
func (r *Replica) lose(name string, j *job) {
	r.c.Log.Warn("another process does this work by now", "lease", name, "number", j.held.number)
	if j.held = nil; j.end != nil {
		j.end()
	}
}

func (r *Replica) loseAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, j := range r.jobs {
		if j.held != nil {
			r.lose(name, j)
		}
	}
}

// Leave says that this process works on the store no more, so that its work moves at once. Call it when all of that has ended. If we stop before
// it, others wait for the end of the row.
func (r *Replica) Leave(ctx context.Context) error {
	if r.c.Alone {
		return nil
	}
	return storage.UpdateReading(ctx, r.store, stateReads, func(tx storage.Tx) error {
		s, err := readState(tx)
		if err != nil {
			return err
		}
		tx.Delete(replicaTable, []byte(r.c.ID))
		return s.giveBack(tx, func(id string) bool { return id == r.c.ID })
	})
}

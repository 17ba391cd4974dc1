package storage

import "context"

// A Read is what a closure asks a Reader for: the value of a key, or the rows of a range. Make one with [Row], [Rows], [RowsReverse] or
// [Under].
type Read struct {
	Table   Table
	Key     []byte // of a row; of a range where it begins, as Scan has it
	To      []byte // of a range: where it ends
	Range   bool
	Reverse bool // of a range: the last rows first
	Most    int  // of a range: how many rows are wanted, mostly; 0 where that is not known
}

// First says that mostly no more than the first n rows of a range are wanted.
func (r Read) First(n int) Read {
	r.Most = n
	return r
}

// Row names what Get and GetMany ask for.
func Row(table Table, key []byte) Read { return Read{Table: table, Key: key} }

// Rows names what Scan asks for.
func Rows(table Table, from, to []byte) Read {
	return Read{Table: table, Key: from, To: to, Range: true}
}

// RowsReverse names what ScanReverse asks for.
func RowsReverse(table Table, from, to []byte) Read {
	return Read{Table: table, Key: from, To: to, Range: true, Reverse: true}
}

// Under names a Scan of the rows whose keys begin with prefix.
func Under(table Table, prefix []byte) Read { return Rows(table, prefix, PrefixEnd(prefix)) }

// An Expecter is a Reader that reads many rows at once for less than one after another. Engines behind a network are;
// embedded ones are not.
type Expecter interface {
	// Expect says what will be read of this Reader. It reads that in one round trip, so that a Get or a Scan of it costs
	// none, nor a Get or a Scan in a part of a range that was read. What was not expected can be read all the same.
	Expect(reads []Read)
}

// Expect tells a Reader what its closure is going to read, of several tables, where that is worth anything. It is a hint: an engine
// may ignore it. Each Get has to be written as if there were none.
func Expect(r Reader, reads func() []Read) {
	if e, ok := r.(Expecter); ok {
		e.Expect(reads())
	}
}

// A Declarer is a Store that begins an Update and reads what its closure will ask for in one round trip.
type Declarer interface {
	// UpdateReading is Update. It reads what is declared once nobody else can change it, and gives it to fn as it is then. What fn
	// does not ask for, asks for twice, changes itself, or asks for beside it, is as it is in any Update.
	UpdateReading(ctx context.Context, reads []Read, fn func(Tx) error) error
}

// UpdateReading is an Update of a store that declares what fn is going to read, where that is worth anything. It is a hint, as Expect is.
func UpdateReading(ctx context.Context, s Store, reads func() []Read, fn func(Tx) error) error {
	if d, ok := s.(Declarer); ok {
		return d.UpdateReading(ctx, reads(), fn)
	}
	return s.Update(ctx, fn)
}

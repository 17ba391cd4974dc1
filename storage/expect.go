package storage

// A Row names a key of a table.
type Row struct {
	Table Table
	Key   []byte
}

// An Expecter is a Reader that reads many rows at once for less than one after another. Engines behind a network are;
// embedded ones are not.
type Expecter interface {
	// Expect says which rows will be read of this Reader. It reads them in one round trip, so that a Get of one of them costs
	// none. What was not expected can be read all the same.
	Expect(rows []Row)
}

// Expect tells a Reader which rows its closure is going to read, of several tables, where that is worth anything. It is a hint: an engine
// may ignore it. Each Get has to be written as if there were none.
func Expect(r Reader, rows func() []Row) {
	if e, ok := r.(Expecter); ok {
		e.Expect(rows())
	}
}

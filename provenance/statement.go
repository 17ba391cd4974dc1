package provenance

import (
	"errors"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// PredicateType names the predicate of the in-toto statement that a record is stored as.
const PredicateType = receipt.PredicateType

// ParseStatement reads the record in a statement whose signature was checked. The statement's subject is
// what other tools go by, so it has to be what the record is about. One that not everybody reads alike is refused, whoever signed it.
func ParseStatement(payload []byte) (*Record, error) {
	s, err := parse(payload, strictjson.Unmarshal)
	if err != nil {
		return nil, err
	}
	d := s.Predicate.Digest
	if len(s.Subject) != 1 || d.Validate() != nil || s.Subject[0].Digest[d.Algorithm().String()] != d.Encoded() {
		return nil, errors.New("the statement's subject is not what its record is about")
	}
	return s.Predicate, nil
}

// parse reads a statement. Its predicate is there, or there is an error: null is JSON too.
func parse(payload []byte, unmarshal func([]byte, any) error) (s statement, err error) {
	s.Predicate = new(Record)
	if err := unmarshal(payload, &s); err != nil {
		return statement{}, err
	}
	if s.Predicate == nil {
		return statement{}, errors.New("the statement has no predicate")
	}
	return s, nil
}

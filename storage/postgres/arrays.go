package postgres

import "encoding/binary"

// The types that are sent, by the numbers that PostgreSQL gives them for ever.
const (
	oidBytea      = 17
	oidText       = 25
	oidInt8       = 20
	oidByteaArray = 1001
	oidTextArray  = 1009
)

// array writes a one-dimensional array in PostgreSQL's binary form (array_recv in its source): the number of dimensions, whether
// there are NULLs, the type of the elements, the length, the first index; then each element behind its length.
func array[T ~string | ~[]byte](element uint32, list []T) []byte {
	size := 20
	for _, e := range list {
		size += 4 + len(e)
	}
	out := make([]byte, 0, size)
	for _, n := range []uint32{1, 0, element, uint32(len(list)), 1} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	for _, e := range list {
		out = binary.BigEndian.AppendUint32(out, uint32(len(e)))
		out = append(out, e...)
	}
	return out
}

// int8 writes a number of eight bytes.
func int8bytes(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

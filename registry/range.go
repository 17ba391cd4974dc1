package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Ranges are read here before net/http serves them, because it counts them for HEAD, refuses units that it does
// not know, and numbers that do not fit (RFC 9110, section 14.2).

// maxRanges bounds the parts of one answer. Who asks for more gets the whole blob: each part has a header of its
// own, so a short request could ask for a long answer.
const maxRanges = 16

// limitRange leaves a request with the range that it is to be served of a blob with so many bytes, spelled as
// net/http reads it, or with none, where what it says is to be ignored.
func limitRange(r *http.Request, size int64) {
	asked := r.Header["Range"]
	if len(asked) == 0 {
		return
	}
	r.Header.Del("Range")
	if len(asked) > 1 || r.Method != http.MethodGet {
		return
	}
	if unit, list, ok := strings.Cut(asked[0], "="); ok && strings.EqualFold(unit, "bytes") {
		parts, err := parseRanges(list, size)
		if err != nil {
			parts = []string{nothingOf(size)} // refused, as the conformance suite wants it
		}
		if len(parts) <= maxRanges {
			r.Header.Set("Range", "bytes="+strings.Join(parts, ","))
		}
	}
}

var errRange = errors.New("malformed range")

// parseRanges reads a list of ranges, and leaves out those of which there is nothing. Where nothing is left, it
// returns one that begins behind the end, which gets 416.
func parseRanges(list string, size int64) (parts []string, err error) {
	given := false
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.Trim(one, " \t"); one == "" {
			continue
		}
		given = true
		first, last, err := parseRange(one, size)
		if err != nil {
			return nil, err
		}
		if first < size {
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
	}
	switch {
	case !given:
		return nil, errRange
	case len(parts) == 0:
		return []string{nothingOf(size)}, nil
	}
	return parts, nil
}

// nothingOf is a range behind the end.
func nothingOf(size int64) string { return strconv.FormatInt(size, 10) + "-" }

// parseRange reads FIRST-LAST, FIRST- or -LENGTH, of which there is nothing where first is not below size.
func parseRange(s string, size int64) (first, last int64, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok || from == "" && to == "" {
		return 0, 0, errRange
	}
	if from == "" {
		length, err := parseNumber(to)
		return size - min(length, size), size - 1, err
	}
	if first, err = parseNumber(from); err != nil || to == "" {
		return first, size - 1, err
	}
	if last, err = parseNumber(to); err == nil && last < first {
		err = errRange
	}
	return first, min(last, size-1), err
}

// parseNumber reads a decimal number; one that is too large stands for the largest.
func parseNumber(s string) (int64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, errRange
	}
	n, _ := strconv.ParseInt(s, 10, 64) // out of range is the largest
	return n, nil
}

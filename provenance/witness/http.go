package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/tlog"
)

// maxProof is the number of hashes of the longest consistency proof.
const maxProof = 63

// maxRequest is the longest request that is read, in bytes.
const maxRequest = checkpoint.MaxText + (maxProof+1)*64

// ServeHTTP serves POST /add-checkpoint of C2SP tlog-witness.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/add-checkpoint":
		http.Error(rw, "a witness serves /add-checkpoint alone", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "/add-checkpoint takes POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	line, err := w.answer(string(body))
	if err != nil {
		refuse(rw, err)
		return
	}
	_, _ = io.WriteString(rw, line) // a client that left can ask again
}

func (w *Witness) answer(body string) (line string, err error) {
	oldSize, proof, signed, err := ParseRequest(body)
	if err != nil {
		return "", err
	}
	return w.Cosign(oldSize, proof, signed)
}

// ParseRequest reads the body of add-checkpoint, or returns ErrMalformed.
func ParseRequest(body string) (oldSize uint64, proof tlog.TreeProof, signed string, err error) {
	head, signed, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	if !ok || !isOld || len(lines) > 1+maxProof {
		return 0, nil, "", fmt.Errorf("%w: it has not the lines `old SIZE`, up to %d hashes, and an empty one", ErrMalformed, maxProof)
	}
	if oldSize, err = strconv.ParseUint(size, 10, 63); err != nil || strconv.FormatUint(oldSize, 10) != size {
		return 0, nil, "", fmt.Errorf("%w: %.20q is no size", ErrMalformed, size)
	}
	for _, line := range lines[1:] {
		h, err := checkpoint.ParseHash(line)
		if err != nil {
			return 0, nil, "", fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		proof = append(proof, h)
	}
	return oldSize, proof, signed, nil
}

// FormatRequest returns the body of add-checkpoint.
func FormatRequest(oldSize uint64, proof tlog.TreeProof, signed string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", oldSize)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	return b.String() + "\n" + signed
}

// refuse answers as tlog-witness says.
func refuse(rw http.ResponseWriter, err error) {
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict):
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", conflict.Size)
	case errors.Is(err, ErrMalformed):
		http.Error(rw, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrUnknownLog):
		http.Error(rw, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrSignature):
		http.Error(rw, err.Error(), http.StatusForbidden)
	case errors.Is(err, ErrProof):
		http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
	default:
		http.Error(rw, "the witness cannot keep what it saw, so it does not cosign", http.StatusInternalServerError)
	}
}

package s3_test

import (
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestLeftoversOfSeveral has one process seal a blob whose row it is about to write, and another look for what nobody names: it takes it for a leftover
// only after a time.
func TestLeftoversOfSeveral(t *testing.T) {
	r, dir := newRegistries(t), t.TempDir()
	r.several = true
	one, err := r.openS3(dir)
	must(t, err)
	other, err := r.openS3(dir)
	must(t, err)
	up, err := one.Create(t.Context())
	must(t, err)
	_, err = up.Write([]byte("a layer"))
	must(t, err)
	at, err := up.Seal(t.Context(), "a-layer")
	must(t, err)
	left := func() (n int) {
		for _, err := range other.Leftovers(t.Context(), func(func(storage.Location, error) bool) {}) {
			must(t, err)
			n++
		}
		return n
	}
	if n := left(); n != 0 {
		t.Errorf("%d blobs are taken for leftovers, of which one was sealed just now", n)
	}
	other.NamesAtOnce()
	if n := left(); n != 1 {
		t.Errorf("%d blobs are taken for leftovers in the end, and not the one that nobody names", n)
	}
	must(t, one.Remove(t.Context(), at))
}

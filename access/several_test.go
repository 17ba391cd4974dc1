package access

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

// TestUsesOfSeveral has two processes see the uses of a robot's secret: the later one is kept, whichever is written last; and nothing is kept of a
// robot that the other has removed meanwhile.
func TestUsesOfSeveral(t *testing.T) {
	store := testStore(t)
	a, b := testRoom(t, store, bcrypt.MinCost), testRoom(t, store, bcrypt.MinCost)
	r, secret, err := a.AddRobot(background, Operator, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	use := func(by *Access, address string) {
		t.Helper()
		if _, err := by.Identify(request("builder", secret, address+":1")); err != nil {
			t.Fatal(err)
		}
	}
	write := func(by *Access) {
		t.Helper()
		if err := by.WriteUses(background); err != nil {
			t.Fatal(err)
		}
	}
	use(a, "192.0.2.1")
	time.Sleep(2 * time.Millisecond) // times are kept to the millisecond
	use(b, "192.0.2.2")
	write(b)
	write(a)
	robots, err := a.Robots(background, "", 10)
	if err != nil || len(robots) != 1 || robots[0].LastUse == nil || robots[0].LastUse.Address != "192.0.2.2" {
		t.Errorf("%+v, %v", robots, err)
	}
	use(a, "192.0.2.3")
	if err := b.RemoveRobot(background, Operator, "builder"); err != nil {
		t.Fatal(err)
	}
	write(a)
	err = store.View(background, func(tx storage.Reader) error {
		_, err := tx.Get(useTable, []byte(r.Account))
		return err
	})
	if !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an address is kept of a robot that was removed: %v", err)
	}
}

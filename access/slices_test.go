package access

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// grantsFor are n grants to a subject.
func grantsFor(t *testing.T, subject string, n int) (grants []Grant) {
	t.Helper()
	for i := range n {
		grants = append(grants, Grant{mustSubject(t, subject), mustPattern(t, fmt.Sprintf("team/%s%d", subject[:4], i)), Pull})
	}
	return grants
}

// version is that of the document in force.
func (a *Access) version(t *testing.T) uint64 {
	t.Helper()
	f, _, err := a.Export(background)
	if err != nil {
		t.Fatal(err)
	}
	return f.Version
}

// TestManyChanges changes more than a transaction may: a file is refused whole, and a removal goes in steps that take rights away
// and leave what is removed until the last.
func TestManyChanges(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	a, _ := testAccess(t)
	for _, name := range []string{"carol", "dora"} {
		if _, err := a.AddUser(background, Operator, name, "wonderland-1", false); err != nil {
			t.Fatal(err)
		}
	}
	admin := Grant{mustSubject(t, "user:dora"), Everything, Admin}
	grants := append(grantsFor(t, "user:carol", 900), admin)
	for _, dryRun := range []bool{true, false} {
		if _, _, err := a.Apply(background, Operator, File{Grants: append(grants, grantsFor(t, "everyone", 200)...)}, dryRun); !errors.Is(err, ErrManyChanges) {
			t.Errorf("1,101 grants at once, dry run %v: %v", dryRun, err)
		}
	}
	if v := a.version(t); v != 0 {
		t.Errorf("what was refused made version %d", v)
	}
	for _, f := range []File{{Grants: grants}, {Grants: append(grants, grantsFor(t, "everyone", 200)...)}} {
		if _, _, err := a.Apply(background, Operator, f, false); err != nil {
			t.Fatal(err)
		}
	}
	before := a.version(t)
	if err := a.RemoveUser(background, Operator, "carol"); err != nil {
		t.Fatal(err)
	}
	if steps := a.version(t) - before; steps != 9 {
		t.Errorf("900 rights were taken away in %d steps of at most %d", steps, sliceChanges)
	}
	if f, _, err := a.Export(background); err != nil || len(f.Grants) != 201 {
		t.Errorf("%d grants are left, %v", len(f.Grants), err)
	}
	if err := a.RemoveUser(background, Operator, "carol"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("removed again: %v", err)
	}

	// A removal that is refused takes nothing away, however much there is.
	if _, _, err := a.Apply(background, Operator, File{Grants: append(grantsFor(t, "user:dora", 300), admin)}, false); err != nil {
		t.Fatal(err)
	}
	before = a.version(t)
	if err := a.RemoveUser(background, Operator, "dora"); !errors.Is(err, ErrLastAdmin) || a.version(t) != before {
		t.Errorf("the last administrator: %v, version %d after %d", err, a.version(t), before)
	}
}

// between does something once, before the second of the transactions that follow.
type between struct {
	storage.Store
	updates int
	do      func()
}

func (b *between) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if b.updates++; b.updates == 2 {
		b.do()
	}
	return b.Store.Update(ctx, fn)
}

// TestNameTakenMeanwhile gives the name of an account to another one, while its rights are taken away: the other one keeps everything.
func TestNameTakenMeanwhile(t *testing.T) {
	a, _ := testAccess(t)
	for _, name := range []string{"carol", "dora"} {
		if _, err := a.AddUser(background, Operator, name, "wonderland-1", false); err != nil {
			t.Fatal(err)
		}
	}
	f := File{Grants: append(grantsFor(t, "user:carol", 250), grantsFor(t, "user:dora", 10)...)}
	if _, _, err := a.Apply(background, Operator, f, false); err != nil {
		t.Fatal(err)
	}
	a.store = &between{Store: a.store, do: func() {
		for _, names := range [][2]string{{"carol", "carla"}, {"dora", "carol"}} {
			if _, err := a.RenameUser(background, Operator, names[0], names[1]); err != nil {
				t.Error(err)
			}
		}
	}}
	if err := a.RemoveUser(background, Operator, "carol"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("the name is another account's: %v", err)
	}
	now, _, err := a.Export(background)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	for _, g := range now.Grants {
		left[g.Subject.Name]++
	}
	if left["carol"] != 10 || left["carla"] != 150 {
		t.Errorf("%v grants are left, want 10 of the account that is carol now, and 150 of the one that was", left)
	}
}

// TestToward takes grants and memberships away step by step, and nothing that stays.
func TestToward(t *testing.T) {
	from := &Document{
		Teams:  []Team{{"core", []string{"a", "b", "c"}}, {"web", []string{"a"}}},
		Grants: append(grantsFor(t, "team:core", 3), testGrant(t, "everyone a pull")),
	}
	to := &Document{Teams: []Team{{"web", []string{"a"}}}, Grants: []Grant{testGrant(t, "everyone a pull")}}
	var left []int
	for range 4 {
		left = append(left, len(changes(from, to)))
		from.toward(to, 2)
	}
	if want := []int{7, 5, 3, 1}; fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("%v are left, want %v", left, want)
	}
	if last := changes(from, to); len(last) != 1 || last[0].Action != provenance.Revoke || last[0].Team != "core" || last[0].Account != "" {
		t.Errorf("at the end %+v is left", last)
	}
}

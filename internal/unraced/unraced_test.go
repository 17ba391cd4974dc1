package unraced

import "testing"

func TestMain(m *testing.M) {
	defer Clean()
	m.Run()
}

func TestTest(t *testing.T) {
	if Test(t) {
		if !Raced() {
			t.Error("it ran elsewhere, and would have done here")
		}
		return
	}
	if Raced() {
		t.Error("it goes on with the detector")
	}
}

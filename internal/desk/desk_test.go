package desk

import (
	"context"
	"testing"
)

// TestOneLarge wants small documents to pass a large one, and a second large one to wait, and to get its room.
func TestOneLarge(t *testing.T) {
	first := Sit(t.Context())
	room, err := first.Whole(Large + 1)
	if err != nil {
		t.Fatal(err)
	}
	small := Sit(t.Context())
	if got, err := small.Packed(Large); err != nil || len(got) != Large {
		t.Errorf("a small one: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sit(ended).Whole(Large + 1); err == nil {
		t.Error("two large documents are read at once")
	}
	first.Leave()
	body, err := small.Whole(3)
	if err != nil {
		t.Fatal(err)
	}
	copy(body, "abc")
	if packed, err := small.Packed(2 * Large); err != nil || len(packed) != 2*Large || string(body) != "abc" {
		t.Errorf("what is packed: %d bytes beside %q, %v", len(packed), body, err)
	}
	small.Leave()
	second := Sit(t.Context())
	defer second.Leave()
	again, err := second.Whole(2 * Large)
	if err != nil || len(again) != 2*Large || &again[0] == &room[0] {
		t.Errorf("a larger one: %d bytes, %v", len(again), err)
	}
}

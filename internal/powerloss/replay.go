package powerloss

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// A Loss is what a power loss does with what was not flushed.
type Loss struct {
	Name string
	Keep Keep
}

// Losses are the power losses to try, by the number of the event before which the power fails.
type Losses map[int][]Loss

// Moments chooses power losses: at most so many strict ones, each just before a flush comes to its end, when as much
// as ever rests on the flushes before it; and so many others, at any event, one half of each kind. Fewer than 0 means
// all strict ones.
func Moments(events []Event, strict, others int, seed uint64) Losses {
	dice := rand.New(rand.NewPCG(seed, 0))
	chosen := Losses{}
	var flushes []int
	for n, e := range events {
		if e.Flush() {
			flushes = append(flushes, n)
		}
	}
	flushes = append(flushes, len(events))
	if strict >= 0 && strict < len(flushes) {
		dice.Shuffle(len(flushes), func(i, j int) { flushes[i], flushes[j] = flushes[j], flushes[i] })
		flushes = append(flushes[:strict], len(events))
	}
	for _, n := range slices.Compact(slices.Sorted(slices.Values(flushes))) {
		chosen[n] = []Loss{{"strict", Strict}}
	}
	for i := range others {
		n, s := dice.IntN(len(events)+1), dice.Uint64()
		loss := Loss{fmt.Sprintf("random %d", s), Random(s)}
		if i%2 == 0 {
			loss = Loss{fmt.Sprintf("all but one, %d", s), AllBut(s)}
		}
		chosen[n] = append(chosen[n], loss)
	}
	return chosen
}

// Replay takes the events one by one, and calls check at the moment of each loss, with the time until which
// whatever was acknowledged is to be there.
func (d *Disk) Replay(events []Event, losses Losses, check func(n int, until float64, loss Loss, d *Disk) error) error {
	for n := range len(events) + 1 {
		until := 1e18
		if n < len(events) {
			until = events[n].Time
		}
		for _, loss := range losses[n] {
			if err := check(n, until, loss, d); err != nil {
				return err
			}
		}
		if n < len(events) {
			if err := d.Apply(events[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Without returns the events without one flush, its beginning and its end.
func Without(events []Event, end int) []Event {
	begin := end - 1
	for ; !events[begin].Begin || events[begin].Args[0] != events[end].Args[0]; begin-- {
	}
	return slices.Concat(events[:begin], events[begin+1:end], events[end+1:])
}

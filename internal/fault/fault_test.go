package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/fault"
)

var (
	gone   = fault.New(fault.Missing, "it is not there")
	full   = fault.New(fault.Full, "no room")
	denied = fault.New(fault.Denied, "you may not")
)

// entry states a class whatever it wraps.
type entry struct{ error }

func (e entry) Unwrap() error      { return e.error }
func (e entry) Class() fault.Class { return fault.Entry }

// TestOf finds the class of an error that is several: the first in the order in which they are declared.
func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want fault.Class
	}{
		"none":                    {errors.New("odd"), fault.None},
		"no error":                {nil, fault.None},
		"itself":                  {gone, fault.Missing},
		"wrapped":                 {fmt.Errorf("a user: %w", gone), fault.Missing},
		"the store before others": {errors.Join(gone, fmt.Errorf("looking: %w", full)), fault.Full},
		"denied before missing":   {fmt.Errorf("%w, and %w", gone, denied), fault.Denied},
		"an entry of the body":    {entry{denied}, fault.Entry},
		"an entry and the store":  {entry{full}, fault.Full},
	} {
		if got := fault.Of(c.err); got != c.want {
			t.Errorf("%s: class %d, want %d", name, got, c.want)
		}
	}
	if !errors.Is(fmt.Errorf("a user: %w", gone), gone) || errors.Is(gone, full) {
		t.Error("an error is not known by itself")
	}
}

// TestAnswerOf tells clients what is for them, and the log what is for the operator.
func TestAnswerOf(t *testing.T) {
	stopped := fault.New(fault.Stopped, "opened for reading").Telling("it takes no changes")
	err := errors.Join(full, fmt.Errorf("a push: %w", stopped))
	if got := fault.AnswerOf(err, fault.Stopped); got != "it takes no changes" {
		t.Errorf("clients are told %q", got)
	}
	if got := fault.AnswerOf(err, fault.Full); got != "no room" {
		t.Errorf("clients are told %q", got)
	}
}

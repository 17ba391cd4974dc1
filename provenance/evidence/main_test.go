package evidence_test

import (
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
)

func TestMain(m *testing.M) {
	defer unraced.Clean()
	m.Run()
}

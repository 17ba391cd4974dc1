package config_test

import (
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/server/config"
)

// TestProblemsInOneOrder wants the same configuration to be told off in the same words each time.
func TestProblemsInOneOrder(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Limits.Connections, c.Limits.AddressConnections, c.Limits.Uploads, c.Limits.AccountUploads = 0, 0, 0, 0
	c.Keys.Receipt, c.Keys.Log, c.Metrics.TokenFile = "/nowhere/receipt.pem", "/nowhere/log.pem", "/nowhere/token"
	first := fmt.Sprint(c.Examine())
	for range 50 {
		if again := fmt.Sprint(c.Examine()); again != first {
			t.Fatalf("first %s, then %s", first, again)
		}
	}
}

package receipt_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// Logs and keys are fetched from a registry once, and kept: from then on receipts are verified without it.
func ExampleVerify() {
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		return data
	}
	logs, err := receipt.ParseLogs(read("logs.json")) // /keys/logs.json
	if err != nil {
		log.Fatal(err)
	}
	keys, err := receipt.ParseKeyFile(read("receipts.json")) // /keys/receipts.json
	if err != nil {
		log.Fatal(err)
	}
	v, err := receipt.Verify(read("41.sigstore.json"), receipt.Trust{Logs: logs, Keys: keys})
	if errors.Is(err, receipt.ErrRefused) {
		log.Fatalf("it proves nothing: %v", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("record %d is leaf %d of %s\n%s\n", v.Index, v.Leaf, v.Log.Origin, v.Statement)
}

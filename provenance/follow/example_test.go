package follow_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/follow"
)

// Anyone who keeps the state between checks notices when history is rewritten or cut.
func ExampleCheck() {
	fetch := func(ctx context.Context, path string) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example"+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	}
	var state follow.State // as JSON in a file, from one check to the next
	report, err := follow.Check(context.Background(), fetch, &state, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	if report.Outcome.Bad() {
		log.Fatalf("%s\nproof: %v", report.Says, report.Proof)
	}
	fmt.Println(report.Says)
}

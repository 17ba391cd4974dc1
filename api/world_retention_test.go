package api

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// worldPlan is a plan that removes nothing.
var worldPlan = func() string {
	lines := `{"plan":{"version":1,"rules":"` + digest.FromString("rules").String() + `","time":"2027-01-01T00:00:00.000000Z"}}` + "\n"
	return lines + `{"digest":"` + digest.FromString(lines).String() + `"}` + "\n"
}()

// worldRetention is the world as Retention asks it.
type worldRetention struct{ *world }

// Rules, Approved, Plan and ApplyByHand implement Retention.
func (worldRetention) Rules() *retention.Set {
	set, err := retention.Parse("rules", []byte("rules: [{name: old, repositories: team/**, tags: v*, keep: {newest: 3}}]"), nil)
	if err != nil {
		panic(err) // a bug of the test
	}
	return set
}

func (w worldRetention) Approved(context.Context) (digest.Digest, error) { return "", w.asked() }

// LastRun implements Retention.
func (worldRetention) LastRun() *retention.Run {
	return &retention.Run{Applied: retention.Applied{Plan: app.digest, Tags: 2}, Stopped: []string{"team/app"}, StoppedMore: 3, Failed: "no"}
}

// Scheduled implements Retention.
func (worldRetention) Scheduled() time.Duration { return 24 * time.Hour }

// Expiries implements Retention: each tag goes at noon.
func (w worldRetention) Expiries(_ context.Context, _ string, tags []retention.Aged) ([]retention.Expiry, error) {
	all, noon := make([]retention.Expiry, len(tags)), provenance.At(time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC))
	for i := range all {
		all[i] = retention.Expiry{State: retention.Until, At: &noon, Rule: "old", Why: "younger than 30d"}
	}
	return all, w.asked()
}

func (w worldRetention) Plan(_ context.Context, out io.Writer) (digest.Digest, *retention.Summary, error) {
	if err := w.asked(); err != nil {
		return "", nil, err
	}
	_, err := io.Copy(out, strings.NewReader(worldPlan))
	return "", nil, err
}

func (w worldRetention) ApplyByHand(_ context.Context, _ provenance.Identity, p *retention.Plan, out io.Writer) error {
	if err := w.asked(); err != nil {
		return err
	}
	_, err := io.WriteString(out, `{"applied":{"plan":"`+p.Digest.String()+`"}}`)
	return err
}

package web

import (
	"slices"
	"time"
)

// A chart is a small picture of when a tag moved: a bar for each stretch of time, as high as it moved often. It says nothing that
// the list below it does not.
type chart struct {
	Width, Height int
	Bars          []bar
	From, To      time.Time
	Moves         int
}

type bar struct{ X, Y, Width, Height int }

const (
	chartWidth  = 640
	chartHeight = 48
	chartBars   = 64
)

// chartOf draws moments; nil where there are too few for a picture.
func chartOf(moments []time.Time) *chart {
	if len(moments) < 3 {
		return nil
	}
	c := &chart{Width: chartWidth, Height: chartHeight, Moves: len(moments), From: slices.MinFunc(moments, time.Time.Compare), To: slices.MaxFunc(moments, time.Time.Compare)}
	span := c.To.Sub(c.From)
	var counts [chartBars]int
	for _, m := range moments {
		at := 0
		if span > 0 {
			at = min(chartBars-1, int(float64(m.Sub(c.From))/float64(span)*chartBars))
		}
		counts[at]++
	}
	most := slices.Max(counts[:])
	for i, n := range counts {
		if n > 0 {
			height := max(4, n*(chartHeight-2)/most)
			c.Bars = append(c.Bars, bar{i * chartWidth / chartBars, chartHeight - height, chartWidth/chartBars - 2, height})
		}
	}
	return c
}

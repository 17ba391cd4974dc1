package main

import "slices"

// result is what one server did in one row of one round.
type result struct {
	operations int
	seconds    float64
	cpu        float64 // seconds that the server computed, on all cores
}

func rate(r result) float64 { return float64(r.operations) / r.seconds }

func cpu(r result) float64 { return r.cpu / float64(r.operations) }

func each(results []result, of func(result) float64) []float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = of(r)
	}
	return values
}

// divide returns the ratio of two servers within each round.
func divide(a, b []result, of func(result) float64) []float64 {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = of(a[i]) / of(b[i])
	}
	return values
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

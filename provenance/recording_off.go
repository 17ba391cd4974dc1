//go:build norecords

package provenance

const recording = false

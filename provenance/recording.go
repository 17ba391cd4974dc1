//go:build !norecords

package provenance

// recording is false only in the program that `make bench` compares with, to tell what records cost.
const recording = true

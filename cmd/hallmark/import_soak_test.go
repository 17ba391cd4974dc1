//go:build soak

package main

import "testing"

// TestSoakKilledWhileImporting is TestKilledWhileImporting with 5,000 images and 30 kills.
func TestSoakKilledWhileImporting(t *testing.T) { killedWhileImporting(t, 5000, 30) }

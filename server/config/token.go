package config

import (
	"bytes"
	"fmt"
)

// MostMetricsToken is how long a token for metrics may be, in bytes.
const MostMetricsToken = 4096

// leastMetricsToken is its least length: what is shorter can be guessed.
const leastMetricsToken = 16

// ParseMetricsToken returns the token in Metrics.TokenFile, without the white space around it.
func ParseMetricsToken(content []byte) ([]byte, error) {
	token := bytes.TrimSpace(content)
	if len(token) < leastMetricsToken || len(token) > MostMetricsToken {
		return nil, fmt.Errorf("the token has %d bytes, and should have %d to %d", len(token), leastMetricsToken, MostMetricsToken)
	}
	return token, nil
}

package client

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// Roots are the authorities of RootSets together, and the system's.
func Roots(file, host string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	sets, err := RootSets(file, host)
	for _, set := range sets {
		for _, data := range set.PEM {
			pool.AppendCertsFromPEM(data)
		}
	}
	return pool, err
}

// RootSet is the files of certificate authorities that somebody trusts for a host.
type RootSet struct {
	By  string // who trusts them
	PEM [][]byte
}

// RootSets reads the authority in file, and those that docker and podman trust for this host.
func RootSets(file, host string) (sets []RootSet, err error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no PEM certificate", file)
		}
		sets = append(sets, RootSet{"--ca", [][]byte{data}})
	}
	home, _ := os.UserHomeDir() // without one there are only the system's
	for client, name := range map[string]string{"docker": "docker", "podman": "containers"} {
		set := RootSet{By: client + "'s certs.d"}
		for _, dir := range []string{"/etc", filepath.Join(home, ".config")} {
			matches, _ := filepath.Glob(filepath.Join(dir, name, "certs.d", host, "*.crt")) // a host with a pattern in it matches nothing
			for _, path := range matches {
				if data, err := os.ReadFile(path); err == nil {
					set.PEM = append(set.PEM, data)
				}
			}
		}
		if len(set.PEM) > 0 {
			sets = append(sets, set)
		}
	}
	return sets, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// loginStore is where a client keeps its logins.
type loginStore struct {
	of string // as docker, with the file that it is
	credentials.Store
}

// loginStores are those of docker, and then of podman, which are there. Docker's is there always.
func (e *env) loginStores() (stores []loginStore, err error) {
	docker, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, askf("docker's logins: %w", err)
	}
	stores = append(stores, loginStore{"docker (" + docker.ConfigPath() + ")", docker})
	for _, path := range e.podmanFiles() {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		podman, err := credentials.NewStore(path, credentials.StoreOptions{})
		if err != nil {
			return nil, askf("podman's logins in %s: %w", path, err)
		}
		stores = append(stores, loginStore{"podman (" + path + ")", podman})
	}
	return stores, nil
}

// podmanFiles are the files in which podman, skopeo and buildah look for logins (containers-auth.json(5)).
func (e *env) podmanFiles() (files []string) {
	if file := e.getenv("REGISTRY_AUTH_FILE"); file != "" {
		return []string{file}
	}
	if dir := e.getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	}
	config := e.getenv("XDG_CONFIG_HOME")
	if home := e.getenv("HOME"); config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		files = append(files, filepath.Join(config, "containers", "auth.json"))
	}
	return files
}

// storedLogin finds the first login to a host that a client keeps, of one user where a name is given, and who keeps it.
// others are the names of those who are kept, too.
func (e *env) storedLogin(ctx context.Context, host, name string) (found auth.Credential, of string, others []string, err error) {
	stores, err := e.loginStores()
	if err != nil {
		return found, "", nil, err
	}
	for _, s := range stores {
		kept, err := s.Get(ctx, host)
		switch {
		case err != nil:
			return found, "", nil, askf("the login to %s that is kept by %s: %w", host, s.of, err)
		case kept == auth.EmptyCredential:
		case name != "" && kept.Username != name:
			others = append(others, kept.Username)
		default:
			return kept, s.of, nil, nil
		}
	}
	return found, "", others, nil
}

// refusedStored says which stored login was refused, and how to get another.
func refusedStored(of, user, host string, err error) error {
	return exitError{exitAsk, loginError{fmt.Sprintf("the login to %s as %s that is kept by %s was refused: %s. `hallmark login %s --user %s` makes another",
		host, firstOf(user, "nobody"), of, err, host, firstOf(user, "NAME"))}}
}

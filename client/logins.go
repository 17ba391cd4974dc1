package client

import (
	"context"
	"errors"
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
func loginStores(getenv func(string) string) (stores []loginStore, err error) {
	docker, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, away("docker's logins: %w", err)
	}
	stores = append(stores, loginStore{"docker (" + docker.ConfigPath() + ")", docker})
	for _, path := range podmanFiles(getenv) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		podman, err := credentials.NewStore(path, credentials.StoreOptions{})
		if err != nil {
			return nil, away("podman's logins in %s: %w", path, err)
		}
		stores = append(stores, loginStore{"podman (" + path + ")", podman})
	}
	return stores, nil
}

// podmanFiles are the files in which podman, skopeo and buildah look for logins (containers-auth.json(5)).
func podmanFiles(getenv func(string) string) (files []string) {
	if file := getenv("REGISTRY_AUTH_FILE"); file != "" {
		return []string{file}
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	}
	config := getenv("XDG_CONFIG_HOME")
	if home := getenv("HOME"); config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		files = append(files, filepath.Join(config, "containers", "auth.json"))
	}
	return files
}

// A KeptLogin is a login to a host that a client keeps.
type KeptLogin struct {
	auth.Credential
	Of string // who keeps it: docker or podman, with the file

	host  string
	store credentials.Store
}

// Forget has the client keep it no longer.
func (k *KeptLogin) Forget(ctx context.Context) error {
	if err := k.store.Delete(ctx, k.host); err != nil {
		return away("the login to %s that is kept by %s: %w", k.host, k.Of, err)
	}
	return nil
}

// login is the one to a host, or nil.
func (s loginStore) login(ctx context.Context, host string) (*KeptLogin, error) {
	kept, err := s.Get(ctx, host)
	if err != nil {
		return nil, away("the login to %s that is kept by %s: %w", host, s.of, err)
	}
	if kept == auth.EmptyCredential {
		return nil, nil
	}
	return &KeptLogin{Credential: kept, Of: s.of, host: host, store: s}, nil
}

// KeptLogins are all logins to a host that clients keep: docker's, then podman's. Error: *Error.
func KeptLogins(ctx context.Context, getenv func(string) string, host string) (all []*KeptLogin, err error) {
	stores, err := loginStores(getenv)
	for i := 0; err == nil && i < len(stores); i++ {
		var kept *KeptLogin
		if kept, err = stores[i].login(ctx, host); kept != nil {
			all = append(all, kept)
		}
	}
	return all, err
}

// StoredLogin finds the first login to a host that a client keeps, of one user where a name is given, and who keeps it.
// others are the names of those who are kept, too. Error: *Error.
func StoredLogin(ctx context.Context, getenv func(string) string, host, name string) (found auth.Credential, of string, others []string, err error) {
	stores, err := loginStores(getenv)
	if err != nil {
		return found, "", nil, err
	}
	for _, s := range stores {
		kept, err := s.login(ctx, host)
		switch {
		case err != nil:
			return found, "", nil, err
		case kept == nil:
		case name != "" && kept.Username != name:
			others = append(others, kept.Username)
		default:
			return kept.Credential, s.of, nil, nil
		}
	}
	return found, "", others, nil
}

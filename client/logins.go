package client

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// loginStore is where a client keeps its logins.
type loginStore struct {
	*credentials.DynamicStore
	client string // docker or podman
}

// of says who keeps the logins: the client, with its file.
func (s loginStore) of() string { return s.client + " (" + s.ConfigPath() + ")" }

// loginStores are those of docker, and then of podman, which are there and can be read. Docker's is there always.
func loginStores(getenv func(string) string) (stores []loginStore, err error) {
	add := func(client, in string, store *credentials.DynamicStore, failed error) {
		if failed != nil {
			err = errors.Join(err, away("%s's logins%s: %w", client, in, failed))
			return
		}
		stores = append(stores, loginStore{store, client})
	}
	docker, failed := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	add("docker", "", docker, failed)
	for _, path := range podmanFiles(getenv) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		podman, failed := credentials.NewStore(path, credentials.StoreOptions{})
		add("podman", " in "+path, podman, failed)
	}
	return stores, err
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

	key   string // under which it is kept
	store credentials.Store
}

// Forget has the client keep it no longer.
func (k *KeptLogin) Forget(ctx context.Context) error {
	err := k.store.Delete(ctx, k.key)
	if err == nil {
		var left auth.Credential
		if left, err = k.store.Get(ctx, k.key); err == nil && left != auth.EmptyCredential {
			err = errors.New("it is still there: remove it by hand")
		}
	}
	if err != nil {
		return away("the login to %s that is kept by %s: %w", k.key, k.Of, err)
	}
	return nil
}

// login is the one that is kept under a key, or nil. Where nothing is kept under a host, that is one to any URL of it.
func (s loginStore) login(ctx context.Context, key string) (*KeptLogin, error) {
	kept, err := s.Get(ctx, key)
	if err != nil {
		return nil, away("the login to %s that is kept by %s: %w", key, s.of(), err)
	}
	if kept == auth.EmptyCredential {
		return nil, nil
	}
	return &KeptLogin{Credential: kept, Of: s.of(), key: key, store: s}, nil
}

// logins are all to a host, its own last: what is not under its name stands in for one that is.
func (s loginStore) logins(ctx context.Context, host string) (all []*KeptLogin, err error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return key == host || hostOf(key) != host })
	for _, key := range append(others, host) {
		kept, failed := s.login(ctx, key)
		err = errors.Join(err, failed)
		same := func(known *KeptLogin) bool { return known.Credential == kept.Credential }
		if kept != nil && (key != host || slices.Contains(keys, host) || !slices.ContainsFunc(all, same)) {
			all = append(all, kept)
		}
	}
	return all, err
}

// keys are those of the file: hosts, URLs, and with podman hosts with a part of what is there. It has none where it is not there.
func (s loginStore) keys() ([]string, error) {
	data, err := os.ReadFile(s.ConfigPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var file struct{ Auths map[string]json.RawMessage }
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		return nil, away("the logins that are kept by %s: %w", s.of(), err)
	}
	return slices.Sorted(maps.Keys(file.Auths)), nil
}

// hostOf is the host of a key, as who reads logins finds it.
func hostOf(key string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(key, "http://"), "https://"), "/")
	return host
}

// KeptLogins are all logins to a host that clients keep: docker's, then podman's, also where some cannot be read. Error: *Error,
// or several.
func KeptLogins(ctx context.Context, getenv func(string) string, host string) (all []*KeptLogin, err error) {
	stores, err := loginStores(getenv)
	for _, s := range stores {
		kept, failed := s.logins(ctx, host)
		all, err = append(all, kept...), errors.Join(err, failed)
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
			return kept.Credential, s.of(), nil, nil
		}
	}
	return found, "", others, nil
}

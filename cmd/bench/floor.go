package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// floor is the least that a TLS server in Go can do for the same requests: a body goes through SHA-256 to a
// file, one fsync, rename; a read is copied from the open file, with the headers that clients need. It knows
// no user, checks nothing, keeps no order and has no lists. Nothing that does the work can cost less.
type floor struct {
	dir     string
	mu      sync.Mutex
	uploads map[string]*floorUpload // guarded by mu
}

type floorUpload struct {
	file *os.File
	hash hash.Hash
}

func serveFloor(address, dir string) error {
	f := &floor{dir: dir, uploads: map[string]*floorUpload{}}
	if err := selfSigned(dir); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	srv := &http.Server{Addr: address, Handler: f, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return srv.ListenAndServeTLS("", "")
}

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := f.serve(w, r)
	switch {
	case errors.Is(err, os.ErrNotExist):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case status != 0:
		w.WriteHeader(status)
	}
}

func (f *floor) serve(w http.ResponseWriter, r *http.Request) (status int, err error) {
	path := r.URL.Path
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case path == "/v2/":
		return http.StatusOK, nil
	case strings.Contains(path, "/uploads/"):
		return f.upload(w, r, name)
	case r.Method == http.MethodPut:
		u, err := f.create()
		if err == nil {
			_, err = io.Copy(io.MultiWriter(u.file, u.hash), r.Body)
		}
		if err != nil {
			return 0, err
		}
		return http.StatusCreated, f.seal(u, name)
	}
	h := w.Header()
	h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	if blob, ok := strings.CutPrefix(name, "sha256:"); ok {
		h.Set("Content-Type", "application/octet-stream")
		name = blob
	}
	file, err := os.Open(filepath.Join(f.dir, name))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	h.Set("Docker-Content-Digest", path[strings.LastIndexByte(path, '/')+1:])
	h.Set("Etag", `"`+name+`"`)
	http.ServeContent(w, r, "", time.Time{}, file)
	return 0, nil
}

func (f *floor) create() (*floorUpload, error) {
	file, err := os.CreateTemp(f.dir, "upload-")
	return &floorUpload{file, sha256.New()}, err
}

func (f *floor) upload(w http.ResponseWriter, r *http.Request, id string) (int, error) {
	if r.Method == http.MethodPost {
		u, err := f.create()
		if err != nil {
			return 0, err
		}
		id = rand.Text()
		f.mu.Lock()
		f.uploads[id] = u
		f.mu.Unlock()
		w.Header().Set("Location", r.URL.Path+id)
		return http.StatusAccepted, nil
	}
	f.mu.Lock()
	u := f.uploads[id]
	f.mu.Unlock()
	if _, err := io.CopyBuffer(io.MultiWriter(u.file, u.hash), r.Body, make([]byte, 64<<10)); err != nil {
		return 0, err
	}
	if r.Method == http.MethodPatch {
		w.Header().Set("Location", r.URL.Path)
		return http.StatusAccepted, nil
	}
	f.mu.Lock()
	delete(f.uploads, id)
	f.mu.Unlock()
	return http.StatusCreated, f.seal(u, hex.EncodeToString(u.hash.Sum(nil)))
}

func (f *floor) seal(u *floorUpload, name string) error {
	return errors.Join(u.file.Sync(), u.file.Close(), os.Rename(u.file.Name(), filepath.Join(f.dir, name)))
}

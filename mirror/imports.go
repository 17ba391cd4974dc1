package mirror

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Imports runs imports into a registry, one at a time: two at once could record the same twice.
type Imports struct {
	registry *registry.Registry
	running  sync.Mutex
}

// NewImports returns one that imports into a registry.
func NewImports(g *registry.Registry) *Imports { return &Imports{registry: g} }

// ErrImporting says that an import is running.
var ErrImporting error = fault.New(fault.Conflict, "another import is running: wait for its end")

// Options say what is imported, and to where.
type Options struct {
	// Path is that of a directory or an archive on the server's machine. It is absolute.
	Path string
	// Registry is the name of one that runs, where there is no Path; the rest of what a Remote has follows.
	Registry           string
	Username, Password string
	RefreshToken       string       // in place of them
	Roots              []byte       // PEM
	Addresses          []netip.Addr // of the server's machine or its link alone, that it may lead to
	Rate               int          // requests a second

	// Tags is the path of a file of tags for a Path that has none, or "".
	Tags         string
	Repositories []access.Pattern
	Platforms    []Platform
	Into         string
	DryRun       bool
}

// progressEvery is how often it is told how far an import has come.
const progressEvery = time.Second

// Import imports in the name of who asked for it with a request, and tells now and then how far it is. A report of what came until
// then stands beside an error that ended it. Errors before anything came: ErrSource, ErrImporting.
func (i *Imports) Import(ctx context.Context, who provenance.Identity, r *http.Request, o Options, tell func(Counts)) (Report, error) {
	if !i.running.TryLock() {
		return Report{}, ErrImporting
	}
	defer i.running.Unlock()
	from, err := o.open()
	if err != nil {
		return Report{}, err
	}
	defer from.Close() //nolint:errcheck // it was only read
	j := &Job{From: from, Here: i.registry.Importer(who, r), Repositories: o.Repositories, Platforms: o.Platforms, Into: strings.Trim(o.Into, "/"), DryRun: o.DryRun}
	if o.Path != "" {
		j.Workers = localWorkers
	}
	stop := telling(j, tell)
	defer stop()
	return j.Run(ctx)
}

// telling tells how far a job is until stop is called; after that, nothing is told.
func telling(j *Job, tell func(Counts)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(progressEvery)
		defer every.Stop()
		for {
			select {
			case <-done:
				return
			case <-every.C:
				tell(j.Counts())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// open opens the source. Error: ErrSource.
func (o Options) open() (Source, error) {
	if o.Path != "" {
		if !filepath.IsAbs(o.Path) {
			return nil, fmt.Errorf("%w: the path %.200q is not absolute", ErrSource, o.Path)
		}
		from, err := OpenPath(o.Path)
		if err != nil || o.Tags == "" {
			return from, err
		}
		return withTagsOf(from, o.Tags)
	}
	if o.Tags != "" {
		return nil, fmt.Errorf("%w: a file of tags goes with the data directory of a registry: one that runs has its own", ErrSource)
	}
	r := Remote{Where: o.Registry, Repositories: o.Repositories, Rate: o.Rate, Addresses: o.Addresses, Login: auth.Credential{Username: o.Username, Password: o.Password, RefreshToken: o.RefreshToken}}
	if len(o.Roots) > 0 {
		if r.Roots = x509.NewCertPool(); !r.Roots.AppendCertsFromPEM(o.Roots) {
			return nil, fmt.Errorf("%w: there is no PEM certificate in what was given as its authority", ErrSource)
		}
	}
	return OpenRemote(r)
}

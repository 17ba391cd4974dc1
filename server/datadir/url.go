package datadir

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage"
)

// PublicURL is the registry's one public name: as configured, else as it was last configured, else localhost with the port
// of address, where a server listens. Where none does, address is "": then the newest record has the port, else the
// configuration. KeepURL keeps the name.
func (d *Dir) PublicURL(ctx context.Context, c config.Config, address string) (string, error) {
	kept, err := d.Setting(ctx, SettingURL)
	if err != nil {
		return "", err
	}
	if given := cmp.Or(strings.TrimSuffix(c.URL, "/"), kept); given != "" {
		return given, nil
	}
	if address == "" {
		said, err := d.recordedName(ctx)
		if err != nil {
			return "", err
		}
		if provenance.DefaultName(said) {
			return said, nil
		}
	}
	scheme := "https"
	if c.InsecureHTTP != "" {
		scheme = "http"
	}
	return scheme + "://localhost:" + portOf(cmp.Or(address, c.Listen)), nil
}

// recordedName is the name that the newest record states, or "" where there is none, or none that can be read: whoever checks
// the records says that. Errors: those of a store that cannot be read now; a name made up instead would go into certificates.
func (d *Dir) recordedName(ctx context.Context) (name string, err error) {
	err = d.Rows().View(ctx, func(tx storage.Reader) (err error) {
		name, _, err = provenance.ReadName(tx)
		return err
	})
	if errors.Is(err, provenance.ErrNoRecord) || errors.Is(err, storage.ErrCorrupt) {
		return "", nil
	}
	return name, err
}

// KeepURL keeps the public name that is configured, if one is, for starts that are told none. It comes after everything that
// may refuse the name: one that was refused and kept all the same would break the next start.
func (d *Dir) KeepURL(ctx context.Context, c config.Config) error {
	given := strings.TrimSuffix(c.URL, "/")
	kept, err := d.Setting(ctx, SettingURL)
	if err != nil || given == "" || given == kept {
		return err
	}
	return d.Set(ctx, SettingURL, given)
}

// Ports are those, besides that of the public name, at which clients reach the registry. Where it was never given a
// public name, any may be: somebody tries it out, perhaps in a container whose port is published at another.
func (d *Dir) Ports(ctx context.Context, c config.Config, address string) ([]string, error) {
	kept, err := d.Setting(ctx, SettingURL)
	if err != nil || kept == "" && c.URL == "" {
		return nil, err
	}
	return []string{portOf(cmp.Or(address, c.Listen))}, nil
}

func portOf(address string) string {
	return address[strings.LastIndexByte(address, ':')+1:]
}

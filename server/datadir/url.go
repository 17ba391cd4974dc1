package datadir

import (
	"context"
	"strings"

	"github.com/seed-260924e6/hallmark/server/config"
)

// PublicURL is the registry's one public name: as configured, else as it was last configured, else
// localhost with the port that it listens on. KeepURL keeps it.
func (d *Dir) PublicURL(ctx context.Context, c config.Config, address string) (string, error) {
	kept, err := d.Setting(ctx, SettingURL)
	if err != nil {
		return "", err
	}
	given := strings.TrimSuffix(c.URL, "/")
	switch {
	case given != "":
		return given, nil
	case kept != "":
		return kept, nil
	}
	scheme := "https"
	if c.InsecureHTTP != "" {
		scheme = "http"
	}
	return scheme + "://localhost:" + portOf(address), nil
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
	return []string{portOf(address)}, nil
}

func portOf(address string) string {
	return address[strings.LastIndexByte(address, ':')+1:]
}

package server

import (
	"context"

	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
)

// RenewCertificate makes a new certificate where no server runs, and with newCA a new authority. The next start shows it.
// say is as Options.Say. Errors: *UnavailableError, certs.ErrName, and those of a certificate that is not the registry's own.
func RenewCertificate(ctx context.Context, c config.Config, newCA bool, say func(string)) error {
	d, err := datadir.Open(ctx, c.Data, datadir.ToChange, datadir.Options{Say: say, S3: remoteOf(c), Database: c.Store})
	if err != nil {
		return &UnavailableError{err}
	}
	defer d.Close() //nolint:errcheck // the certificate is written
	url, err := d.PublicURL(ctx, c, "")
	if err != nil {
		return err
	}
	own := certsConfig(d, c, url)
	if err := renew(own, newCA); err != nil {
		return err
	}
	return d.KeepURL(ctx, c)
}

func renew(own certs.Config, newCA bool) error {
	if newCA {
		_, err := certs.Remake(own)
		return err
	}
	k, err := certs.Open(own)
	if err != nil {
		return err
	}
	return k.Renew(false)
}

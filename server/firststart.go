package server

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
)

// Welcome is what the one who started a new registry needs to know of it.
type Welcome struct {
	// Data is the data directory, as an absolute path.
	Data string
	// URL is the registry's public name.
	URL string
	// User is the first administrator.
	User string
	// Password is theirs, where it was made and shown only now.
	Password string
	// PasswordFile holds it, where it was made and nobody sees this. Where both are empty it was given.
	PasswordFile string
	// CA is the registry's own certificate authority, in CAFile; nil where it has none.
	CA     *x509.Certificate
	CAFile string
}

// firstStart makes the first administrator, once. It returns nil where there was one before.
func (s *Server) firstStart(ctx context.Context) (*Welcome, error) {
	made, err := s.data.Setting(ctx, datadir.SettingAdmin)
	if err != nil || made != "" {
		return nil, err
	}
	// The user is made together with the first record. Where there are records the mark was taken away, or we stopped
	// before it: anyone who takes it away gets no administrator for it.
	n, err := s.book.Len(ctx)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, s.data.Set(ctx, datadir.SettingAdmin, "made")
	}
	if s.book.Stopped() != nil {
		return nil, nil // nothing can be recorded; /readyz?write says why
	}
	w := &Welcome{Data: s.data.Path, URL: s.url, User: "admin"}
	password, err := s.adminPassword(w)
	if err != nil {
		return nil, err
	}
	// If we stop after this and before the setting is kept, the next start finds its records, and goes on.
	_, err = s.access.AddUser(ctx, access.Operator, w.User, password, true)
	if err != nil && !errors.Is(err, access.ErrUserExists) {
		return nil, err
	}
	if s.keeper != nil && s.keeper.CA() != nil {
		w.CA, w.CAFile = s.keeper.CA(), s.keeper.CAPath()
	}
	return w, s.data.Set(ctx, datadir.SettingAdmin, "made")
}

// checkFirstPassword refuses a password that firstStart would, before the start makes anything that belongs to its name.
func (s *Server) checkFirstPassword(ctx context.Context, d *datadir.Dir) error {
	made, err := d.Setting(ctx, datadir.SettingAdmin)
	if err != nil || made != "" || s.options.AdminPassword == "" {
		return err
	}
	if err := access.CheckPassword(s.options.AdminPassword); err != nil {
		return config.Errorf("HALLMARK_ADMIN_PASSWORD: %w", err)
	}
	return nil
}

// adminPassword returns the first administrator's password, and notes where it is. Where
// nobody looks at the output it is in a file, written before the user is made: if we stop between the
// two, the next start writes another.
func (s *Server) adminPassword(w *Welcome) (string, error) {
	if s.options.AdminPassword != "" {
		return s.options.AdminPassword, nil
	}
	password := access.NewPassword()
	if s.options.Watched {
		w.Password = password
		return password, nil
	}
	w.PasswordFile = s.data.File(datadir.PasswordFile)
	return password, durable.WriteFile(w.PasswordFile, []byte(password+"\n"), 0o600)
}

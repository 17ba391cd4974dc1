package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-260924e6/hallmark/certs"
	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/spf13/cobra"
)

// cert is the verb `hallmark cert`.
func (e *env) cert() *cobra.Command {
	c := &cobra.Command{
		Use: "cert", Short: "Show and renew the certificate, and make clients trust it",
	}
	c.AddCommand(e.certShow(), e.certRenew(), e.certTrust())
	return c
}

// certificates is what the API says of them.
type certificates struct {
	URL    string       `json:"url"`
	Server certificate  `json:"server"`
	CA     *certificate `json:"ca,omitempty"`
}

type certificate struct {
	Subject     string          `json:"subject"`
	Issuer      string          `json:"issuer"`
	Names       []string        `json:"names"`
	NotBefore   provenance.Time `json:"notBefore"`
	NotAfter    provenance.Time `json:"notAfter"`
	Fingerprint string          `json:"fingerprint"`
	PEM         string          `json:"pem"`
}

func (e *env) certShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the server's certificate and its authority", Args: cobra.NoArgs}
	t := addTarget(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var found certificates
			if err := cl.get(ctx, "/api/v1/certificate", nil, &found); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, found)
			}
			found.print(e.stdout)
			return nil
		})
	}
	return c
}

func (c certificates) print(w io.Writer) {
	describe := func(title string, cert certificate) {
		fmt.Fprintf(w, "%s\n  subject    %s\n  issuer     %s\n  names      %s\n  valid      %s to %s\n  SHA-256    %s\n", title,
			clean(cert.Subject), clean(cert.Issuer), clean(orNone(strings.Join(cert.Names, ", "))), local(cert.NotBefore), local(cert.NotAfter), cert.Fingerprint)
	}
	if c.CA != nil { // first, because its fingerprint is what other machines are asked for
		describe("certificate authority: `hallmark cert trust` wants this fingerprint", *c.CA)
	}
	describe("certificate of "+c.URL, c.Server)
}

func (e *env) certRenew() *cobra.Command {
	c := &cobra.Command{
		Use: "renew", Short: "Make a new certificate now", Args: cobra.NoArgs,
		Long: "Make a new certificate now. The server does it by itself a month before the present one ends. With --ca the\n" +
			"certificate authority is new too, for the names of --url and --host, and every client has to trust it anew.\n" +
			"New names need the server stopped: one that runs keeps the names that it was started with.",
	}
	flags := addConfigFlags(c)
	newCA := c.Flags().Bool("ca", false, "make a new certificate authority too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := flags.load(e.getenv)
		if err != nil {
			return err
		}
		if conn, err := datadir.DialSocket(c.Context(), cfg.Data); err == nil {
			_ = conn.Close() // it was only tried
			cl := connectSocket(cfg.Data)
			defer cl.close() //nolint:errcheck // what was asked is answered
			return e.renewBeside(c.Context(), cl, cfg, *newCA)
		}
		if err := server.RenewCertificate(c.Context(), cfg, *newCA, e.sayUpgrade); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "made a new certificate; the next start shows it")
		return nil
	}
	return c
}

// renewBeside has the server that runs make the certificate. It makes it for the names that it was started with, so names
// that it does not have are refused: they would be for nothing.
func (e *env) renewBeside(ctx context.Context, cl *client, cfg config.Config, newCA bool) error {
	var shown, renewed certificates
	if err := cl.get(ctx, "/api/v1/certificate", nil, &shown); err != nil {
		return err
	}
	if name := shown.lacks(cfg); name != "" {
		return usagef("the server that runs on %s is %s, and does not have the name %s: stop it, run this again, and start it with the new name", cfg.Data, shown.URL, name)
	}
	if err := cl.send(ctx, "POST", "/api/v1/certificate", map[string]bool{"ca": newCA}, &renewed); err != nil {
		return err
	}
	renewed.print(e.stdout)
	return nil
}

// lacks returns the first name of a configuration that the server does not have, or "".
func (c certificates) lacks(cfg config.Config) string {
	if given := strings.TrimSuffix(cfg.URL, "/"); given != "" && given != c.URL {
		return given
	}
	cert, err := certs.ParseCertificate([]byte(c.Server.PEM))
	if err != nil {
		return "" // it is being renewed, perhaps because it cannot be read
	}
	for _, host := range cfg.Hosts {
		if cert.VerifyHostname(host) != nil {
			return host
		}
	}
	return ""
}

func (e *env) certTrust() *cobra.Command {
	c := &cobra.Command{
		Use: "trust " + strings.Join(certs.Clients, "|"), Short: "Make a client on this machine trust the registry's certificate",
		Long: "Make a client on this machine trust the registry's certificate authority, for this registry alone. With --server\n" +
			"the authority is fetched from there, and refused when it does not have the --fingerprint that the server printed\n" +
			"at its first start (`hallmark cert show` prints it first).",
		Args: one("one of " + strings.Join(certs.Clients, ", ")), ValidArgs: certs.Clients,
		Example: "  sudo hallmark cert trust docker\n  sudo hallmark cert trust docker --server https://registry.example:5443 --fingerprint AB:CD:…\n" +
			"  sudo hallmark cert trust docker --server https://registry.example:5443 --undo",
	}
	t := addTarget(c)
	fingerprint := c.Flags().String("fingerprint", "", "SHA-256 fingerprint of the certificate authority of --server")
	names := c.Flags().StringArray("name", nil, "`host[:port]` that stands in image names (default that of the registry's URL); may be repeated")
	print := c.Flags().Bool("print", false, "only print what would be done")
	undo := c.Flags().Bool("undo", false, "take back what it did; nothing is fetched for it")
	c.RunE = func(c *cobra.Command, args []string) error {
		find := e.findCA
		if *undo {
			find = e.findTrusted
		}
		ca, addresses, err := find(c.Context(), t, *fingerprint)
		if err != nil {
			return err
		}
		if len(*names) > 0 {
			addresses = *names
		}
		return e.trust(c.Context(), args[0], ca, addresses, trustHow{print: *print, undo: *undo})
	}
	return c
}

// trustHow says what is done with a plan: it is carried out, or taken back, or only printed.
type trustHow struct{ print, undo bool }

// findTrusted is findCA for what was trusted: of another machine's registry the name is enough, which may be gone.
func (e *env) findTrusted(ctx context.Context, t *target, _ string) (*x509.Certificate, []string, error) {
	if t.server == "" {
		return e.ownCA(ctx, t)
	}
	u, err := ask.ParseServer(t.server)
	if err != nil {
		return nil, nil, status(err)
	}
	unknown := &x509.Certificate{Subject: pkix.Name{CommonName: "Hallmark CA of " + u.Hostname()}}
	return unknown, []string{u.Host}, nil
}

// findCA returns the authority to trust, and the addresses that it is for.
func (e *env) findCA(ctx context.Context, t *target, fingerprint string) (*x509.Certificate, []string, error) {
	if t.server == "" {
		return e.ownCA(ctx, t)
	}
	if fingerprint == "" {
		return nil, nil, usagef("--server needs --fingerprint: the server printed it at its first start, and `hallmark cert show` prints it there")
	}
	u, err := ask.ParseServer(t.server)
	if err != nil {
		return nil, nil, status(err)
	}
	ca, err := certs.Fetch(ctx, u.Host, fingerprint)
	if err != nil {
		return nil, nil, exitError{exitNo, err}
	}
	return ca, []string{u.Host}, nil
}

// ownCA asks the registry of a data directory.
func (e *env) ownCA(ctx context.Context, t *target) (ca *x509.Certificate, addresses []string, err error) {
	err = e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		var found certificates
		if err := cl.get(ctx, "/api/v1/certificate", nil, &found); err != nil {
			return err
		}
		if found.CA == nil {
			return nof("the registry's certificate is signed by another authority (%s): trust that one", found.Server.Issuer)
		}
		addresses = []string{addressOf(found.URL)}
		ca, err = certs.ParseCertificate([]byte(found.CA.PEM))
		return err
	})
	return ca, addresses, err
}

func (e *env) trust(ctx context.Context, client string, ca *x509.Certificate, addresses []string, how trustHow) error {
	dirs := certs.Dirs{}
	if os.Geteuid() != 0 && client == "podman" {
		dirs.Home, _ = os.UserHomeDir() // without one it is the whole machine's, which then says what it needs
	}
	for _, address := range addresses {
		plan, err := certs.Trust(client, certs.Registry{Address: address, CA: ca}, dirs)
		if err != nil {
			return usagef("%w", err)
		}
		if err := how.follow(ctx, plan, e.stdout); err != nil {
			return nof("%w", err)
		}
	}
	return nil
}

func (h trustHow) follow(ctx context.Context, plan certs.Plan, out io.Writer) error {
	switch {
	case h.print && h.undo:
		plan.PrintReverse(out)
	case h.print:
		plan.Print(out)
	case h.undo:
		return plan.Reverse(ctx, out)
	default:
		return plan.Do(ctx, out)
	}
	return nil
}

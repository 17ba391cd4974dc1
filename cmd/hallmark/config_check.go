package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

// check refuses what cannot be meant.
func (c *Config) check() error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return usagef("tls.cert and tls.key belong together: one of them is missing")
	}
	if _, err := obs.ParseLevel(c.Log.Level); err != nil {
		return usagef("log.level: %w", err)
	}
	for key, address := range map[string]string{"listen": c.Listen, "adminListen": c.AdminListen} {
		if key == "adminListen" && address == noListen {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return usagef("%s is %q, and should be host:port or :port", key, address)
		}
	}
	if l := c.Limits; l.Connections < 1 || l.AddressConnections < 1 {
		return usagef("limits.connections and limits.addressConnections are at least 1: without a connection nobody gets in")
	}
	if l := c.Limits; l.Uploads < 1 || l.AccountUploads < 1 {
		return usagef("limits.uploads and limits.accountUploads are at least 1: without an upload nobody can push")
	}
	if _, err := peer.ParseProxies(c.TrustedProxies); err != nil {
		return usagef("trustedProxies: %w", err)
	}
	if _, err := oidc.New(c.OIDC, time.Now); err != nil {
		return usagef("%w", err)
	}
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			return err
		}
	}
	if _, err := parseWitnesses(c.Witnesses); err != nil {
		return err
	}
	if _, err := readPolicy(c.Policy.File); err != nil {
		return err
	}
	if _, err := c.Trust.read(); err != nil {
		return err
	}
	if err := checkScrub(c.Scrub); err != nil {
		return err
	}
	return c.checkInsecure()
}

// noListen is the AdminListen of no listener.
const noListen = "none"

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return usagef("url is %q, and should be https://host or https://host:port", s)
	}
	return nil
}

func (c *Config) checkInsecure() error {
	switch c.InsecureHTTP {
	case "", "anywhere":
		return nil
	case "loopback":
		if isLoopback(c.Listen) {
			return nil
		}
		return usagef("plain HTTP is served on loopback only, and listen is %q: use --listen 127.0.0.1:PORT with the proxy on this machine, "+
			"or --insecure-http=anywhere if nobody but the proxy can reach it", c.Listen)
	default:
		return usagef("insecureHTTP is %q, and should be loopback or anywhere", c.InsecureHTTP)
	}
}

// isLoopback says whether only this machine can connect to an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// config is the verb `hallmark config`.
func (e *env) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or show the configuration"}
	check := &cobra.Command{Use: "check", Short: "Read the configuration and say what is wrong with it", Args: cobra.NoArgs}
	flags := addConfigFlags(check)
	check.RunE = func(*cobra.Command, []string) error {
		if _, err := flags.load(e.getenv); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "the configuration is good")
		return nil
	}
	show := &cobra.Command{Use: "show", Short: "Show the configuration in force", Args: cobra.NoArgs}
	showFlags := addConfigFlags(show)
	asJSON := addJSON(show)
	show.RunE = func(*cobra.Command, []string) error {
		cfg, err := showFlags.load(e.getenv)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(e.stdout, cfg)
		}
		data, err := yaml.Dump(cfg)
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(data)
		return err
	}
	c.AddCommand(check, show)
	return c
}

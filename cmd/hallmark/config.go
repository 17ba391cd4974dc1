package main

import (
	"fmt"

	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

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

// configFlags are the flags of verbs that read the configuration.
type configFlags struct {
	set  *pflag.FlagSet
	file string
	config.Config
}

func addConfigFlags(c *cobra.Command) *configFlags {
	f := &configFlags{set: c.Flags()}
	f.set.StringVar(&f.file, "config", "", "configuration `file` (default ./hallmark.yaml, where it exists)")
	f.set.StringVar(&f.Data, "data", "", "data `directory` (default ./hallmark-data)")
	f.set.StringVar(&f.Listen, "listen", "", "`address` for clients (default :5443)")
	f.set.StringVar(&f.URL, "url", "", "public `URL` of the registry (default https://localhost:PORT)")
	f.set.StringArrayVar(&f.Hosts, "host", nil, "further host `name` or address of the registry; may be repeated")
	f.set.StringVar(&f.AdminListen, "admin-listen", "", "`address` for metrics, or none (default 127.0.0.1:5444)")
	f.set.StringVar(&f.InsecureHTTP, "insecure-http", "", "serve plain HTTP for a proxy in front, on `loopback` or anywhere")
	f.set.Lookup("insecure-http").NoOptDefVal = "loopback"
	return f
}

// load returns the configuration in force.
func (f *configFlags) load(getenv func(string) string) (config.Config, error) {
	c, err := config.Load(f.file, getenv)
	if err != nil {
		return c, err
	}
	for name, copy := range map[string]func(){
		"data":          func() { c.Data = f.Data },
		"listen":        func() { c.Listen = f.Listen },
		"url":           func() { c.URL = f.URL },
		"host":          func() { c.Hosts = f.Hosts },
		"admin-listen":  func() { c.AdminListen = f.AdminListen },
		"insecure-http": func() { c.InsecureHTTP = f.InsecureHTTP },
	} {
		if f.set.Changed(name) {
			copy()
		}
	}
	return c, c.Check()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

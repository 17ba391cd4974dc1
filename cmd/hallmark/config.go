package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/documents"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// config is the verb `hallmark config`.
func (e *env) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or show the configuration"}
	c.AddCommand(e.configCheck(), e.configShow())
	return c
}

func (e *env) configCheck() *cobra.Command {
	c := &cobra.Command{
		Use: "check [FILE]", Short: "Report everything that is wrong with the configuration", Args: cobra.MaximumNArgs(1),
		Long: "Say everything that would keep `hallmark serve` from starting with this configuration, or clients from trusting it,\n" +
			"each with the line, variable or flag that says so: also files that are missing, and a certificate that is for\n" +
			"another name or has ended. What is worth a look, as a variable HALLMARK_… that nothing reads, or a file that is not in\n" +
			"force because the registry has another document, is a warning, and the exit status is 0. It changes nothing.",
		Example: "  hallmark config check\n  hallmark config check /etc/hallmark/hallmark.yaml",
	}
	flags := addConfigFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			flags.file = args[0]
		}
		cfg, wrong := flags.read(e.getenv)
		problems := append(cfg.Examine(), config.Unknown(e.environ())...)
		problems = append(problems, e.overruled(c.Context(), cfg)...)
		for _, p := range problems {
			if p.Warning {
				fmt.Fprintln(e.stderr, clean("warning: "+p.String()))
			}
		}
		if err := errors.Join(wrong, config.ErrorOf(problems)); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "the configuration is good")
		return nil
	}
	return c
}

// overruled warns of what the configuration names and is not in force, because the registry in the data directory has a document that says
// something else. Where that cannot be asked, nothing is said.
func (e *env) overruled(ctx context.Context, cfg config.Config) (problems []config.Problem) {
	_ = e.ask(ctx, &target{data: cfg.Data}, func(ctx context.Context, cl *client) error {
		for _, k := range provenance.RuleKinds {
			var d storedDocument
			if err := cl.get(ctx, ruleDocumentPath(k), nil, &d); err != nil {
				return err
			}
			if d.Version == 0 {
				continue
			}
			if key, same := documents.SameAs(cfg, k, []byte(d.Text)); !same {
				problems = append(problems, config.Problem{Key: key, Warning: true, Says: fmt.Sprintf("%s is not in force: the registry has version %d of the %s document, which says something else. "+
					"Put it in force with `hallmark %[3]s apply`, or take it out", key, d.Version, k)})
			}
		}
		return nil
	})
	return problems
}

func (e *env) configShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show", Short: "Show the configuration in force", Args: cobra.NoArgs,
		Long: "Show the configuration in force, as a file has it: what is set, what is the default, and the public name that the data\n" +
			"directory keeps. What is not set and has no default is left out.",
	}
	flags := addConfigFlags(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := flags.load(e.getenv)
		if err != nil {
			return err
		}
		keys, err := cfg.Shown(e.keptURL(c.Context(), cfg.Data))
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(e.stdout, keys)
		}
		data, err := yaml.Dump(keys)
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(data)
		return err
	}
	return c
}

// keptURL is the public name that the registry in a data directory has, or "" where there is none, or it cannot be asked.
func (e *env) keptURL(ctx context.Context, dir string) string {
	var found certificates
	err := e.ask(ctx, &target{data: dir}, func(ctx context.Context, cl *client) error {
		return cl.get(ctx, "/api/v1/certificate", nil, &found)
	})
	if err != nil {
		return ""
	}
	return found.URL
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
	c, err := f.read(getenv)
	if err != nil {
		return c, err
	}
	return c, c.Check()
}

// read returns the configuration in force before it is checked.
func (f *configFlags) read(getenv func(string) string) (config.Config, error) {
	c, err := config.Load(f.file, getenv)
	for _, flag := range []struct {
		name, key string
		copy      func()
	}{
		{"data", "data", func() { c.Data = f.Data }},
		{"listen", "listen", func() { c.Listen = f.Listen }},
		{"url", "url", func() { c.URL = f.URL }},
		{"host", "hosts", func() { c.Hosts = f.Hosts }},
		{"admin-listen", "adminListen", func() { c.AdminListen = f.AdminListen }},
		{"insecure-http", "insecureHTTP", func() { c.InsecureHTTP = f.InsecureHTTP }},
	} {
		if f.set.Changed(flag.name) {
			flag.copy()
			c.From(flag.key, "--"+flag.name)
		}
	}
	return c, err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

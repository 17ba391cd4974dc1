package config

import (
	"errors"
	"fmt"
)

// A Problem is one thing that is wrong with a configuration, or, where it is a warning, worth a look.
type Problem struct {
	Key     string // as tls.cert
	Where   string // the line, variable or flag that says so; empty for a default
	Says    string
	Warning bool
}

// String is the problem as people read it: where it is, then what.
func (p Problem) String() string {
	if p.Where == "" {
		return p.Says
	}
	return p.Where + ": " + p.Says
}

// problems are collected from a configuration.
type problems struct {
	of   *Config
	list []Problem
}

// add notes an error about a key, if there is one.
func (p *problems) add(key string, err error) {
	if err != nil {
		p.list = append(p.list, Problem{Key: key, Where: p.of.origins[key], Says: err.Error()})
	}
}

func (p *problems) addf(key, format string, args ...any) { p.add(key, fmt.Errorf(format, args...)) }

func (p *problems) warnf(key, format string, args ...any) {
	p.addf(key, format, args...)
	p.list[len(p.list)-1].Warning = true
}

// ErrorOf is all problems but the warnings as one error, or nil.
func ErrorOf(list []Problem) error {
	var errs []error
	for _, p := range list {
		if !p.Warning {
			errs = append(errs, errors.New(p.String()))
		}
	}
	return asError(errors.Join(errs...))
}

// From notes that a key has its value from elsewhere than a file or the environment, as from a flag.
func (c *Config) From(key, where string) {
	if c.origins == nil {
		c.origins = map[string]string{}
	}
	c.origins[key] = where
}

package web

import (
	"regexp"
	"slices"
	"strings"
)

// environment reads NAME=VALUE, and masks values whose names look like those of secrets.
func environment(list []string, reveal bool) (vars []variable) {
	for _, s := range list {
		name, value, _ := strings.Cut(s, "=")
		v := variable{Name: name, Value: value}
		if looksSecret(name) && value != "" && !reveal {
			v.Value, v.Masked = "", true
		}
		vars = append(vars, v)
	}
	return vars
}

// labels are like the environment.
func labels(m map[string]string, reveal bool) (vars []variable) {
	for _, p := range pairs(m) {
		vars = append(vars, environment([]string{p.Name + "=" + p.Value}, reveal)...)
	}
	return vars
}

// assigned is NAME=VALUE in a build step.
var assigned = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|'[^']*'|\S+)`)

// maskStep masks the values in a build step whose names look like those of secrets.
func maskStep(step string) string {
	return assigned.ReplaceAllStringFunc(step, func(s string) string {
		if name, _, _ := strings.Cut(s, "="); looksSecret(name) {
			return name + "=masked"
		}
		return s
	})
}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "token", "apikey", "api_key", "private", "credential", "auth"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

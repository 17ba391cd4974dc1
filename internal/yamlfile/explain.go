package yamlfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// explain says what is wrong in which line.
func explain(name string, err error) error {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		var lines []string
		for _, e := range many.Errors {
			lines = append(lines, fmt.Sprintf("%s:%d: %s", name, e.Mark.Line, sentence(e.Message)))
		}
		return errors.New(strings.Join(lines, "\n"))
	case errors.As(err, &one):
		return fmt.Errorf("%s:%d: this is not YAML: %s", name, one.Mark.Line, strings.TrimPrefix(one.ContextMsg+", "+one.Message, ", "))
	}
	return fmt.Errorf("%s: %w", name, err)
}

var (
	unknownField = regexp.MustCompile(`^field (\S+) not found in type .*$`)
	otherType    = regexp.MustCompile("^cannot construct !!(\\w+)(?: `(.*)`)? into (.+?)(?: \\(TextUnmarshaler\\))?$")
)

// sentence says what a message of the YAML package means to somebody who knows YAML and not this program.
func sentence(message string) string {
	if field := unknownField.FindStringSubmatch(message); field != nil {
		return fmt.Sprintf("unknown key %q", field[1])
	}
	found := otherType.FindStringSubmatch(message)
	if found == nil {
		return strings.NewReplacer("!!", "", "construct", "read", "units.", "", "time.", "", "yamlfile.Word", "text").Replace(message)
	}
	kind, value, into := found[1], found[2], found[3]
	is := fmt.Sprintf("%q", value)
	switch kind {
	case "seq":
		is = "a list"
	case "map":
		is = "keys with values"
	}
	return fmt.Sprintf("there is %s here, and should be %s", is, wanted(into))
}

// wanted says what is written for a type of Go.
func wanted(into string) string {
	switch {
	case into == "bool":
		return "true or false"
	case into == "string", strings.HasSuffix(into, ".Word"):
		return "text"
	case strings.HasPrefix(into, "int"), strings.HasPrefix(into, "uint"), strings.HasPrefix(into, "float"):
		return "a number"
	case strings.HasPrefix(into, "[]"), strings.HasSuffix(into, ".List"):
		return "a list"
	case strings.HasSuffix(into, "Duration"):
		return "a length of time, as 30s or 7d"
	case strings.HasSuffix(into, "Bytes"):
		return "a size, as 4MiB"
	}
	return "keys with values"
}

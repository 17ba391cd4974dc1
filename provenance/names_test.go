package provenance

import (
	"slices"
	"strings"
	"testing"
)

// TestSplitImageName takes names of images apart, however they are spelled.
func TestSplitImageName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"registry.example/team/app":                                      "registry.example team/app",
		"registry.example:5443/team/app:1.0":                             "registry.example:5443 team/app",
		"oci://registry.example/team/app":                                "registry.example team/app",
		"https://registry.example/team/app:1.0@sha256:1":                 "registry.example team/app",
		"registry.example/app@" + dig("x").String():                      "registry.example app",
		"pkg:oci/app@sha256:1?repository_url=registry.example/team/app":  "registry.example team/app",
		"pkg:docker/team/app@1.0?repository_url=registry.example":        "registry.example team/app",
		"pkg:docker/registry.example%3A5443/team/app@1.0?platform=x%2Fy": "registry.example:5443 team/app",
		"app": "app ", "": " ", "pkg:docker/": " ", "app-1.0.tgz": "app-1.0.tgz ",
	} {
		if host, repository := SplitImageName(name); host+" "+repository != want {
			t.Errorf("%s: %q of %q", name, repository, host)
		}
	}
}

// TestNames wants few names, without credentials, and to be told of the others.
func TestNames(t *testing.T) {
	t.Parallel()
	var n Names
	for _, name := range []string{"a", "", "a", " b ", "https://alice:secret@registry.example/app?token=x"} {
		n.Add(name)
	}
	if want := []string{"a", "b", "https://registry.example/app"}; !slices.Equal(n.Names, want) || n.NamesCut {
		t.Errorf("%+v", n)
	}
	if n.Add(strings.Repeat("x", maxName+1)); len(n.Names) != 3 || !n.NamesCut {
		t.Errorf("a long one: %+v", n)
	}
	n = Names{Names: []string{"a", "b", "c", "d"}}
	if n.Add("e"); len(n.Names) != maxNames || !n.NamesCut {
		t.Errorf("one too many: %+v", n)
	}
}

package provenance

import (
	"cmp"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// Cloud Native Buildpacks write no annotations: the source and the base are in JSON, in labels of their own (platform
// specification, "project-metadata.toml" and "io.buildpacks.lifecycle.metadata").

const (
	projectLabel   = "io.buildpacks.project.metadata"
	lifecycleLabel = "io.buildpacks.lifecycle.metadata"
)

// project is what a platform says of what it built.
type project struct {
	Source struct {
		Type    string `json:"type"`
		Version struct {
			Commit   string `json:"commit"`   // of type git
			Declared string `json:"declared"` // of type project
		} `json:"version"`
		Metadata struct {
			Repository string `json:"repository"` // as kpack has it
			URL        string `json:"url"`        // as pack has it
		} `json:"metadata"`
	} `json:"source"`
}

// claimsOfBuildpacks are the claims in labels of buildpacks. A source of another type than a repository is none.
func claimsOfBuildpacks(about digest.Digest, labels map[string]string) (claims []Claim) {
	add := func(fact, value, label string) {
		if value != "" {
			claims = append(claims, claim(fact, value, about, "buildpacks label "+label))
		}
	}
	var p project
	if strictjson.Unmarshal([]byte(labels[projectLabel]), &p) == nil {
		switch where := cmp.Or(p.Source.Metadata.Repository, p.Source.Metadata.URL); p.Source.Type {
		case "git":
			add(FactSource, where, projectLabel)
			add(FactRevision, p.Source.Version.Commit, projectLabel)
		case "project": // what its project.toml declares
			add(FactSource, where, projectLabel)
			add("version", p.Source.Version.Declared, projectLabel)
		}
	}
	name, base := RunImage(labels)
	add(FactBaseName, name, lifecycleLabel)
	add(FactBase, base.String(), lifecycleLabel)
	return claims
}

// RunImage is the base that buildpacks say an image has: its name, and its digest where it came from a registry. Either is
// empty where they do not say it.
func RunImage(labels map[string]string) (name string, d digest.Digest) {
	type runImage struct {
		Image     string `json:"image"`
		Reference string `json:"reference"`
	}
	var lifecycle struct {
		RunImage runImage `json:"runImage"`
		Stack    struct {
			RunImage runImage `json:"runImage"`
		} `json:"stack"` // until platform API 0.12
	}
	if strictjson.Unmarshal([]byte(labels[lifecycleLabel]), &lifecycle) != nil {
		return "", ""
	}
	of, d, _ := cutDigest(lifecycle.RunImage.Reference)
	if d == "" { // the id of an image in a daemon
		of = ""
	}
	return cmp.Or(lifecycle.RunImage.Image, lifecycle.Stack.RunImage.Image, of), d
}

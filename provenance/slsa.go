package provenance

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The predicates that are read: SLSA provenance, as builders write it, and the collections of in-toto's witness.
const (
	slsaV01 = "https://slsa.dev/provenance/v0.1"
	slsaV02 = "https://slsa.dev/provenance/v0.2"
	slsaV1  = "https://slsa.dev/provenance/v1"
	linkV0  = "https://in-toto.io/attestation/link/v0"
)

// A predicate is a version of SLSA provenance: where it says what. Build arguments have no place: they may hold secrets.
type predicate struct {
	name string
	vcs  []string   // below which BuildKit keeps what the client said of its working copy
	told []declared // where the source may stand from which the builder took its orders, the best first
	used string     // the list of what the build used
	// others are further facts, by pointer. The facts that matter most are first: a record leaves out the last.
	others             []spot
	builder, run, kind string // pointers: to who built, to the run, and to the type of the build
	inMaterial         string // the pointer to the index of the source in the list, or ""
}

// A spot is where a predicate says a fact.
type spot struct{ pointer, fact, from string }

// predicates are those of SLSA by their major version: minor ones only add. Before 1 each version is its own.
var predicates = map[string]predicate{
	slsaV01: {
		name: "slsa v0.1", used: "/predicate/materials", inMaterial: "/predicate/recipe/definedInMaterial",
		builder: "/predicate/builder/id", kind: "/predicate/recipe/type",
		others: timesIn("/predicate/metadata", "buildStartedOn", "buildFinishedOn"),
	},
	slsaV02: {
		name: "slsa v0.2", used: "/predicate/materials",
		vcs: []string{
			"/predicate/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata/vcs/",
			"/predicate/invocation/parameters/args/vcs:", "/predicate/invocation/parameters/root/request/args/vcs:",
		},
		told:    []declared{{"/predicate/invocation/configSource", "configSource"}},
		builder: "/predicate/builder/id", kind: "/predicate/buildType",
		others: timesIn("/predicate/metadata", "buildStartedOn", "buildFinishedOn"),
	},
	slsaV1: {
		name: "slsa v1", used: "/predicate/buildDefinition/resolvedDependencies",
		vcs: []string{
			"/predicate/runDetails/metadata/buildkit_metadata/vcs/", parametersV1 + "/request/args/vcs:",
			parametersV1 + "/request/root/request/args/vcs:",
		},
		told:    declaredIn(parametersV1),
		builder: "/predicate/runDetails/builder/id", kind: "/predicate/buildDefinition/buildType",
		run:    "/predicate/runDetails/metadata/invocationId",
		others: timesIn("/predicate/runDetails/metadata", "startedOn", "finishedOn"),
	},
	linkV0: {name: "in-toto link", used: "/predicate/materials"}, // a step of some supply chain, with what went into it
}

const parametersV1 = "/predicate/buildDefinition/externalParameters"

func timesIn(below, started, finished string) []spot {
	return []spot{{below + "/" + started, "started", "metadata"}, {below + "/" + finished, "finished", "metadata"}}
}

// minorOfV1 are the versions that are read as version 1: its minor ones, and the drafts before it.
var minorOfV1 = regexp.MustCompile(`^https://slsa\.dev/provenance/v1(\.[0-9]+)*(-rc\.?[0-9]*)?$`)

// linkType are the versions of in-toto's links, also as they were called before there was a place for them.
var linkType = regexp.MustCompile(`^https://in-toto\.io/(attestation/link|Link)/v[01](\.[0-9]+)*$`)

// IsLink says whether a predicate type is that of in-toto's links: of a step, which need not be a build.
func IsLink(predicateType string) bool { return linkType.MatchString(predicateType) }

// predicateOf returns how a predicate type is read.
func predicateOf(predicateType string) (predicate, bool) {
	predicateType, _, _ = strings.Cut(predicateType, "?") // as in "?draft"
	switch {
	case minorOfV1.MatchString(predicateType):
		predicateType = slsaV1
	case IsLink(predicateType):
		predicateType = linkV0
	case predicateType == "https://in-toto.io/Provenance/v0.1": // as it was called before there was SLSA
		predicateType = slsaV01
	}
	p, ok := predicates[predicateType]
	return p, ok
}

// ReadsPredicate says whether a statement with this predicate type may claim something here.
func ReadsPredicate(predicateType string) bool {
	_, ok := predicateOf(predicateType)
	return ok || isWitness(predicateType)
}

// attestationPlaces are all places that are looked at beside the lists: those of a statement, and those of a DSSE
// envelope, bare or in a sigstore bundle.
var attestationPlaces = func() places {
	pointers := []string{
		"/predicateType", "/payload", "/payloadType", "/dsseEnvelope/payload", "/dsseEnvelope/payloadType", "/subject", witnessList,
	}
	for _, p := range predicates {
		pointers = append(pointers, p.used, p.builder, p.run, p.kind, p.inMaterial)
		for _, below := range p.vcs {
			pointers = append(pointers, below+"source", below+"revision")
		}
		for _, told := range p.told {
			pointers = append(pointers, told.pointers()...)
		}
		for _, s := range p.others {
			pointers = append(pointers, s.pointer)
		}
	}
	for _, at := range imagesV1 {
		pointers = append(pointers, parametersV1+"/"+at, parametersV1+"/"+at+"/uri", parametersV1+"/"+at+"/digest/sha256")
	}
	return newPlaces(slices.DeleteFunc(pointers, func(p string) bool { return p == "" })...)
}()

// stated is what a statement says, of no class yet, within the bounds of a record and without credentials.
type stated struct {
	fact, value, name, from string
	cut                     bool
}

// facts collects what a statement says.
type facts struct {
	predicate string
	all       []stated
}

func (f *facts) add(fact, value, name, from string) {
	if value = strings.TrimSpace(value); value == "" {
		return
	}
	s := stated{fact: fact, from: f.predicate + " " + from}
	s.value, s.cut = bound(CutSecrets(value))
	s.name, _ = bound(name)
	if s.value != "" && !slices.ContainsFunc(f.all, func(known stated) bool { return known.fact == s.fact && known.value == s.value }) {
		f.all = append(f.all, s)
	}
}

// facts are what the statement says, the most important first.
func (s *InToto) facts() []stated {
	if isWitness(s.PredicateType) {
		return s.steps.facts()
	}
	p, ok := predicateOf(s.PredicateType)
	if !ok {
		return nil
	}
	f := &facts{predicate: p.name}
	for _, below := range p.vcs {
		f.add(FactSource, s.document[below+"source"], "", "vcs")
		f.add(FactRevision, s.document[below+"revision"], "", "vcs")
	}
	origin := s.origin(p, len(f.all) > 0)
	f.add(FactSource, origin.uri, "", origin.from)
	f.add(FactRevision, origin.commit, "", origin.from)
	f.add(FactBuilder, s.document[p.builder], "", "builder")
	f.add("build-type", s.document[p.kind], "", "buildType")
	for _, spot := range p.others {
		f.add(spot.fact, s.document[spot.pointer], "", spot.from)
	}
	if p.name == "slsa v1" {
		s.addDeclaredImages(f)
	}
	if n := s.used[p.used].imagesLeft; n > 0 {
		f.add(FactMaterialsLeft, strconv.Itoa(n), "", "materials")
	}
	for _, image := range s.used[p.used].images {
		f.add(FactMaterial, image.digest.String(), image.name, "materials")
	}
	return f.all
}

// imagesV1 are the places below the external parameters of version 1 at which builders name images that they used: kpack the
// base, and in which image it built; SLSA's container-based builder the latter.
var imagesV1 = []string{"runImage/image", "builder/image", "builderImage"}

// addDeclaredImages adds the images that a builder names among the parameters from outside, by descriptor or by name.
func (s *InToto) addDeclaredImages(f *facts) {
	for _, place := range imagesV1 {
		at := parametersV1 + "/" + place
		d := &descriptor{uri: cmp.Or(s.document[at], s.document[at+"/uri"]), hashes: map[string]string{"sha256": s.document[at+"/digest/sha256"]}}
		from, _, _ := strings.Cut(place, "/")
		if image, ok := imageOf(d); ok && image.digest != "" {
			f.add(FactMaterial, image.digest.String(), image.name, from)
		}
	}
}

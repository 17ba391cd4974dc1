package provenance

import (
	"encoding/base64"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MaxAttestation is the size in bytes above which an attestation is not read for claims.
const MaxAttestation = 8 << 20

// The predicates that are read: SLSA provenance, as BuildKit and others write it.
const (
	slsaV02 = "https://slsa.dev/provenance/v0.2"
	slsaV1  = "https://slsa.dev/provenance/v1"
)

// The bounds of what one statement claims.
const (
	maxAbout     = 4  // digests that it is about
	maxMaterials = 16 // images that the build used
)

// inTotoType is the payload type of an envelope that holds a statement.
const inTotoType = "application/vnd.in-toto+json"

// A spot is where a predicate says a fact. Build arguments have no spot: they may hold secrets.
type spot struct{ pointer, fact, from string }

// vcs are the spots below a pointer at which BuildKit keeps what the client said of its working copy.
func vcs(below, source, revision string) []spot {
	return []spot{{below + source, FactSource, "vcs"}, {below + revision, FactRevision, "vcs"}}
}

// config are the spots of the source from which the builder itself took its orders: a git repository and
// its commit.
func config(below string) []spot {
	return []spot{
		{below + "/uri", FactSource, "configSource"},
		{below + "/digest/sha1", FactRevision, "configSource"},
		{below + "/digest/gitCommit", FactRevision, "configSource"},
	}
}

// A predicate is a version of SLSA provenance.
type predicate struct {
	name      string
	spots     []spot // the facts that matter most are first: a record leaves out the last
	materials string // the list of what the build used, each with uri and digest
}

var predicates = map[string]predicate{
	slsaV02: {"slsa v0.2", slices.Concat(
		vcs("/predicate/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata/vcs", "/source", "/revision"),
		config("/predicate/invocation/configSource"),
		vcs("/predicate/invocation/parameters/args", "/vcs:source", "/vcs:revision"),
		vcs("/predicate/invocation/parameters/root/request/args", "/vcs:source", "/vcs:revision"),
		[]spot{
			{"/predicate/builder/id", FactBuilder, "builder"},
			{"/predicate/buildType", "build-type", "buildType"},
			{"/predicate/metadata/buildStartedOn", "started", "metadata"},
			{"/predicate/metadata/buildFinishedOn", "finished", "metadata"},
		},
	), "/predicate/materials"},
	slsaV1: {"slsa v1", slices.Concat(
		vcs("/predicate/runDetails/metadata/buildkit_metadata/vcs", "/source", "/revision"),
		config("/predicate/buildDefinition/externalParameters/configSource"),
		vcs("/predicate/buildDefinition/externalParameters/request/args", "/vcs:source", "/vcs:revision"),
		vcs("/predicate/buildDefinition/externalParameters/request/root/request/args", "/vcs:source", "/vcs:revision"),
		[]spot{
			{githubWorkflow, FactSource, "workflow"},
			{"/predicate/runDetails/builder/id", FactBuilder, "builder"},
			{"/predicate/buildDefinition/buildType", "build-type", "buildType"},
			{"/predicate/runDetails/metadata/startedOn", "started", "metadata"},
			{"/predicate/runDetails/metadata/finishedOn", "finished", "metadata"},
		},
	), "/predicate/buildDefinition/resolvedDependencies"},
}

// githubWorkflow is where GitHub names the repository of a workflow. Its commit is among the materials.
const githubWorkflow = "/predicate/buildDefinition/externalParameters/workflow/repository"

// The hashes of a digest set (in-toto attestation framework, "DigestSet") that are looked at.
var imageHashes, commitHashes = []string{"sha256", "sha512"}, []string{"gitCommit", "sha1"}

// attestationPlaces are all places that are looked at: those of a statement, and those of a DSSE envelope,
// bare or in a sigstore bundle.
var attestationPlaces = func() places {
	pointers := []string{
		"/predicateType", "/payload", "/payloadType", "/dsseEnvelope/payload", "/dsseEnvelope/payloadType",
	}
	for _, hash := range imageHashes {
		pointers = append(pointers, "/subject/*/digest/"+hash)
	}
	for _, p := range predicates {
		pointers = append(pointers, p.materials+"/*/uri")
		for _, hash := range slices.Concat(imageHashes, commitHashes) {
			pointers = append(pointers, p.materials+"/*/digest/"+hash)
		}
		for _, s := range p.spots {
			pointers = append(pointers, s.pointer)
		}
	}
	return newPlaces(pointers...)
}()

// ReadsPredicate says whether a statement with this predicate type may claim something here.
func ReadsPredicate(predicateType string) bool {
	_, ok := predicates[predicateType]
	return ok
}

// ClaimsOfAttestation reads what an in-toto statement claims, be it bare, in a DSSE envelope or in a
// sigstore bundle: signatures are not looked at, so all is claimed, and no more. from is the digest of the
// document, and subject the image that it was attached to, which counts where the statement itself names no
// image; it may be empty. What cannot be parsed, or is of another kind, claims nothing.
func ClaimsOfAttestation(r io.Reader, from, subject digest.Digest) []Claim {
	text, err := io.ReadAll(io.LimitReader(r, MaxAttestation+1))
	if err != nil || len(text) > MaxAttestation {
		return nil
	}
	d, err := readDocument(text, attestationPlaces)
	if err != nil {
		return nil
	}
	if payload, sealed := d.payload(); sealed {
		if d, err = readDocument(payload, attestationPlaces); err != nil {
			return nil
		}
	}
	p, ok := predicates[d["/predicateType"]]
	if !ok {
		return nil
	}
	facts := statementReader{d, p}.facts()
	evidence := Evidence{Digest: from, PredicateType: d["/predicateType"]}
	var claims []Claim
	for _, about := range d.about(subject) {
		for _, f := range facts {
			claims = append(claims, Claim{Fact: f.fact, Value: f.value, About: about, From: f.from, Name: f.name, Cut: f.cut, Evidence: evidence})
		}
	}
	return claims
}

// payload is what the envelope holds, or nothing where that is no base64. It is not sealed where the document is no
// envelope.
func (d document) payload() (text []byte, sealed bool) {
	for _, at := range []string{"", "/dsseEnvelope"} {
		if d[at+"/payloadType"] == inTotoType {
			text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, strings.NewReader(standardAlphabet.Replace(d[at+"/payload"]))))
			if err != nil {
				text = nil
			}
			return text, true
		}
	}
	return nil, false
}

// standardAlphabet turns the URL-safe alphabet of base64 into the standard one: DSSE allows either.
var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")

// about returns the images that a statement is about. One that is attached to an image and names it among
// others is about that one.
func (d document) about(attachedTo digest.Digest) (about []digest.Digest) {
	for i := range maxElements {
		named := d.digest(element("/subject", i))
		if named == "" || slices.Contains(about, named) {
			continue
		}
		if named == attachedTo {
			return []digest.Digest{named}
		}
		about = append(about, named)
	}
	if len(about) == 0 && attachedTo != "" {
		return []digest.Digest{attachedTo}
	}
	return about[:min(len(about), maxAbout)]
}

// digest reads the digest set of an element, or returns "".
func (d document) digest(of string) digest.Digest {
	for _, hash := range imageHashes {
		named := digest.NewDigestFromEncoded(digest.Algorithm(hash), d[of+"/digest/"+hash])
		if named.Validate() == nil {
			return named
		}
	}
	return ""
}

func (d document) commit(of string) string {
	for _, hash := range commitHashes {
		if commit := d[of+"/digest/"+hash]; commit != "" {
			return commit
		}
	}
	return ""
}

// statementReader reads one statement of a known predicate.
type statementReader struct {
	document
	predicate
}

// stated is what a statement says, of no class yet, within the bounds of a record and without credentials.
type stated struct {
	fact, value, name, from string
	cut                     bool
}

func (s statementReader) facts() (facts []stated) {
	add := func(fact, value, name, from string) {
		if value = strings.TrimSpace(value); value == "" {
			return
		}
		f := stated{fact: fact, from: s.name + " " + from}
		f.value, f.cut = bound(CutSecrets(value))
		f.name, _ = bound(name)
		if !slices.ContainsFunc(facts, func(known stated) bool { return known.fact == f.fact && known.value == f.value }) {
			facts = append(facts, f)
		}
	}
	for _, spot := range s.spots {
		add(spot.fact, s.document[spot.pointer], "", spot.from)
	}
	images := 0
	workflow := NormalSource(s.document[githubWorkflow])
	for i := range maxElements {
		at := element(s.materials, i)
		uri := s.document[at+"/uri"]
		if name, ok := imageName(uri); ok && images < maxMaterials && s.digest(at) != "" {
			images++
			add(FactMaterial, s.digest(at).String(), name, "materials")
		}
		if workflow != "" && NormalSource(uri) == workflow {
			add(FactRevision, s.commit(at), "", "workflow")
		}
	}
	return facts
}

// imageName reads the name of an image from a package URL (types docker and oci), as name:tag.
func imageName(uri string) (name string, ok bool) {
	rest, query, _ := strings.Cut(uri, "?")
	kind, rest, _ := strings.Cut(rest, "/")
	if kind != "pkg:docker" && kind != "pkg:oci" {
		return "", false
	}
	name, version, _ := strings.Cut(rest, "@")
	if values, err := url.ParseQuery(query); err == nil && values.Get("repository_url") != "" {
		name = values.Get("repository_url")
	}
	for _, part := range []*string{&name, &version} {
		if unescaped, err := url.PathUnescape(*part); err == nil {
			*part = unescaped
		}
	}
	if version != "" && !strings.Contains(version, ":") { // else it is the digest again
		name += ":" + version
	}
	return CutSecrets(name), name != ""
}

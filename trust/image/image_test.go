package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

var clock = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// memory is a repository in memory, with what its registry recorded.
type memory struct {
	manifests map[string]stored // by tag and digest
	blobs     map[digest.Digest][]byte
	referrers map[digest.Digest][]ocispec.Descriptor
	records   []*provenance.Record
	broken    error // what Referrers fails with
}

type stored struct {
	desc ocispec.Descriptor
	body []byte
}

func (m *memory) Manifest(_ context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	s, ok := m.manifests[ref]
	if !ok {
		return s.desc, nil, ErrNotFound
	}
	return s.desc, s.body, nil
}

func (m *memory) Blob(_ context.Context, d ocispec.Descriptor, most int64, room Room) ([]byte, error) {
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, ErrNotFound
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are read", len(b), most)
	}
	body, err := room(len(b))
	copy(body, b)
	return body, err
}

func (m *memory) Referrers(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	return m.referrers[d.Digest], nil
}

// Find serves the queries that an inspection makes.
func (m *memory) Find(_ context.Context, q provenance.Query) (page provenance.Page, err error) {
	for n := len(m.records) - 1; n >= 0; n-- {
		r := m.records[n]
		_, moves := provenance.MoveOf(r, q.Tag)
		if (q.Digest == "" || r.Digest == q.Digest) && (q.Action == "" || r.Action == q.Action) && (q.Tag == "" || moves) {
			page.Records = append(page.Records, r)
		}
	}
	return page, nil
}

// Acts implements Records: the first push of the image.
func (m *memory) Acts(_ context.Context, q provenance.ActsOf) (acts provenance.Acts, err error) {
	for _, r := range m.records {
		if r.Digest == q.Digest {
			first := provenance.ActOf(r)
			acts.First = &first
			break
		}
	}
	return acts, nil
}

func (m *memory) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	m.blobs[d.Digest] = data
	return d
}

func (m *memory) put(tag string, v any) ocispec.Descriptor {
	body := mustJSON(v)
	var kind struct{ MediaType string }
	if err := json.Unmarshal(body, &kind); err != nil {
		panic(err)
	}
	d := ocispec.Descriptor{MediaType: kind.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	m.manifests[d.Digest.String()] = stored{d, body}
	if tag != "" {
		m.manifests[tag] = stored{d, body}
	}
	return d
}

// attach adds a document of an artifact type to a manifest.
func (m *memory) attach(to ocispec.Descriptor, artifactType string, body any) {
	layer := m.blob(artifactType, mustJSON(body))
	d := m.put("", ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{layer}, Subject: &to,
	})
	d.ArtifactType = artifactType
	m.referrers[to.Digest] = append(m.referrers[to.Digest], d)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// made is an image in the making. The zero value is the best that there can be.
type made struct {
	config      func(c map[string]any) // config.config
	history     []string
	annotations map[string]string // replaces those given
	labels      map[string]string // annotations beside those given
	platforms   int               // 0 is 2
	docker      bool              // a docker config, which may have a health check
	layers      int64             // size of the layer
	noConfig    bool
	sbomOf      digest.Digest // another image than this
	without     kind          // not attached
	scanned     time.Time
	pushed      time.Time
	lonely      bool // nothing else was pushed
	moved       bool // the tag moved yesterday
	earlier     int64
	claims      map[string]string // of the CI identity that pushed
	signed      bool
	broken      error
	ref         string
	resolve     Resolver
	noRecords   bool
}

var baseDigest = digest.FromString("base")

func good() map[string]string {
	return map[string]string{
		ocispec.AnnotationSource: "https://git.example/team/app", ocispec.AnnotationRevision: "1f0c2a4",
		ocispec.AnnotationLicenses: "Apache-2.0", ocispec.AnnotationBaseImageName: "registry.example/base:1",
		ocispec.AnnotationBaseImageDigest: baseDigest.String(),
	}
}

func statementOf(predicateType string, d digest.Digest, predicate any) map[string]any {
	return map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": predicate,
		"subject": []any{map[string]any{"digest": map[string]string{"sha256": d.Encoded()}}},
	}
}

// build makes the image in a repository in memory.
func (i made) build() *memory {
	m := &memory{manifests: map[string]stored{}, blobs: map[digest.Digest][]byte{}, referrers: map[digest.Digest][]ocispec.Descriptor{}, broken: i.broken}
	m.blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	var children []ocispec.Descriptor
	names := []string{"amd64", "arm64"}
	if i.platforms > 0 {
		names = names[:i.platforms]
	}
	for _, arch := range names {
		d := i.platform(m, arch)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		children = append(children, d)
	}
	top := m.put("1.0", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: children, Annotations: i.labels})
	if i.signed {
		m.attach(top, "application/vnd.dev.cosign.artifact.sig.v1+json", "signature")
	}
	i.record(m, top, children)
	return m
}

func (i made) platform(m *memory, arch string) ocispec.Descriptor {
	config := map[string]any{"User": "65532", "Env": []string{"PATH=/bin"}, "Labels": map[string]string{}}
	if i.config != nil {
		i.config(config)
	}
	var history []map[string]string
	for _, h := range i.history {
		history = append(history, map[string]string{"created_by": h})
	}
	mediaType := ocispec.MediaTypeImageConfig
	if i.docker {
		mediaType = "application/vnd.docker.container.image.v1+json"
	}
	c := m.blob(mediaType, mustJSON(map[string]any{"architecture": arch, "os": "linux", "config": config, "history": history}))
	if i.noConfig {
		delete(m.blobs, c.Digest)
	}
	annotations := i.annotations
	if annotations == nil {
		annotations = good()
	}
	layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("layer"), Size: max(i.layers, 1000)}
	d := m.put("", ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: c, Layers: []ocispec.Descriptor{layer}, Annotations: annotations})
	i.attachAll(m, d)
	return d
}

func (i made) attachAll(m *memory, d ocispec.Descriptor) {
	about := d.Digest
	if i.sbomOf != "" {
		about = i.sbomOf
	}
	scanned := i.scanned
	if scanned.IsZero() {
		scanned = clock.AddDate(0, 0, -1)
	}
	for k, s := range map[kind]map[string]any{
		sbomKind:          statementOf("https://spdx.dev/Document", about, map[string]any{"packages": []any{}}),
		buildKind:         statementOf("https://slsa.dev/provenance/v1", d.Digest, map[string]any{"runDetails": map[string]any{"builder": map[string]string{"id": "https://ci.example/builder"}}}),
		vulnerabilityKind: statementOf("https://in-toto.io/attestation/vulns/v0.1", d.Digest, map[string]any{"metadata": map[string]any{"scanFinishedOn": scanned}}),
	} {
		if k != i.without {
			m.attach(d, "application/vnd.in-toto+json", s)
		}
	}
}

// record writes what the registry saw: an earlier image, the platforms, the image.
func (i made) record(m *memory, top ocispec.Descriptor, children []ocispec.Descriptor) {
	add := func(r provenance.Record, at time.Time) {
		r.Index, r.Action, r.Time, r.Repository = uint64(len(m.records)), provenance.Push, provenance.At(at), "team/app"
		m.records = append(m.records, &r)
	}
	earlier := max(i.earlier, 1000)
	if !i.lonely {
		for n := range 3 {
			d := digest.FromString(fmt.Sprint("earlier", n))
			add(provenance.Record{Digest: d, Tags: []provenance.TagMove{{Name: fmt.Sprint("0.", n)}}, Observed: provenance.Observation{ImageSize: earlier}}, clock.AddDate(0, 0, -60+n))
		}
	}
	if i.moved {
		add(provenance.Record{Digest: digest.FromString("other"), Tags: []provenance.TagMove{{Name: "1.0"}}}, clock.AddDate(0, 0, -3))
	}
	pushed := i.pushed
	if pushed.IsZero() {
		pushed = clock.AddDate(0, 0, -2)
	}
	move := provenance.TagMove{Name: "1.0"}
	if i.moved {
		move.Previous = digest.FromString("other")
	}
	r := provenance.Record{Digest: top.Digest, Tags: []provenance.TagMove{move}}
	if i.claims != nil {
		r.Actor = provenance.Actor{Kind: provenance.CI, Handle: i.claims["repository"]}
		r.Authenticated = &provenance.Login{Method: "oidc", Issuer: "https://ci.example", Claims: i.claims}
	}
	for _, c := range children {
		r.Observed.Children = append(r.Observed.Children, provenance.Child{Digest: c.Digest, Platform: "linux/" + c.Platform.Architecture})
	}
	add(r, pushed)
}

func (i made) inspect(t *testing.T) *Report {
	t.Helper()
	m := i.build()
	c := Config{Subject: "registry.example/team/app", Repository: "team/app", Records: m, Now: func() time.Time { return clock }, Resolve: i.resolve}
	if c.Resolve == nil {
		c.Resolve = func(context.Context, Named) (Meaning, error) { return Meaning{Now: baseDigest}, nil }
	}
	if i.noRecords {
		c.Records = nil
	}
	ref := i.ref
	if ref == "" {
		ref = "1.0"
	}
	if ref == "digest" {
		ref = m.manifests["1.0"].desc.Digest.String()
	}
	r, err := Inspect(t.Context(), m, ref, c)
	if err != nil {
		t.Fatal(err)
	}
	wantTyped(t, r)
	return r
}

func env(v ...string) func(map[string]any) { return func(c map[string]any) { c["Env"] = v } }

func without(names ...string) map[string]string {
	a := good()
	for _, n := range names {
		delete(a, n)
	}
	return a
}

const githubToken = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"

// TestImages is a table of made images, each with one fault, and what the check that must find it says.
// Every other check has to come out as it does for an image without faults.
func TestImages(t *testing.T) {
	t.Parallel()
	best := byID(made{}.inspect(t).Checks)
	for name, c := range map[string]struct {
		image  made
		check  string
		result trust.Result
		points int
		also   []string // checks that the same fault moves, too
	}{
		"no source":                {made{annotations: without(ocispec.AnnotationSource, ocispec.AnnotationRevision)}, trust.ImageSource, trust.Fail, 0, nil},
		"no revision":              {made{annotations: without(ocispec.AnnotationRevision)}, trust.ImageSource, trust.Pass, 2, nil},
		"another source than CI":   {made{claims: map[string]string{"repository": "other/app", "sha": "1f0c2a4"}}, trust.ImageSource, trust.Pass, 6, nil},
		"source by CI login":       {made{claims: map[string]string{"repository": "team/app", "sha": "1f0c2a4"}}, trust.ImageSource, trust.Pass, 8, nil},
		"signed by whom":           {made{signed: true}, trust.ImageSignature, trust.Unknown, 0, nil},
		"no build provenance":      {made{without: buildKind}, trust.ImageBuild, trust.Fail, 0, nil},
		"no base":                  {made{annotations: without(ocispec.AnnotationBaseImageDigest)}, trust.ImageBase, trust.Fail, 0, nil},
		"a base without a name":    {made{annotations: without(ocispec.AnnotationBaseImageName)}, trust.ImageBase, trust.Pass, 4, nil},
		"an old base":              {made{resolve: func(context.Context, Named) (Meaning, error) { return Meaning{Now: digest.FromString("newer")}, nil }}, trust.ImageBase, trust.Fail, 4, nil},
		"a base that nobody finds": {made{resolve: func(context.Context, Named) (Meaning, error) { return Meaning{}, errors.New("gone") }}, trust.ImageBase, trust.Pass, 4, nil},
		"a moved tag":              {made{moved: true}, trust.ImageTag, trust.Fail, 0, []string{trust.ImageFresh}},
		"by digest":                {made{ref: "digest"}, trust.ImageTag, trust.NA, 0, nil},
		"no records":               {made{noRecords: true}, trust.ImageFresh, trust.Unknown, 0, []string{trust.ImageTag, trust.ImageSize}},
		"no SBOM":                  {made{without: sbomKind}, trust.ImageSBOM, trust.Fail, 0, nil},
		"an SBOM of another":       {made{sbomOf: digest.FromString("other")}, trust.ImageSBOM, trust.Fail, 0, nil},
		"aging":                    {made{pushed: clock.AddDate(0, 0, -40)}, trust.ImageFresh, trust.Pass, 4, nil},
		"old":                      {made{pushed: clock.AddDate(0, 0, -100)}, trust.ImageFresh, trust.Fail, 0, nil},
		"pushed once":              {made{lonely: true}, trust.ImageFresh, trust.Pass, 6, []string{trust.ImageSize}},
		"a token in env":           {made{config: env("TOKEN=" + githubToken)}, trust.ImageSecrets, trust.Fail, 0, []string{trust.ImageUser}},
		"a token in history":       {made{history: []string{"RUN curl -H 'Authorization: " + githubToken + "' https://api.example"}}, trust.ImageSecrets, trust.Fail, 0, nil},
		"a named secret":           {made{history: []string{"|1 DB_PASSWORD=s9Kf03mWq8Zp1 /bin/sh -c make"}}, trust.ImageSecrets, trust.Fail, 0, nil},
		"a key in a label": {made{config: func(c map[string]any) {
			c["Labels"] = map[string]string{"k": "-----BEGIN EC PRIVATE KEY-----\nMHc"}
		}}, trust.ImageSecrets, trust.Fail, 0, nil},
		"no config to read": {made{noConfig: true}, trust.ImageSecrets, trust.Unknown, 0, []string{trust.ImageUser, trust.ImageHealth}},
		"root":              {made{config: func(c map[string]any) { delete(c, "User") }}, trust.ImageUser, trust.Fail, 0, nil},
		"root by name":      {made{config: func(c map[string]any) { c["User"] = "root:app" }}, trust.ImageUser, trust.Fail, 0, nil},
		"root by number":    {made{config: func(c map[string]any) { c["User"] = "0:0" }}, trust.ImageUser, trust.Fail, 0, nil},
		"never scanned":     {made{without: vulnerabilityKind}, trust.ImageVulnerabilities, trust.Fail, 0, nil},
		"scanned last week": {made{scanned: clock.AddDate(0, 0, -10)}, trust.ImageVulnerabilities, trust.Pass, 4, nil},
		"scanned long ago":  {made{scanned: clock.AddDate(0, -2, 0)}, trust.ImageVulnerabilities, trust.Fail, 0, nil},
		"no licences":       {made{annotations: without(ocispec.AnnotationLicenses)}, trust.ImageLicences, trust.Fail, 0, nil},
		"one platform":      {made{platforms: 1}, trust.ImagePlatforms, trust.Fail, 0, nil},
		"no health check":   {made{docker: true}, trust.ImageHealth, trust.Fail, 0, nil},
		"grown":             {made{layers: 50_000}, trust.ImageSize, trust.Fail, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := byID(c.image.inspect(t).Checks)
			if g := got[c.check]; g.Result != c.result || g.Points != c.points {
				t.Errorf("%s: %s with %d points: %s", c.check, g.Result, g.Points, g.Says)
			}
			for id, g := range got {
				if id != c.check && !slices.Contains(c.also, id) && (g.Result != best[id].Result || g.Points != best[id].Points) {
					t.Errorf("%s moved, too: %s with %d points: %s", id, g.Result, g.Points, g.Says)
				}
			}
		})
	}
}

func byID(checks []trust.Check) map[string]trust.Check {
	m := map[string]trust.Check{}
	for _, c := range checks {
		m[c.ID] = c
	}
	return m
}

// TestBest wants an image without faults to have every check of the rubric, and all that can be had
// without a configured key.
func TestBest(t *testing.T) {
	r := made{}.inspect(t)
	got := byID(r.Checks)
	for _, rule := range trust.Rubric {
		if _, ok := got[rule.ID]; ok != (rule.Question != trust.Source) {
			t.Errorf("%s: %v", rule.ID, ok)
		}
	}
	if q := r.Grades[trust.Quality]; q.Grade != "A" || q.Score != q.Of {
		t.Errorf("quality: %+v", q)
	}
	if len(r.Platforms) != 2 || r.Platforms[1].Platform != "linux/arm64" || r.Platforms[1].Grades[trust.Quality].Grade != "A" {
		t.Errorf("platforms: %+v", r.Platforms)
	}
}

// TestWorstPlatform wants the whole to be as bad as its worst platform, and that one to be named.
func TestWorstPlatform(t *testing.T) {
	m := made{}.build()
	bad := made{config: env("TOKEN=" + githubToken)}.platform(m, "riscv64")
	bad.Platform = &ocispec.Platform{OS: "linux", Architecture: "riscv64"}
	var index ocispec.Index
	if err := json.Unmarshal(m.manifests["1.0"].body, &index); err != nil {
		t.Fatal(err)
	}
	index.Manifests = append(index.Manifests, bad)
	m.put("2.0", index)
	r, err := Inspect(t.Context(), m, "2.0", Config{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Checks[0]
	if c.ID != trust.ImageSecrets || !strings.HasPrefix(c.Says, "linux/riscv64: ") || r.Grades[trust.Quality].Grade != "D" || r.Grades[trust.Quality].Capped != trust.ImageSecrets {
		t.Errorf("%+v\n%+v", c, r.Grades)
	}
	if g := r.Platforms[0].Grades[trust.Quality].Grade; g == "D" || g == "" {
		t.Errorf("a good platform has grade %s", g)
	}
}

// TestUnknownIsNotAbsent wants what could not be listed to be unknown, and not missing.
func TestUnknownIsNotAbsent(t *testing.T) {
	r := made{broken: errors.New("no referrers today"), annotations: map[string]string{"no": "source"}}.inspect(t)
	for _, id := range []string{trust.ImageSource, trust.ImageSBOM, trust.ImageBuild, trust.ImageVulnerabilities, trust.ImageSignature} {
		if c := byID(r.Checks)[id]; c.Result != trust.Unknown {
			t.Errorf("%s: %s: %s", id, c.Result, c.Says)
		}
	}
}

// TestSecretsAreNotPrinted looks for the secret in the whole report.
func TestSecretsAreNotPrinted(t *testing.T) {
	for _, i := range []made{
		{config: env("TOKEN=" + githubToken)},
		{history: []string{"ENV TOKEN=" + githubToken}},
		{config: func(c map[string]any) { c["Cmd"] = []string{"--token", githubToken} }},
	} {
		text := string(mustJSON(i.inspect(t)))
		if strings.Contains(text, githubToken[4:]) {
			t.Error("the report holds the secret")
		}
		if !strings.Contains(text, "github-token") {
			t.Error("the report does not name the rule")
		}
	}
}

// TestNoFalseAlarms are what images hold that is like a secret and is none.
func TestNoFalseAlarms(t *testing.T) {
	for _, v := range []string{
		"GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "PYTHON_SHA256=8d3ed8ec5c88c1c95f5e558612a725450d2452813ddad5e58fdb1a53b1209b78",
		"PASSWORD_FILE=/run/secrets/db_password_1", "POSTGRES_PASSWORD=${DB_PASSWORD_2026}", "API_KEY=your-api-key-goes-here-123", "TOKEN_URL=https://auth.example/token1",
		"SECRET_KEY=changeme12345678", "JAVA_VERSION=jdk-21.0.3+9", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "GITHUB_TOKEN=ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"DATABASE_URL=postgres://user:password@db.example/app", "PATH=/usr/local/sbin:/usr/local/bin", "SSH_KEY_PATH=/root/.ssh/id_ed25519_2026", "NPM_TOKEN=", "PASSWORD=password",
	} {
		if found := secretsOf(&platform{config: configWith(v)}); len(found) > 0 {
			t.Errorf("%s: %+v", v, found)
		}
	}
}

// TestRules wants each rule to find what it is for.
func TestRules(t *testing.T) {
	random := "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6A7b8C9d0"
	samples := map[string]string{
		"private-key": "-----BEGIN PRIVATE KEY-----", "aws-access-key": "AKIA" + "QX2ZM7TRBL4KWPSD", "github-token": githubToken,
		"gitlab-token": "glpat-" + random[:20], "slack-token": "xoxb-" + "123456789012-" + random[:24], "stripe-key": "sk_live_" + random[:24],
		"google-api-key": "AIza" + random[:35], "npm-token": "npm_" + random[:36], "pypi-token": "pypi-AgEIcHlwaS5vcmc" + random[:52],
		"docker-token": "dckr_pat_" + random[:27], "huggingface-token": "hf_" + random[:34], "url-password": "postgres://app:s9Kf03mWq8@db.internal/app",
		"named-secret": "",
	}
	for _, r := range secretRules {
		found := secretsOf(&platform{config: configWith("X=" + samples[r.id])})
		if len(found) != 1 || found[0].Rule != r.id || found[0].Place != "environment variable X" {
			t.Errorf("%s: %+v", r.id, found)
		}
	}
	if found := secretsOf(&platform{config: configWith("DB_PASSWORD=s9Kf03mWq8Zp1")}); len(found) != 1 || found[0].Sure {
		t.Errorf("named-secret: %+v", found)
	}
}

func configWith(env string) (c imageConfig) {
	c.Config.Env = []string{env}
	return c
}

func secretsOf(p *platform) []Secret {
	left := allSecretTexts
	found, _ := p.secrets(&left)
	return found
}

// TestLongTexts has more text than is looked through. What was not looked at is no reason to say that nothing is there,
// and platforms share what a report may cost.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abcdefgh_token=aB3dEf5hIj7kLm9n ", 40_000)
	left := allSecretTexts
	for n := range 8 {
		p := &platform{config: configWith("A=b")}
		p.config.History = append(p.config.History, struct {
			CreatedBy string `json:"created_by"`
			Comment   string `json:"comment"`
		}{Comment: strings.Repeat("nothing at all ", 100_000)})
		before := left
		s := &subject{secretTexts: left}
		if c := s.checkSecrets(p); c.Result != trust.Unknown {
			t.Errorf("platform %d: %s: %s", n, c.Result, c.Says)
		}
		if left = s.secretTexts; left < 0 || before-left > maxSecretTexts {
			t.Errorf("platform %d took %d bytes, and left %d", n, before-left, left)
		}
	}
	p := &platform{config: configWith("TOKEN=" + githubToken)}
	p.config.History = append(p.config.History, struct {
		CreatedBy string `json:"created_by"`
		Comment   string `json:"comment"`
	}{CreatedBy: long})
	left = allSecretTexts
	if found, whole := p.secrets(&left); whole || len(found) == 0 {
		t.Errorf("what stands before the long text: %v, whole %t", found, whole)
	}
}

// BenchmarkSecrets has 16 platforms with history made to be slow: every pattern has its word in it.
func BenchmarkSecrets(b *testing.B) {
	words := "PRIVATE KEY AKIA ghp_ glpat- xox _live_ AIza npm_ pypi- dckr_ hf_ :// token=aB3dEf5hIj7kLm9n "
	p := &platform{}
	for range 25 {
		p.config.History = append(p.config.History, struct {
			CreatedBy string `json:"created_by"`
			Comment   string `json:"comment"`
		}{CreatedBy: strings.Repeat(words, 1500)})
	}
	for b.Loop() {
		left := allSecretTexts
		for range 16 {
			p.secrets(&left)
		}
	}
}

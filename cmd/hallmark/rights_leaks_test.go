package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// wantNoLeak wants an answer to tell nothing of repositories that somebody may not pull from: no name, no digest, but
// what they have sent themselves.
func (s *rightsTable) wantNoLeak(who identity, what, sent string, header http.Header, body string) {
	s.t.Helper()
	answer := body + payloadsIn(body) + fmt.Sprint(header)
	for i, repo := range tableRepos {
		if who.roles[i] >= access.Pull {
			continue
		}
		for _, secret := range []string{repo, s.digest[repo], s.layer[repo], s.config[repo], "layer of " + repo, s.trashed[repo]} {
			if secret != "" && strings.Contains(answer, secret) && !strings.Contains(sent, secret) {
				s.t.Errorf("%s, %s tells of %q:\n%v\n%s", who.name, what, secret, header, body)
			}
		}
	}
}

// payloadsIn are the statements in an answer, which are in base64 there.
func payloadsIn(body string) (all string) {
	var page provenance.StatementPage
	if json.Unmarshal([]byte(body), &page) == nil {
		for _, s := range page.Statements {
			all += string(s.Payload)
		}
	}
	return all
}

// questions are about REPO, an image of it by DIGEST, or what one would find by its facts. OWN is a repository of the
// caller's.
var questions = []string{
	"GET /v2/REPO/manifests/1.0", "GET /v2/REPO/manifests/DIGEST", "HEAD /v2/REPO/blobs/LAYER", "GET /v2/REPO/tags/list", "GET /v2/REPO/referrers/DIGEST",
	"GET /v2/OWN/manifests/DIGEST", "GET /v2/OWN/blobs/LAYER", "GET /v2/OWN/referrers/DIGEST",
	"POST /v2/OWN/blobs/uploads/?mount=LAYER&from=REPO", "POST /v2/OWN/blobs/uploads/?mount=LAYER",
	"GET /api/v1/records?repo=REPO", "GET /api/v1/records?digest=DIGEST", "GET /api/v1/records?identity=admin", "GET /api/v1/records?base=BASE",
	"GET /api/v1/records?source=SOURCE", "GET /api/v1/records/INDEX", "GET /api/v1/records/INDEX/receipt", "GET /api/v1/records/INDEX/tlog-proof",
	"GET /api/v1/tags?repo=REPO", "GET /api/v1/history?repo=REPO&tag=1.0", "GET /api/v1/digests?repo=REPO&prefix=DIGEST", "GET /api/v1/digests?prefix=DIGEST", "GET /api/v1/digests?prefix=CUT", "GET /api/v1/commits?prefix=COMMIT", "GET /api/v1/search?q=CUT", "GET /api/v1/search?q=COMMIT",
	"GET /search?q=CUT", "GET /search?q=COMMIT", "GET /api/v1/access/may?subject=user:admin&role=pull&repo=REPO", "GET /api/v1/image?repo=REPO&ref=1.0", "GET /api/v1/image?repo=OWN&ref=DIGEST",
	"GET /api/v1/records/export?repo=REPO", "GET /api/v1/records/export?digest=DIGEST&receipts=true", "GET /api/v1/evidence?repo=REPO&ref=1.0",
	"GET /api/v1/evidence?repo=OWN&ref=DIGEST",
	"GET /api/v1/report?repo=REPO&ref=1.0", "GET /api/v1/report?repo=OWN&ref=DIGEST", "GET /api/v1/sources?source=SOURCE", "GET /api/v1/sources?source=SOURCE&repo=REPO",
	"GET /api/v1/descendants?base=DIGEST", "GET /api/v1/descendants?base=DIGEST&derived=true", "GET /api/v1/descendants?base=BASE", "GET /api/v1/descendants?repo=REPO&ref=1.0",
	"GET /api/v1/access/grants", "GET /api/v1/access/grants?repo=REPO", "GET /api/v1/access/grants?subject=user:admin", "GET /api/v1/access/immutable",
	"GET /v2/_catalog", "GET /v2/_catalog?last=seb", "GET /api/v1/repositories", "GET /api/v1/repositories?prefix=se",
	"GET /api/v1/contents?repo=REPO&ref=1.0", "GET /api/v1/contents?repo=OWN&ref=DIGEST", "GET /api/v1/search?q=DIGEST", "GET /api/v1/search?q=REPO",
	"GET /api/v1/search?q=REPO:1.0", "GET /api/v1/search?q=SOURCE", "GET /api/v1/search?q=admin", "GET /r/REPO", "GET /r/REPO:1.0", "GET /r/REPO@DIGEST",
	"GET /r/OWN@DIGEST", "GET /r/REPO/-/history/1.0", "GET /-/record/INDEX", "GET /-/records?repo=REPO", "GET /search?q=DIGEST", "GET /search?q=REPO",
	// What the caller has pushed about it.
	"GET /api/v1/image?repo=OWN&ref=index&derived=true", "GET /api/v1/image?repo=OWN&ref=copy&derived=true", "GET /api/v1/report?repo=OWN&ref=index",
	"GET /r/OWN:index", "GET /r/OWN:copy", "GET /api/v1/image?repo=OWN&ref=foreign", "GET /api/v1/report?repo=OWN&ref=foreign", "GET /api/v1/report?repo=OWN&ref=copy", "GET /v2/OWN/manifests/index", "GET /v2/OWN/referrers/DIGEST?artifactType=application/x",
}

// askedFor is a repository that somebody asks about, which may not be there, and where they push what names it.
type askedFor struct{ repo, digest, layer, config, index, own, commit string }

// TestLeaks asks about a repository that one may not see, and about one that is not there, with the login itself and with a
// token that wants all rights in both: the answers are the same, and tell nothing of the repository. They still do once
// the caller has pushed an index that lists its image, an artifact that refers to it, and an image that stands on it.
func TestLeaks(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "")
	const secret = "secret/app"
	s.grant("user:admin secret/app/x pull")
	s.do("POST", rulesPath, "", `{"repositories":"secret/app","tags":"x"}`, jsonType...)
	there := askedFor{secret, s.digest[secret], s.layer[secret], s.config[secret], s.index[secret], "/one", tableCommit[:7]}
	not := askedFor{"nothing/ap", digest.FromString("no manifest").String(), digest.FromString("no layer").String(), digest.FromString("no config").String(), "999999", "/two", "c0ffeef"}
	for _, who := range identities {
		if !slices.Contains([]string{"reader", "builder", "job", "token"}, who.name) {
			continue // the others are of the same sorts: TestRights asks as all of them
		}
		for range 2 {
			for _, header := range s.logins(who) {
				for _, q := range questions {
					s.ask(who, q, header, there, not)
				}
			}
			s.pushAbout(who, there)
			s.pushAbout(who, not)
			s.pushForeign(who, there)
			s.pushForeign(who, not)
		}
	}
}

// logins are the ways in which somebody signs in: as the request's header.
func (s *rightsTable) logins(who identity) (ways [][]string) {
	s.t.Helper()
	scopes := []string{"registry:catalog:*", "hallmark:account:*"}
	for _, repo := range []string{"secret/app", "nothing/ap", destination(who) + "/one", destination(who) + "/two"} {
		scopes = append(scopes, "repository:"+repo+":pull,push,delete,*")
	}
	var got struct{ Token string }
	if _, _, body := s.do("GET", "/token?"+url.Values{"scope": scopes}.Encode(), who.login, ""); json.Unmarshal([]byte(body), &got) != nil || got.Token == "" {
		s.t.Fatalf("%s: no token: %s", who.name, body)
	}
	return [][]string{nil, {"Authorization", "Bearer " + got.Token}}
}

// ask asks about a repository that is there, and about one that is not.
func (s *rightsTable) ask(who identity, question string, header []string, there, not askedFor) {
	s.t.Helper()
	var answers [2]string
	for i, to := range []askedFor{there, not} {
		text := strings.NewReplacer("REPO", to.repo, "DIGEST", to.digest, "CUT", to.digest[:15], "COMMIT", to.commit, "LAYER", to.layer, "INDEX", to.index, "OWN", destination(who)+to.own,
			"SOURCE", url.QueryEscape(tableSource), "BASE", tableBase).Replace(question)
		method, path, _ := strings.Cut(text, " ")
		status, got, body := s.do(method, path, who.login, "", header...)
		sent := path
		if strings.Contains(body, destination(who)+"/") || strings.Contains(question, "OWN") {
			sent += there.digest // as pushAbout sent it
		}
		s.wantNoLeak(who, question, sent, got, body)
		answers[i] = fmt.Sprint(status, " ", changing.ReplaceAllString(html.UnescapeString(body), "…"))
	}
	if answers[0] != answers[1] {
		s.t.Errorf("%s, %s: what is hidden can be told from what is not there:\n%s\n%s", who.name, question, answers[0], answers[1])
	}
}

// changing is what differs between two answers because of what was asked for, and when.
var changing = regexp.MustCompile(`/one|/two|%2Fone|%2Ftwo|"name":"(one|two)|secret/app|secret%2Fapp|nothing/ap|nothing%2Fap|sha256(:|%3A)[0-9a-f]{8,64}|c0ffee[0f]|>[0-9]+</a>|just now|[0-9]+ (minute|hour|day)s? ago|[Rr]ecords?[/ ][0-9]+|"record": ?[0-9]+|"records": ?\[[0-9,]+\]|20[0-9-]{8}T[0-9:.]+Z`)

// pushAbout pushes what names an image of a repository.
func (s *rightsTable) pushAbout(who identity, to askedFor) {
	s.t.Helper()
	const index, image = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
	own, none := "/v2/"+destination(who)+to.own, digest.FromString("{}").String()
	s.do("POST", own+"/blobs/uploads/?digest="+none, who.login, "{}")
	empty := fmt.Sprintf(`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[]`, none)
	for _, m := range []struct{ tag, kind, body string }{
		{"index", index, fmt.Sprintf(`"manifests":[{"mediaType":%q,"digest":%q,"size":1}]`, image, to.digest)},
		{"copy", image, empty + fmt.Sprintf(`,"annotations":{"org.opencontainers.image.base.digest":%q,"org.opencontainers.image.source":%q}`, to.digest, tableSource)},
		{"foreign", image, strings.Replace(empty, "[]", fmt.Sprintf(`[{"mediaType":%q,"digest":%q,"size":1}]`, foreignType, to.layer), 1)},
		{"about", image, empty + fmt.Sprintf(`,"artifactType":"application/x","subject":{"mediaType":%q,"digest":%q,"size":1}`, image, to.digest)},
	} {
		body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,%s}`, m.kind, m.body)
		if status, _, said := s.do("PUT", own+"/manifests/"+m.tag, who.login, body, "Content-Type", m.kind); status != 201 {
			s.t.Fatalf("%s, %s: %d %s", who.name, m.tag, status, said)
		}
	}
}

const foreignType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

// pushForeign pushes manifests whose config is one of a repository, under types that excuse a layer from being here. They are
// refused like those whose config is nowhere.
func (s *rightsTable) pushForeign(who identity, to askedFor) {
	s.t.Helper()
	const image = "application/vnd.oci.image.manifest.v1+json"
	of := func(kind, digest string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, kind, digest)
	}
	foreign, docker := of(foreignType, to.config), of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", to.config)
	plain := of("application/vnd.oci.image.config.v1+json", to.config)
	for _, fields := range []string{
		`"config":` + foreign + `,"layers":[]`, `"config":` + docker + `,"layers":[]`, `"config":` + foreign + `,"layers":[` + foreign + `]`,
		`"config":` + plain + `,"layers":[` + foreign + `]`,
	} {
		body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,%s}`, image, fields)
		status, header, said := s.do("PUT", "/v2/"+destination(who)+to.own+"/manifests/config", who.login, body, "Content-Type", image)
		if status != 400 || !strings.Contains(said, "MANIFEST_BLOB_UNKNOWN") {
			s.t.Errorf("%s, %s: %d %s", who.name, fields, status, said)
		}
		s.wantNoLeak(who, fields, body, header, said)
	}
}

// TestForgedBearer sends a real server tokens that nobody gave.
func TestForgedBearer(t *testing.T) {
	t.Parallel()
	s, _ := startTable(t, "")
	var got struct{ Token string }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/token?scope=repository:team/app:pull")), &got); err != nil {
		t.Fatal(err)
	}
	body, mac, _ := strings.Cut(got.Token, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"the token": {got.Token, 200},
		"nothing":   {"", 401}, "its body": {body, 401}, "no MAC": {body + ".", 401}, "alg none": {none + "." + body + ".", 401}, "padding": {got.Token + "=", 401},
		"a third part": {got.Token + ".x", 401}, "capitals": {strings.ToUpper(got.Token), 401}, "half a MAC": {body + "." + mac[:20], 401}, "another MAC": {body + "." + strings.Repeat("A", len(mac)), 401},
		"two tokens": {got.Token + " " + got.Token, 401}, "in quotes": {`"` + got.Token + `"`, 401},
	} {
		if status, _, said := s.do("GET", "/v2/team/app/tags/list", "none", "", "Authorization", "Bearer "+c.token); status != c.status {
			t.Errorf("%s: %d, want %d\n%s", name, status, c.status, said)
		}
	}
}

package provenance

import (
	"strings"
	"testing"
)

func TestNormalSource(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/team/app":                  "github.com/team/app",
		"https://github.com/team/app.git":              "github.com/team/app",
		"https://github.com/team/app/":                 "github.com/team/app",
		"http://GitHub.com:80/Team/App":                "github.com/team/app",
		"http://Git.Example:80/Team/App":               "git.example/Team/App",
		"https://user:secret@github.com/team/app.git":  "github.com/team/app",
		"git@github.com:team/app.git":                  "github.com/team/app",
		"ssh://git@github.com:22/team/app.git":         "github.com/team/app",
		"git+https://github.com/team/app":              "github.com/team/app",
		"git+https://github.com/team/app@refs/heads/x": "github.com/team/app",
		"git://github.com/team/app":                    "github.com/team/app",
		"github.com/team/app":                          "github.com/team/app",
		"https://github.com/team/app.git#main:dir":     "github.com/team/app",
		"https://github.com/team/app?x=1":              "github.com/team/app",
		"https://git.example:8443/team/app":            "git.example:8443/team/app",
		"git.example:8443/team/app":                    "git.example:8443/team/app",
		" https://github.com/team/app \n":              "github.com/team/app",
		"alice@git.example:app":                        "git.example/app",
		"https://[2001:db8::1]:8443/team/app":          "[2001:db8::1]:8443/team/app",
		"":                                             "",
		"just words":                                   "just words",
		"https://":                                     "",
		"https://git.example/team/app.Git-tools":       "git.example/team/app.Git-tools",
		"https://git.example/team/App.GIT@v1":          "git.example/team/App",
		"://":                                          "",
		"@":                                            "",
		":":                                            "",
		"https://github.com/team/app/tree/main/sub/":   "github.com/team/app",
		"https://a@b@github.com/team/app":              "github.com/team/app",
	} {
		if got := NormalSource(in); got != want {
			t.Errorf("NormalSource(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestOneSource has the ways in which builders and people write one repository.
func TestOneSource(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef01234567"
	for want, spellings := range map[string][]string{
		"github.com/acme/app": {
			"git+https://github.com/acme/app", "git+https://github.com/acme/app.git@refs/tags/v1.2", "git+ssh://git@github.com/acme/app.git",
			"ssh://git@github.com:22/acme/app", "ssh://git@github.com:acme/app.git", "git@github.com:Acme/App.git", "git::https://github.com/acme/app.git//dir?ref=v1",
			"scm:git:git://github.com/acme/app.git", "pkg:github/Acme/app@v1.2", "pkg:github/acme/app@" + hash + "#dir", "github:acme/app", "github:acme/app/" + hash,
			"pkg:generic/app@1.0?vcs_url=git%2Bhttps://github.com/acme/app%40" + hash, "https://github.com/acme/app@v1.2", "acme@github.com/acme/app",
			"https://github.com/acme/app/tree/main", "https://github.com/acme/app/commit/" + hash, "https://github.com/acme/app/actions/runs/1/attempts/1",
			"https://www.github.com/acme/app/", "https://GITHUB.com/ACME/App", "ssh://git@ssh.github.com:443/acme/app.git", "git+https://github.com/acme/app.git@main#egg=app",
			"https://github.com/acme/App.GIT", "https://github.com/acme/app%2Egit", "https://github.com./acme/app", "https://github.com.:443/acme/%61pp", "git@github.com.:acme/app.GIT",
			"https://api.github.com/repos/acme/app", "https://api.github.com/repos/acme/app/tarball/v1", "https://codeload.github.com/acme/app/tar.gz/refs/tags/v1",
			"https://raw.githubusercontent.com/acme/app/main/Dockerfile", "git+https://github.com/acme/app.GIT@refs/tags/v1.2", "https://github.com/acme/app.Git/",
			"git://github.com/acme/app.git;protocol=https;branch=main", "pkg://github/acme/app@v1", "https://github.com/acme/app;rev=" + hash,
			"https://github.com/acme/app/.github/workflows/build.yml@refs/heads/main", "https://github.com//acme/app.git/tree/main",
		},
		"acme.ghe.com/team/app":            {"https://acme.ghe.com/team/app", "git+https://ACME.ghe.com/Team/app@refs/heads/main"},
		"gitlab.com/group/sub/app":         {"https://gitlab.com/Group/sub/app.git", "https://gitlab.com/group/sub/app/-/tree/main", "git@gitlab.com:group/sub/app.git", "https://gitlab.com/group/sub/app/-/commit/" + hash, "pkg:gitlab/group/sub/app@1"},
		"git.example/Team/App":             {"https://git.example/Team/App/src/branch/main", "https://git.example/Team/App/commit/" + hash, "https://git.example/Team/App/tree/main/dir", "ssh://git@git.example:2222/Team/App.git", "https://git.example./Team/App.GIT", "git.example/Team/%41pp", "git+ssh://git@git.example/Team/App"},
		"git.example/a/b/src/app":          {"https://git.example/a/b/src/app", "https://git.example/a/b/src/app.git@v1"},
		"git.example/a/b/commit/app":       {"https://git.example/a/b/commit/app"},
		"git.example/@team/app":            {"https://git.example/@team/app", "https://git.example/@team/app@v1.2"},
		"dev.azure.com/acme/proj/_git/app": {"https://acme@dev.azure.com/Acme/proj/_git/app", "git@ssh.dev.azure.com:v3/acme/proj/app", "https://ACME.visualstudio.com/proj/_git/app", "https://acme.visualstudio.com/DefaultCollection/proj/_git/app", "acme@vs-ssh.visualstudio.com:v3/acme/proj/app"},
		"dev.azure.com/acme/app/_git/app":  {"https://acme.visualstudio.com/_git/app", "https://dev.azure.com/acme/_git/app"},
		"go.googlesource.com/tools":        {"https://go.googlesource.com/a/tools", "https://go.googlesource.com/tools/+/refs/heads/master/README.md", "https://go.googlesource.com/tools/+/" + hash},
		"git.example/a/+/app":              {"https://git.example/a/+/app"},
		"git.example/team/app":             {"https://git.example/team/app/+/refs/tags/v1", "git@git.example:team/app.git;branch=main"},
		"git-codecommit.eu-west-1.amazonaws.com/v1/repos/app": {
			"codecommit::eu-west-1://app", "codecommit::eu-west-1://deploy@app", "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app", "ssh://KEY@git-codecommit.eu-west-1.amazonaws.com/v1/repos/app",
		},
		"git.sr.ht/~team/app": {
			"https://git.sr.ht/~team/app", "sourcehut:~team/app/main", "git@git.sr.ht:~team/app", "https://git.sr.ht/~team/app/log/main", "https://git.sr.ht/~team/app/refs/v1", "https://git.sr.ht/~team/app/tree/main/item/x",
			"https://git.sr.ht/~team/app/archive/v1.tar.gz",
		},
		"bitbucket.org/acme/app": {
			"https://bitbucket.org/Acme/App/src/main/", "git@bitbucket.org:acme/app.git", "https://x-token-auth:tok@bitbucket.org/acme/app", "https://bitbucket.org/acme/app/commits/" + hash,
			"https://api.bitbucket.org/2.0/repositories/acme/app", "https://api.bitbucket.org/2.0/repositories/acme/app/src/" + hash + "/x", "pkg:bitbucket/acme/app@1.0",
		},
		"bitbucket.example/proj/app": {
			"https://bitbucket.example/scm/PROJ/app.git", "ssh://git@bitbucket.example:7999/proj/app.git", "https://bitbucket.example/projects/PROJ/repos/app/browse?at=refs%2Fheads%2Fmain",
			"https://bitbucket.example/projects/PROJ/repos/app/commits/" + hash, "https://bitbucket.example/rest/api/1.0/projects/PROJ/repos/app", "https://bitbucket.example/projects/PROJ/repos/app",
		},
		"stash.example:8443/~alice/app": {"https://stash.example:8443/scm/~alice/app.git", "https://stash.example:8443/users/alice/repos/app/browse/x"},
		"git.example/scm/PROJ/app":      {"https://git.example/scm/PROJ/app.git"}, // a group may be called so
		"git.example/a/proj/app":        {"https://git.example/a/proj/app"},
		"dev.azure.com/acme/my%20proj/_git/app": {
			"https://dev.azure.com/Acme/My%20Proj/_git/app", "https://dev.azure.com/acme/My Proj/_git/app", "git@ssh.dev.azure.com:v3/acme/My%20Proj/app", "https://dev.azure.com/acme/My%20Proj/_git/app?path=/x&version=GC" + hash,
			"https://dev.azure.com/acme/My%20Proj/_apis/git/repositories/app", "https://acme.visualstudio.com/My%20Proj/_git/app?version=GBmain",
		},
		"tfs.example/tfs/defaultcollection/proj/_git/app": {"https://tfs.example/tfs/DefaultCollection/Proj/_git/app"},
		"git-codecommit.us-east-1.amazonaws.com/v1/repos/App": {
			"https://git-codecommit-fips.us-east-1.amazonaws.com/v1/repos/App", "https://us-east-1.console.aws.amazon.com/codesuite/codecommit/repositories/App/browse?region=us-east-1",
		},
		"gerrit.example/proj/App": {
			"https://gerrit.example/a/proj/App", "ssh://alice@gerrit.example:29418/proj/App", "https://gerrit.example/plugins/gitiles/proj/App/+/refs/heads/main", "https://gerrit.example/c/proj/App/+/123",
			"https://gerrit.example/admin/repos/proj/App",
		},
		"go.googlesource.com/net": {"https://go-review.googlesource.com/c/net/+/1", "https://go-review.googlesource.com/net", "https://go-review.googlesource.com/a/net"},
		"gitea.example/Team/app":  {"https://gitea.example/Team/app/src/commit/" + hash + "/x", "ssh://git@gitea.example:2222/Team/app.git", "https://gitea.example/Team/app/raw/branch/main/x", "https://gitea.example/Team/app/archive/v1.tar.gz"},
		"codeberg.org/team/app":   {"https://codeberg.org/Team/App.git", "https://codeberg.org/team/app/src/tag/v1", "git@codeberg.org:team/app.git"},
	} {
		for _, in := range spellings {
			if got := NormalSource(in); got != want {
				t.Errorf("NormalSource(%q) = %q, want %q", in, got, want)
			}
			if again := NormalSource(NormalSource(in)); again != want {
				t.Errorf("the normal form of %q has the normal form %q", in, again)
			}
		}
	}
}

// TestNamedCommit wants the commit where the name of a source has one.
func TestNamedCommit(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef01234567"
	for in, want := range map[string]string{
		"git+https://git.example/app@" + hash:                                 hash,
		"https://git.example/team/app.git#" + hash:                            hash,
		"https://git.example/team/app.git#" + hash + ":x":                     hash,
		"https://git.example/team/app/commit/" + hash:                         hash,
		"https://gitlab.example/a/b/c/-/tree/" + hash:                         hash,
		"git+https://git.example/app?ref=main&rev=" + hash:                    hash,
		"github:team/app/" + hash:                                             hash,
		"https://dev.azure.com/a/b/_git/c?version=GC" + hash:                  hash,
		"https://bitbucket.example/projects/P/repos/r/commits/" + hash + "#x": hash,

		"pkg:github/team/app@" + strings.ToUpper(hash):          hash,
		"git+https://git.example/app@refs/heads/main":           "",
		"https://git.example/cgit/app.git/commit/?id=" + hash:   hash,
		"https://git.example/app?id=7":                          "",
		"https://codeload.github.com/a/b/tar.gz/" + hash:        hash,
		"https://api.github.com/repos/a/b/tarball/" + hash:      hash,
		"https://git.example/" + hash:                           "",
		"https://github.com/a/b/archive/" + hash + ".zip":       hash,
		"https://github.com/a/b/archive/" + hash + ".tar.gz":    hash,
		"https://github.com/a/b/tarball/" + hash:                hash,
		"https://github.com/a/b/blob/" + hash + "/Dockerfile":   hash,
		"https://go.googlesource.com/tools/+/" + hash:           hash,
		"git://git.example/app;protocol=https;rev=" + hash:      hash,
		"git://git.example/app;rev=main":                        "",
		"git+https://git.example/app@v1.2":                      "",
		"git://github.com/acme/app.git#refs/heads/main#" + hash: hash,
		"git://github.com/acme/app.git#refs/heads/" + hash[:7]:  "",
	} {
		if _, got := readSource(in); got != want {
			t.Errorf("%q names the commit %q, want %q", in, got, want)
		}
	}
}

func TestNormalRevision(t *testing.T) {
	for in, want := range map[string]string{
		"0123ABCD":       "0123abcd",
		" 0123abcd\n":    "0123abcd",
		"0123ABCD-dirty": "0123abcd-dirty",
		"v1.0-RC":        "v1.0-RC",
		"Release-dirty":  "Release-dirty",
		"":               "",
		"-dirty":         "-dirty",
	} {
		if got := NormalRevision(in); got != want {
			t.Errorf("NormalRevision(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"1.0?token=secret": "1.0", "0123456789abcdef?token=secret&ref=main": "0123456789abcdef?ref=main", "is it a=b?c=d or not": "is it a=b?c=d or not", "why?": "why?",
		"https://github.com/team/app":                "https://github.com/team/app",
		"https://user:secret@github.com/team/app":    "https://github.com/team/app",
		"https://secret@github.com/team/app?x=y@z":   "https://github.com/team/app",
		"https://a:b@c@github.com":                   "https://github.com",
		"git@github.com:team/app":                    "git@github.com:team/app",
		"oauth2:secret@gitlab.com/team/app":          "gitlab.com/team/app",
		"see https://u:p@a/b and http://x@c/d":       "see https://a/b and http://c/d",
		"docker.io/library/alpine:3@sha256:abc":      "docker.io/library/alpine:3@sha256:abc",
		"0123abcd":                                   "0123abcd",
		"https://user:sec%2Fret@github.com/team/app": "https://github.com/team/app",
		"ssh://git@github.com/team/app":              "ssh://github.com/team/app",
		"https://user:secret@":                       "https://",
		"":                                           "",
		"https://bucket.example/ctx.tgz?X-Amz-Credential=AKIA&X-Amz-Signature=secret": "https://bucket.example/ctx.tgz",
		"https://acct.blob.example/c/ctx.tgz?sv=2024&sig=secret#main":                 "https://acct.blob.example/c/ctx.tgz#main",
		"get https://a/b?token=secret, then https://c/d?private_token=secret.":        "get https://a/b then https://c/d",
		"https://git.example/?p=app.git;a=commit&h=0123":                              "https://git.example/?h=0123",
		"https://git.example/?p=app.git&access_token=secret":                          "https://git.example/?p=app.git",
		"git+https://git.example/app?ref=main&rev=0123&token=secret":                  "git+https://git.example/app?ref=main&rev=0123",
		"https://slsa.dev/container-based-build/v0.1?draft":                           "https://slsa.dev/container-based-build/v0.1?draft",
		"https://idp.example/#access_token=secret&state=1":                            "https://idp.example/",
		"https://a.example/x#https://user:secret@b.example":                           "https://a.example/x",
		"https://proxy.example/https://user:secret@git.example/app?key=secret":        "https://proxy.example/https://git.example/app",
		"git.example/team/app?private_token=secret":                                   "git.example/team/app",
		"pkg:docker/alpine@3.22?platform=linux%2Famd64":                               "pkg:docker/alpine@3.22?platform=linux%2Famd64",
		"pkg:generic/x@1?download_url=https%3A%2F%2Fu%3Asecret%40h%2Fx":               "pkg:generic/x@1",
		"pkg:oci/x@1?repository_url=alice:secret@registry.example%2Fx":                "pkg:oci/x@1",
		"is it /this?": "is it /this?",
		// Parameters of a path, and a query whose mark was encoded.
		"https://git.example/a/b;jsessionid=secret":                                  "https://git.example/a/b",
		"https://git.example/a;token=secret/b?ref=main":                              "https://git.example/a/b?ref=main",
		"https://proxy.example/x;k=secret/https://h/a":                               "https://proxy.example/x/https://h/a",
		"git.example/a/b;secret":                                                     "git.example/a/b",
		"https://git.example/a%3Ftoken=secret":                                       "https://git.example/a",
		"https://git.example/a%3Ftoken%3Dsecret":                                     "https://git.example/a",
		"https://git.example/a%253Ftoken%253Dsecret":                                 "https://git.example/a",
		"https://git.example/a%3Bk%3Dsecret":                                         "https://git.example/a",
		"https://git.example/a&token=secret":                                         "https://git.example/a",
		"https://git.example/a%26token%3Dsecret/b":                                   "https://git.example/a",
		"see https://git.example/a&token=secret or":                                  "see https://git.example/a or",
		"git.example/a/b&token=secret":                                               "git.example/a/b",
		"https%3A%2F%2Fu%3Asecret%40git.example":                                     "https%3A%2F%2Fgit.example",
		"https%3A%2F%2Fu%3Asecret%40h%2Fx%3Fk%3Dsecret":                              "https%3A%2F%2Fh%2Fx",
		"https%253A%252F%252Fu%253Asecret%2540git.example":                           "https%253A%252F%252Fgit.example",
		"https%3A//u:secret@git.example/a":                                           "https%3A//git.example/a",
		"git+https%3A%2F%2Fsecret%40git.example%2Fa":                                 "git+https%3A%2F%2Fgit.example%2Fa",
		"set URL=https%3A%2F%2Fu%3Asecret%40git.example, or":                         "set URL=https%3A%2F%2Fgit.example, or",
		"https://proxy.example/https%3A%2F%2Fu%3As%40h/x":                            "https://proxy.example/https%3A%2F%2Fh/x",
		"git.example/a?token=secret&u=https://git.example/b":                         "git.example/a?u=https://git.example/b",
		"pkg:generic/x@1?type=git&vcs_url=git%2Bhttps://u:secret@git.example/a%40v1": "pkg:generic/x@1?type=git&vcs_url=git%2Bhttps://git.example/a%40v1",
		"pkg:oci/x@1?token=secret&repository_url=https%3A%2F%2Fregistry.example%2Fx": "pkg:oci/x@1?repository_url=https%3A%2F%2Fregistry.example%2Fx",
		// A token under the name of something else.
		"https://git.example/t/ghp_secret0123456789abcdefghijABCDEFGHIJ01234/a.git":                       "https://git.example/t//a.git",
		"https://git.example/glpat-secret0123456789ABCDEF":                                                "https://git.example/",
		"https://git.example/ghp_secrets-of-the-trade":                                                    "https://git.example/ghp_secrets-of-the-trade",
		"https://git.example/a?ref=ghp_secret&rev=0123456789abcdef0123456789abcdef01234567":               "https://git.example/a?rev=0123456789abcdef0123456789abcdef01234567",
		"https://git.example/a?dir=Zk3Qw9xT7LmB2vN8&p=glpat-secret&h=eyJhbGciOiJIUzI1NiJ9":                "https://git.example/a",
		"https://git.example/a?id=hunter2&version=hunter2&type=a1b2c3d4e5f6g7h8&digest=x&checksum=secret": "https://git.example/a",
		"https://git.example/a?dir=0123456789abcdef0123456789abcdef&hb=refs/heads/JIRA-1234-AddThings":    "https://git.example/a?hb=refs/heads/JIRA-1234-AddThings",
		"https://git.example/a?id=0123abcd&version=v1.2.3-rc.1%2Bbuild&type=jar&digest=sha256:0123456789": "https://git.example/a?id=0123abcd&version=v1.2.3-rc.1%2Bbuild&type=jar&digest=sha256:0123456789",
		"https://git.example/a?branch=dependabot/npm_and_yarn/lodash-4.17.21&submodules=1&p=team/app.git": "https://git.example/a?branch=dependabot/npm_and_yarn/lodash-4.17.21&submodules=1&p=team/app.git",
		"https://git.example/a?ref=6f9619ff-8b86-d011-b42d-00c04fc964ff&dir=AbCdEfGhIjKlMnOpQr":           "https://git.example/a",
		"https://git.example/a?ref=xapp-1-A0B1C2D3-12345-abc&branch=zKqTwXbYpLmRnVsJhGdF":                 "https://git.example/a",
		"https://git.example/a?ref=Zk3Qw9xT_7LmB2vN8-pQr5Ws&tag=sk-proj-abcdefghijklmnopqrst":             "https://git.example/a",
		"https://git.example/a?ref=AddThingsToTheRegistry&tag=release-2024-01-02-RC1-Build5":              "https://git.example/a?ref=AddThingsToTheRegistry&tag=release-2024-01-02-RC1-Build5",
		"https://git.example/a?ref=feature/useHTTPServerInsteadOfXMLParser&dir=src/main/javaBeansFactory": "https://git.example/a?ref=feature/useHTTPServerInsteadOfXMLParser&dir=src/main/javaBeansFactory",
		// A redirect whose URL was encoded, alone.
		"login?to=https%3A%2F%2Fu%3Asecret%40git.example%2Fa":              "login",
		"login?ref=main&to=https%3A%2F%2Fgit.example%2Fa%3Ftoken%3Dsecret": "login?ref=main",
		"https://u%3Asecret%40git.example/a":                               "https://git.example/a",
		"https://git.example/@scope/app@v1.2":                              "https://git.example/@scope/app@v1.2",
		"see //alice:secret@git.example/a, or":                             "see //git.example/a, or",
		"https:/alice:secret@git.example/a":                                "https:/git.example/a",
		"//alice:secret@git.example/a/b":                                   "//git.example/a/b",
		"https://alice:sec/ret@git.example/a":                              "https://git.example/a",
		"https://alice:sec?ret@git.example/a?token=secret":                 "https://git.example/a",
		"https://alice:sec#ret@git.example/a#main":                         "https://git.example/a#main",
		"https://git.example:8443/a@v1":                                    "https://git.example:8443/a@v1",
		"https://[::1]/a@v1":                                               "https://[::1]/a@v1",
		"https://user:12/34@host":                                          "https://host", // no server has port 12
		"https://alice:99999/x@host/a":                                     "https://host/a",
		"https://alice:1234/x@git.example/a":                               "https://git.example/a",
		"https://alice:1234/x@git.example:8443/a":                          "https://git.example:8443/a",
		"http://gitea:3000/team/app@v1.2.3":                                "http://gitea:3000/team/app@v1.2.3",
		"http://gitea:3000/team/app@refs/heads/main":                       "http://gitea:3000/team/app@refs/heads/main",
		"http://gitea:3000/team/app":                                       "http://gitea:3000/team/app",
		"http://localhost:3000/a@b.example/c":                              "http://localhost:3000/a@b.example/c",
		"https://git.example:8443/me@mail.example":                         "https://git.example:8443/me@mail.example",
		"https://git.example:/me@mail.example":                             "https://git.example:/me@mail.example",
		"http://reg:5000/a@sha256:" + strings.Repeat("a", 64):              "http://reg:5000/a@sha256:" + strings.Repeat("a", 64),
		"ssh://git.example:team/app@v1":                                    "ssh://git.example:team/app@v1",
		"git::https://git.example/a//modules/b":                            "git::https://git.example/a//modules/b",
		// Texts of people and lines of a shell hold no URL where there is none.
		"NGINX Docker Maintainers <docker-maint@nginx.com>": "NGINX Docker Maintainers <docker-maint@nginx.com>",
		"joe@example.com":                                          "joe@example.com",
		"@scope/pkg":                                               "@scope/pkg",
		"RUN npm install -g @angular/cli":                          "RUN npm install -g @angular/cli",
		"RUN pip install black@23 # buildkit":                      "RUN pip install black@23 # buildkit",
		"RUN curl https://x/y;rm -rf /tmp/z":                       "RUN curl https://x/y;rm -rf /tmp/z",
		"for u in https://a/b; do true":                            "for u in https://a/b; do true",
		"https://host/50%3f.html":                                  "https://host/50%3f.html",
		"nginx:1.25@sha256:" + strings.Repeat("a", 64):             "nginx:1.25@sha256:" + strings.Repeat("a", 64),
		"RUN curl -u alice:secret@git.example/a":                   "RUN curl -u git.example/a",
		"ghp_secret@github.com/o/r\n":                              "github.com/o/r\n",
		" secret@host/x":                                           " host/x",
		"'secret@host/x'":                                          "'host/x'",
		"clone ghp_secret@github.com/o/r":                          "clone github.com/o/r",
		"ENV T=ghp_secret0123456789abcdefghijABCDEFGHIJ01234 make": "ENV T= make",
		"curl -H eyJsecret0123456789.eyJsecret0123456789.secret01234567890123456789": "curl -H ",
		"clone ghp_secret@10.0.0.7:3000/o/r":                                         "clone 10.0.0.7:3000/o/r",
		"clone ghp_secret@git.xn--p1ai/o/r":                                          "clone git.xn--p1ai/o/r",
		"COPY react@18.2.0/umd/react.js /":                                           "COPY react@18.2.0/umd/react.js /",
		"ftp://files:21/pub@v1.2/x":                                                  "ftp://files:21/pub@v1.2/x",
		"ftp://files.example:20/a@b.example/c":                                       "ftp://files.example:20/a@b.example/c",
		"https://git.example:23/ret@b.example/c":                                     "https://b.example/c",
		"https://me%40corp.example:se/cret@git.example/a":                            "https://git.example/a",
		"://@:A/@":                          "://",
		"https://a:b/c@d:e/f@git.example/a": "https://git.example/a",
		"https://" + strings.Repeat("a:b/@", 9) + "h/x":  "https://h/x",
		"https://" + strings.Repeat("a:b/@", 99) + "h/x": "",
		strings.Repeat("://a", 100_000):                  strings.Repeat("://a", 64),
	} {
		if got := CutSecrets(in); got != want {
			t.Errorf("CutSecrets(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClaimsOf(t *testing.T) {
	config := `{"created":"2026-01-02T03:04:05Z","config":{"Labels":{
		"org.opencontainers.image.source":"https://user:secret@git.example/app",
		"org.opencontainers.image.authors":"Alice <alice@example.com>",
		"org.opencontainers.image.revision":""}}}`
	annotations := map[string]string{
		"org.opencontainers.image.source":   "https://git.example/other",
		"org.opencontainers.image.revision": "abc123",
		"org.opencontainers.image.version":  strings.Repeat("ä", MaxValue),
		"unknown":                           "x",
	}
	var got []string
	for _, c := range ClaimsOf(dig("x"), annotations, ReadConfig([]byte(config))) {
		if c.About != dig("x") {
			t.Errorf("about %s", c.About)
		}
		if len(c.Value) > MaxValue || c.Cut != (c.Fact == "version") {
			t.Errorf("%s has %d bytes, cut %v", c.Fact, len(c.Value), c.Cut)
		}
		if c.Cut {
			c.Value = "cut"
		}
		got = append(got, c.Fact+"="+c.Value+" ("+c.From+")")
	}
	want := []string{
		"revision=abc123 (annotation org.opencontainers.image.revision)",
		"source=https://git.example/other (annotation org.opencontainers.image.source)",
		"version=cut (annotation org.opencontainers.image.version)",
		"source=https://git.example/app (label org.opencontainers.image.source)",
		"created=2026-01-02T03:04:05Z (config created)",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, config := range []string{"", "null", "[]", "{", `{"config":null}`, `{"config":{"Labels":[]}}`, "\x1f\x8b"} {
		if got := ClaimsOf(dig("x"), nil, ReadConfig([]byte(config))); len(got) != 0 {
			t.Errorf("config %q claims %v", config, got)
		}
	}
}

func FuzzCutSecrets(f *testing.F) {
	for _, s := range []string{"https://user:secret@host/x", "git@host:x", "a://b@c://d@e", "x@", "https://h/x?sig=y#z=1", "a://b/c://d?e#f", "://@", "https:/a:b/c@d", "//a:b@c;d/e", "a://b%40c%3fd", "://@:A/@", "a:b@ c@d:1 ://"} {
		f.Add(s)
	}
	f.Add("http://a:1/b@c:2/d@e.f/g")
	f.Fuzz(func(t *testing.T, s string) {
		NormalSource(s)
		if again := CutSecrets(CutSecrets(s)); again != CutSecrets(s) {
			t.Errorf("%q is cut to %q, and again to %q", s, CutSecrets(s), again)
		}
	})
}

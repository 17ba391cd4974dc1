package provenance

import (
	"fmt"
	"strings"
	"testing"
)

// TestOtherForms has forms that builders give to what they say, of which each names one source, one commit and one image.
func TestOtherForms(t *testing.T) {
	const hash, image = "0123456789abcdef0123456789abcdef01234567", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	statement := func(parameters, used string) string {
		return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://slsa.dev/provenance/v1",
			"predicate":{"buildDefinition":{"buildType":"x","externalParameters":%s,"resolvedDependencies":[%s]}}}`, built.Encoded(), parameters, used)
	}
	for name, c := range map[string]struct {
		text string
		want said
	}{
		"what was used by name alone": {
			statement(`{"command":"make"}`, `{"name":"git@github.com:acme/app.git","digest":{"sha1":"`+hash+`"}},{"name":"registry.example/base/alpine:3.22","digest":{"sha256":"`+image+`"}},{"name":"make","digest":{"sha256":"`+image[1:]+`b"}}`),
			said{acme, hash, "", "registry.example/base/alpine:3.22 aaaa"},
		},
		"by where to get it": {
			statement(`{}`, `{"name":"source","downloadLocation":"git+https://github.com/acme/app@refs/heads/main","digest":{"gitCommit":"`+hash+`"}}`),
			said{acme, hash, "", ""},
		},
		"hashes in capitals": {
			statement(`{"source":{"uri":"https://github.com/acme/app"}}`,
				`{"uri":"git+https://github.com/acme/app","digest":{"gitCommit":"`+strings.ToUpper(hash)+`"}},{"uri":"pkg:docker/alpine@3.22","digest":{"sha256":"`+strings.ToUpper(image)+`"}}`),
			said{acme, hash, "", "alpine:3.22 aaaa"},
		},
		"algorithms by other names": {
			statement(`{"source":{"uri":"https://github.com/acme/app"}}`, `{"uri":"git+https://github.com/acme/app","digest":{"SHA-1":"`+hash+`"}},{"uri":"pkg:docker/alpine@3.22","digest":{"SHA-256":"`+image+`"}}`),
			said{acme, hash, "", "alpine:3.22 aaaa"},
		},
		"a commit of SHA-256": {
			statement(`{"source":{"uri":"https://git.example/team/app","digest":{"gitCommit":"`+image+`"}}}`, ``),
			said{own, image, "", ""},
		},
		"code that was built": {
			statement(`{"codeMetadata":{"repositoryURL":"https://github.com/acme/app","branch":"main","commitSha":"`+hash+`"}}`, ``),
			said{acme, hash, "", ""},
		},
		"a clone URL": {
			statement(`{"vcs":{"cloneUrl":"https://github.com/acme/app.git","revision":"`+hash+`"}}`, ``),
			said{acme, hash, "", ""},
		},
		"the archive of a commit": {
			statement(`{"source":{"uri":"https://github.com/acme/app/archive/`+hash+`.tar.gz"}}`, ``),
			said{acme, hash, "", ""},
		},
		"parameters of a path": {
			statement(`{"source":{"uri":"git://github.com/acme/app.git;protocol=https;branch=main;rev=`+hash+`"}}`, ``),
			said{acme, hash, "", ""},
		},
	} {
		if is, _ := read(claimsOfText([]byte(c.text), dig("layer"), built)); is != c.want {
			t.Errorf("%s says\n%+v, want\n%+v", name, is, c.want)
		}
	}
}

package image

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// forms are SBOMs made after those that are published, each with two packages that state a licence. The table in docs/design/grades.md is
// held against them.
var forms = []struct{ name, mediaType, predicateType, text string }{
	{"SPDX 2.2 and 2.3, JSON", "application/spdx+json", "https://spdx.dev/Document/v2.3", `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[` +
		`{"name":"a","licenseDeclared":"MIT","licenseConcluded":"NOASSERTION"},{"name":"b","licenseDeclared":"NONE","licenseConcluded":"ISC"},{"name":"c","licenseDeclared":"NOASSERTION"}]}`},
	{"SPDX 2.2 and 2.3, tags", "text/spdx", "https://spdx.dev/Document/v2.2", "SPDXVersion: SPDX-2.2\nDataLicense: CC0-1.0\n\nPackageName: a\nPackageLicenseConcluded: NOASSERTION\nPackageLicenseDeclared: MIT\n" +
		"PackageComment: <text>as in\nPackageName: x\nPackageLicenseDeclared: MIT\n</text>\n\nPackageName: b\nPackageLicenseConcluded: ISC\nPackageLicenseDeclared: ISC\n\nPackageName: c\nPackageLicenseDeclared: NONE\n"},
	{"SPDX 3.0, JSON-LD", "application/spdx+json", "https://spdx.dev/Document/v3.0", `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[` +
		`{"type":"software_Package","spdxId":"https://x.example/a","name":"a"},` +
		`{"type":"Relationship","spdxId":"https://x.example/r1","from":"https://x.example/a","relationshipType":"hasDeclaredLicense","to":["https://x.example/mit"]},` +
		`{"to":["https://x.example/mit"],"type":"Relationship","from":"https://x.example/b","relationshipType":"hasDeclaredLicense"},` +
		`{"type":"Relationship","from":"https://x.example/a","relationshipType":"hasConcludedLicense","to":["https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"]},` +
		`{"type":"Relationship","from":"https://x.example/a","relationshipType":"contains","to":["https://x.example/b"]}]}`},
	{"CycloneDX 1.2 to 1.7, JSON", "application/vnd.cyclonedx+json", "https://cyclonedx.org/bom/v1.6", `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[` +
		`{"name":"a","licenses":[{"license":{"id":"MIT"}},{"license":{"name":"other"}}],"components":[{"name":"b","licenses":[{"expression":"MIT OR ISC"}]}]},{"name":"c","licenses":[]},{"name":"d"}]}`},
	{"CycloneDX 1.2 to 1.7, XML", "application/vnd.cyclonedx+xml", "https://cyclonedx.org/bom/v1.4", `<?xml version="1.0" encoding="UTF-8"?><bom xmlns="http://cyclonedx.org/schema/bom/1.4" version="1">` +
		`<metadata><licenses><license><id>CC0-1.0</id></license></licenses></metadata><components><component type="library"><name>a</name><licenses><license><id>MIT</id></license><license/></licenses>` +
		`<components><component type="library"><name>b</name><licenses><expression>MIT OR ISC</expression></licenses></component></components></component><component><name>c</name><licenses/></component></components></bom>`},
}

// TestSBOMForms reads an SBOM of each form: as a layer of its own, as a predicate, and as the text that cosign makes of what is no JSON.
func TestSBOMForms(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	for _, f := range forms {
		if got := licencesIn([]byte(f.text)); got != 2 {
			t.Errorf("%s: %d packages state a licence", f.name, got)
		}
		if got := licencesIn([]byte("\xef\xbb\xbf\n " + f.text)); got != 2 {
			t.Errorf("%s, behind space: %d", f.name, got)
		}
		if got := licencesIn(fmt.Appendf(nil, "%q", f.text)); got != 2 {
			t.Errorf("%s, as a text: %d", f.name, got)
		}
		if kindOf(f.mediaType) != sbomKind || kindOf(f.predicateType) != sbomKind || provenance.KindOf(f.predicateType) != provenance.SBOMKind {
			t.Errorf("%s: %s is a %q, %s a %q", f.name, f.mediaType, kindOf(f.mediaType), f.predicateType, kindOf(f.predicateType))
		}
		fmt.Fprintf(&table, "| %s | `%s` |\n", f.name, f.mediaType)
	}
	page, err := os.ReadFile("../../docs/design/grades.md")
	if err != nil || !strings.Contains(string(page), table.String()) {
		t.Errorf("docs/design/grades.md does not have this: %v\n%s", err, table.String())
	}
}

// TestLicencesIn reads what is no SBOM, or only begins as one.
func TestLicencesIn(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<components><component>", 40)
	for _, text := range []string{
		"", `[]`, `""`, `"x`, `"\"{}\""`, "MIT", "PackageLicenseDeclared: MIT",
		`{"packages":{"licenseDeclared":"MIT"}}`, `{"packages":[{"licenseDeclared":"MIT"}`, `{"@graph":{"relationshipType":"hasDeclaredLicense","to":"x"}}`,
		`{"@graph":[{"relationshipType":"hasDeclaredLicense"},{"to":["x"]}]}`,
		`<bom><components><component><licenses><license>`, `<bom><components><component><licenses><license></bom>`,
		`<html><components><component><licenses><license/></licenses></component></components></html>`,
		"<bom>" + deep + "<licenses><license/></licenses>",
		`<?xml version="1.0" encoding="UTF-16"?><bom><components><component><licenses><license/></licenses></component></components></bom>`,
	} {
		if got := licencesIn([]byte(text)); got != 0 {
			t.Errorf("%.100s: %d", text, got)
		}
	}
}

package image

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/trust"
)

// evidenceTypes are the types of each check's evidence.
var evidenceTypes = map[string][]reflect.Type{
	trust.ImageSource:          {reflect.TypeFor[SourceEvidence]()},
	trust.ImageSignature:       {reflect.TypeFor[SignatureEvidence]()},
	trust.ImageBuild:           {reflect.TypeFor[BuildEvidence]()},
	trust.ImageBase:            {reflect.TypeFor[BaseEvidence](), reflect.TypeFor[BasesEvidence]()},
	trust.ImageTag:             {reflect.TypeFor[TagEvidence]()},
	trust.ImageSBOM:            {reflect.TypeFor[SBOMEvidence]()},
	trust.ImageFresh:           {reflect.TypeFor[FreshEvidence]()},
	trust.ImageSecrets:         {reflect.TypeFor[SecretsEvidence]()},
	trust.ImageUser:            {reflect.TypeFor[UserEvidence]()},
	trust.ImageVulnerabilities: {reflect.TypeFor[VulnerabilityEvidence]()},
	trust.ImageLicences:        {reflect.TypeFor[LicencesEvidence](), reflect.TypeFor[Document]()},
	trust.ImagePlatforms:       {reflect.TypeFor[PlatformsEvidence]()},
	trust.ImageSize:            {reflect.TypeFor[SizeEvidence]()},
	trust.ImageSizes:           {reflect.TypeFor[SizesEvidence]()},
}

// TestEvidenceOfBefore reads evidence that checks wrote when each put its own together by name, and wants the types to give
// it back byte for byte.
func TestEvidenceOfBefore(t *testing.T) {
	text, err := os.ReadFile("testdata/evidence.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for line := range bytes.Lines(text) {
		var kept struct {
			Check    string
			Evidence json.RawMessage
		}
		if err := json.Unmarshal(line, &kept); err != nil {
			t.Fatal(err)
		}
		read[kept.Check] = true
		same := func(typ reflect.Type) bool {
			e := reflect.New(typ).Interface()
			if err := strictjson.Unmarshal(kept.Evidence, e); err != nil {
				return false
			}
			again, err := json.Marshal(e)
			return err == nil && bytes.Equal(again, kept.Evidence)
		}
		if !slices.ContainsFunc(evidenceTypes[kept.Check], same) {
			t.Errorf("the evidence of %s is not what it was: %s", kept.Check, kept.Evidence)
		}
	}
	for id := range evidenceTypes {
		if !read[id] {
			t.Errorf("there is no evidence of %s", id)
		}
	}
}

// wantTyped wants all evidence of a report to be of the types that are declared for it.
func wantTyped(t *testing.T, r *Report) {
	t.Helper()
	checks := slices.Clone(r.Checks)
	for _, p := range r.Platforms {
		checks = append(checks, p.Checks...)
	}
	for _, c := range checks {
		if c.Evidence != nil && !slices.Contains(evidenceTypes[c.ID], reflect.TypeOf(c.Evidence)) {
			t.Errorf("the evidence of %s is %T", c.ID, c.Evidence)
		}
	}
}

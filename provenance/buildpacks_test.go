package provenance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestBuildpacks has the labels that pack, kpack and the lifecycle write.
func TestBuildpacks(t *testing.T) {
	t.Parallel()
	base := "sha256:" + strings.Repeat("b", 64)
	run := func(reference string) string {
		return fmt.Sprintf(`{"app":[{"sha":"sha256:1"}],"runImage":{"topLayer":"sha256:2","reference":%q,"image":"registry.example/run/jammy","mirrors":["x"]}}`, reference)
	}
	for name, c := range map[string]struct{ project, lifecycle, want string }{
		"kpack": {
			`{"source":{"type":"git","version":{"commit":"` + commit + `"},"metadata":{"repository":"https://alice:secret@git.example/team/app.git","revision":"main"}}}`,
			run("registry.example/run/jammy@" + base),
			"source=https://git.example/team/app.git revision=" + commit + " base-name=registry.example/run/jammy base=" + base,
		},
		"pack, in a clone": {`{"source":{"type":"git","version":{"commit":"` + commit + `","describe":"v1-2-g0"},"metadata":{"refs":["main"],"url":"git@git.example:team/app.git"}}}`, "", "source=git@git.example:team/app.git revision=" + commit},
		"a project.toml":   {`{"source":{"type":"project","version":{"declared":"1.0.2"},"metadata":{"url":"https://git.example/team/app"}}}`, "", "source=https://git.example/team/app version=1.0.2"},
		"an image":         {`{"source":{"type":"image","version":{"digest":"` + base + `"},"metadata":{"repository":"registry.example/src","refs":[]}}}`, "", ""},
		"in a daemon":      {"", run(strings.Repeat("c", 64)), "base-name=registry.example/run/jammy"},
		"before 0.12":      {"", `{"stack":{"runImage":{"image":"registry.example/run"}},"runImage":{"topLayer":"sha256:2","reference":"registry.example/run@` + base + `"}}`, "base-name=registry.example/run base=" + base},
		"no JSON":          {"x", "y", ""},
		"another form":     {`{"source":[]}`, `{"runImage":"x"}`, ""},
		"a key twice":      {`{"source":{"type":"git","type":"project","metadata":{"url":"https://git.example/a"}}}`, "", ""},
	} {
		text, err := json.Marshal(map[string]any{"config": map[string]any{"Labels": map[string]string{projectLabel: c.project, lifecycleLabel: c.lifecycle}}})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, claim := range ClaimsOf(dig("x"), nil, ReadConfig(text)) {
			said = append(said, claim.Fact+"="+claim.Value)
			if VoiceOf(claim) == VoiceOf(Claim{From: "label x", About: dig("x")}) {
				t.Errorf("%s: %s is the voice of other labels", name, claim.From)
			}
		}
		if got := strings.Join(said, " "); got != c.want {
			t.Errorf("%s: it claims %s, want %s", name, got, c.want)
		}
	}
}

package web

import (
	"html"
	"net/http"
	"strings"
	"testing"
)

// TestComparesWhatWasRead wants the page to say that something is the same only where it was read of both images.
func TestComparesWhatWasRead(t *testing.T) {
	d := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	const plain = `"config":{"config":{"User":"app"}}`
	layers := func(of ...string) string {
		for i, n := range of {
			of[i] = `{"digest":"` + d(n) + `","size":1}`
		}
		return `"layers":[` + strings.Join(of, ",") + `]`
	}
	config := func(text string) string { return "{" + layers("a") + `,"config":{"config":{` + text + "}}}" }
	whole := "{" + layers("a") + "," + plain + "}"
	index := func(platforms ...string) string {
		for i, p := range platforms {
			name, n, _ := strings.Cut(p, "=")
			platforms[i] = `{"platform":"` + name + `","digest":"` + d(n) + `"}`
		}
		return `"children":[` + strings.Join(platforms, ",") + `]`
	}
	built := func(class, source, revision string) string {
		return `"built":{"class":"` + class + `","source":"` + source + `","revision":"` + revision + `"}`
	}
	const x, y = "https://git.example/x", "https://git.example/y"
	const same = "layers are the same"
	for name, c := range map[string]struct {
		before, now   [2]string // the image and its contents; "" is an empty object
		says, saysNot []string
	}{
		"all the same": {[2]string{built("claimed", x, "c1"), whole}, [2]string{built("claimed", x, "c1"), whole}, []string{same, "same platform, user", "same source and commit"}, []string{"not compared:"}},
		"no source":    {[2]string{"", whole}, [2]string{"", whole}, []string{same, "No source is known of either"}, nil},
		"no commit any more": {
			[2]string{built("claimed", x, "c1"), whole},
			[2]string{"", whole},
			[]string{"From commit <code>c1</code>", "to no commit that is known", "to no source that is known"},
			[]string{same},
		},
		"a commit": {[2]string{built("claimed", x, ""), whole}, [2]string{built("claimed", x, "c1"), whole}, []string{"From no commit that is known to commit <code>c1</code>"}, []string{same}},
		"another source": {
			[2]string{built("claimed", x, "c1"), whole},
			[2]string{built("claimed", y, "c1"), whole},
			[]string{"From the source <code>git.example/x</code>", "the source <code>git.example/y</code>"},
			[]string{"From commit", same},
		},
		"each with its class": {
			[2]string{built("claimed", x, "c1"), whole},
			[2]string{built("attested", x, "c2"), whole},
			[]string{"c1</code> <span class=\"class claimed\"", "c2</code> <span class=\"class attested\""},
			[]string{same},
		},
		"a disputed commit": {[2]string{"", whole}, [2]string{`"built":{"disputed":["revision"]}`, whole}, []string{"or it does not agree"}, []string{"is known of either", "same source"}},
		"claims left out":   {[2]string{`"cut":["provenance.claimed"]`, whole}, [2]string{"", whole}, []string{"of the source of the image before was read"}, []string{"is known of either"}},
		"a config unread":   {[2]string{"", "{" + layers("a") + `,"unread":"the config is not here"}`}, [2]string{"", whole}, []string{"configs are not compared: of the image before, the config is not here.", same}, []string{"same platform", "user:"}},
		"both unread":       {[2]string{"", `{"unread":"no manifest"}`}, [2]string{"", `{"unread":"no manifest"}`}, []string{"layers are not compared: no manifest.", "configs are not compared: no manifest."}, []string{same}},
		"no config":         {[2]string{"", "{" + layers("a") + "}"}, [2]string{"", "{" + layers("a") + "}"}, []string{"there is no config of a container image", same}, []string{"same platform"}},
		"layers cut":        {[2]string{"", "{" + layers("a") + `,"cut":["layers"],` + plain + "}"}, [2]string{"", whole}, []string{"layers are not compared: of the image before, there are more", "same platform"}, []string{same}},
		"history cut":       {[2]string{"", "{" + layers("a") + `,"cut":["history","referrers"],` + plain + "}"}, [2]string{"", whole}, []string{same}, []string{"not compared:"}},
		"reordered":         {[2]string{"", "{" + layers("a", "b") + "," + plain + "}"}, [2]string{"", "{" + layers("b", "a") + "," + plain + "}"}, []string{"2 layers kept in another order"}, []string{same}},
		"a layer twice":     {[2]string{"", "{" + layers("a", "a") + "," + plain + "}"}, [2]string{"", whole}, []string{"1 layer kept in another order or number"}, []string{same}},
		"volumes": {
			[2]string{"", config(`"Volumes":{"/data":{}},"StopSignal":"SIGTERM"`)},
			[2]string{"", config(`"Volumes":{"/a b":{}},"StopSignal":"SIGINT","ArgsEscaped":true`)},
			[]string{`volumes: <del>/data</del> <ins>"/a b"</ins>`, "stop signal: <del>SIGTERM</del> <ins>SIGINT</ins>", "arguments escaped: <ins>yes</ins>"},
			[]string{same},
		},
		"an empty variable": {[2]string{"", config(`"Env":["MODE="]`)}, [2]string{"", config(`"Env":[]`)}, []string{"variable MODE: <del>(empty)</del>"}, []string{same}},
		"words":             {[2]string{"", config(`"Cmd":["a b"]`)}, [2]string{"", config(`"Cmd":["a","b"]`)}, []string{`command: <del>"a b"</del> <ins>a b</ins>`}, []string{same}},
		"an index": {
			[2]string{index("linux/amd64=a", "linux/arm64=b", "linux/s390x=c"), ""},
			[2]string{index("linux/amd64=a", "linux/arm64=d", "linux/riscv64=e"), ""},
			[]string{"linux/arm64: <a", "is now", "?before=sha256%3abbb", "linux/riscv64: added", "linux/s390x: gone", "1 manifest kept"},
			[]string{same, "list the same", "linux/amd64:"},
		},
		"the same index": {[2]string{index("linux/amd64=a"), ""}, [2]string{index("linux/amd64=a"), ""}, []string{"list the same manifests for the same platforms"}, []string{same, "not compared:"}},
		"another order":  {[2]string{index("linux/amd64=a", "linux/arm64=b"), ""}, [2]string{index("linux/arm64=b", "linux/amd64=a"), ""}, []string{"2 manifests kept, in another order"}, []string{"list the same"}},
		"an image now":   {[2]string{index("linux/amd64=a"), ""}, [2]string{"", whole}, []string{"From an index of 1 manifest to a single image"}, []string{same, "layer kept", "user:"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				of, n := c.now, "1"
				if r.URL.Query().Get("ref") == d("2") {
					of, n = c.before, "2"
				}
				image := `{"repository":"team/app","reference":"1.0","descriptor":{"digest":"` + d(n) + `"}`
				if of[0] != "" {
					image += "," + of[0]
				}
				if of[1] == "" {
					of[1] = "{}"
				}
				fixedAPI{"/api/v1/image": image + "}", "/api/v1/contents": of[1]}.ServeHTTP(w, r)
			}))
			b.cookies["__Host-hallmark-session-443"] = "cookie"
			body := html.UnescapeString(b.send("GET", "/r/team/app:1.0?before="+d("2"), "", nil).Body.String())
			_, section, _ := strings.Cut(body, `id="changed"`)
			section, _, _ = strings.Cut(section, "</section>")
			for _, want := range c.says {
				if !strings.Contains(section, want) {
					t.Errorf("it does not say %q:\n%s", want, section)
				}
			}
			for _, never := range c.saysNot {
				if strings.Contains(section, never) {
					t.Errorf("it says %q:\n%s", never, section)
				}
			}
		})
	}
}

// TestRevealKeepsTheComparison wants the link that shows secrets to lead to the same comparison, and the image before a tag's moves to be
// found behind pushes of the same image.
func TestRevealKeepsTheComparison(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	again := `{"from":"` + one + `","to":"` + one + `"}`
	var asked []string
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		moves := `{"moves":[` + again + "," + again + `],"next":"/api/v1/history?after=3"}`
		if r.URL.Path == "/api/v1/history" {
			if asked = append(asked, r.URL.Query().Get("limit")); len(asked) > 1 {
				moves = `{"moves":[` + again + "," + again + `,{"from":"` + two + `","to":"` + one + `"}]}`
			}
		}
		d := one
		if r.URL.Query().Get("ref") == two {
			d = two
		}
		fixedAPI{
			"/api/v1/history": moves, "/api/v1/image": `{"repository":"team/app","reference":"1.0","descriptor":{"digest":"` + d + `"}}`,
			"/api/v1/contents": `{"config":{"config":{"Env":["API_TOKEN=secret"]}}}`,
		}.ServeHTTP(w, r)
	}))
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	if body := b.send("GET", "/r/team/app:1.0", "", nil).Body.String(); !strings.Contains(body, `id="changed"`) || strings.Join(asked, " ") != "2 20" {
		t.Errorf("asked for moves %v:\n%s", asked, body)
	}
	body := html.UnescapeString(b.send("GET", "/r/team/app:1.0?before="+two, "", nil).Body.String())
	if want := `href="?before=sha256%3A` + strings.Repeat("2", 64) + `&reveal=1#config"`; !strings.Contains(body, want) {
		t.Errorf("the link that shows secrets is not %s:\n%s", want, body)
	}
}

package web

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestTrash lists what is in the trash, and brings back what is chosen there with its form: what is refused is named, and an image of which more belongs
// to it than comes back at once is asked for again. Forms that are not ours, or were sent before, bring nothing back.
func TestTrash(t *testing.T) {
	d := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	const evil = "<script>\u202e"
	list := `{"trash":[
{"repository":"team/app","digest":"` + d("1") + `","size":2048,"tags":["1.0"],"tagsCut":true,"record":7,"actor":{"kind":"user","handle":"` + evil + `"},"time":"2026-01-02T03:04:05.000000Z","keptUntil":"2026-01-09T03:04:05.000000Z"},
{"repository":"team/lib","digest":"` + d("2") + `","size":1,"record":8,"actor":{"kind":"system","handle":"system"},"time":"2026-01-02T03:04:05.000000Z"}],"next":"/api/v1/trash?after=abc"}`
	var asked []string
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+string(body))
		switch {
		case r.Method == "GET" && strings.HasPrefix(r.URL.Path, "/api/v1/trash"):
			_, _ = io.WriteString(w, list)
		case r.URL.Path != "/api/v1/trash/undelete" || r.Header.Get("Content-Type") != "application/json":
			w.WriteHeader(http.StatusNotFound)
		case strings.Contains(string(body), d("1")):
			more := "false"
			if len(asked) < 3 {
				more = "true"
			}
			_, _ = io.WriteString(w, `{"digest":"`+d("1")+`","manifests":[{"digest":"`+d("1")+`","record":9,"tags":["1.0"]},{"digest":"`+d("3")+`","record":8,"tags":["sig"]}],"more":`+more+`}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"detail":"the quota of team/** is full"}`)
		}
	}))
	if w := b.send("GET", "/-/trash", "", nil); w.Code != 303 || len(asked) > 0 {
		t.Errorf("a stranger: %d, %q", w.Code, asked)
	}
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	shown := b.send("GET", "/-/trash?repo=team/app&x=1", "", nil).Body.String()
	if len(asked) != 1 || asked[0] != "GET /api/v1/trash?limit=50&repo=team%2Fapp " {
		t.Errorf("the API is asked %q", asked)
	}
	for _, want := range []string{
		`name="image" value="team/app@` + d("1") + `"`, `name="image" value="team/lib@` + d("2") + `"`, ">1.0</a> and more", "2.0 kB", "2026-01-09 03:04 UTC", `href="/-/record/7"`,
		"after=abc", "&lt;script&gt;⟨U&#43;202E⟩",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
	form := url.Values{"token": {b.formToken("/-/trash")}, "image": {"team/app@" + d("1"), "team/lib@" + d("2")}}
	for name, refused := range map[string]func() int{
		"another site": func() int { return b.send("POST", "/-/trash", "https://evil.example", form).Code },
		"a sibling":    func() int { return b.send("POST", "/-/trash", "https://registry.example:8443", form).Code },
		"no origin":    func() int { return b.send("POST", "/-/trash", "", form).Code },
		"no token":     func() int { return b.send("POST", "/-/trash", own, url.Values{"image": form["image"]}).Code },
		"another's form": func() int {
			return b.send("POST", "/-/trash", own, url.Values{"token": {b.token("/-/records")}, "image": form["image"]}).Code
		},
	} {
		if code := refused(); code != 403 {
			t.Errorf("%s: %d", name, code)
		}
	}
	if strings.Contains(strings.Join(asked, " "), "undelete") {
		t.Fatalf("something was brought back: %q", asked)
	}
	asked = nil
	w := b.send("POST", "/-/trash", own, form)
	for _, want := range []string{"Brought back.", "The quota of team/** is full.", `href="/r/team/app:1.0"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d: it does not say %q:\n%s", w.Code, want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), ">sig<") || len(asked) != 4 {
		t.Errorf("asked %q, and it says\n%s", asked, w.Body)
	}
	if w := b.send("POST", "/-/trash", own, form); w.Code != 403 || len(asked) != 4 {
		t.Errorf("the form did its work twice: %d, %q", w.Code, asked)
	}
	for name, images := range map[string][]string{"none": nil, "no digest": {"team/app@1.0"}, "no repository": {"@" + d("1")}, "too many": make([]string, maxRemoved+1)} {
		for i := range images {
			if images[i] == "" {
				images[i] = "team/app@" + d("1")
			}
		}
		if w := b.send("POST", "/-/trash", own, url.Values{"token": {b.formToken("/-/trash")}, "image": images}); w.Code != 400 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	delete(b.cookies, "__Host-hallmark-session-443")
	if w := b.send("POST", "/-/trash", own, form); w.Code != 303 || w.Header().Get("Location") != "/-/sign-in?next=%2F-%2Ftrash" {
		t.Errorf("after the session: %d %v", w.Code, w.Header())
	}
}

// TestTrashHalf says of an image of which some came back before it was refused that this is so.
func TestTrashHalf(t *testing.T) {
	d := "sha256:" + strings.Repeat("1", 64)
	asked := 0
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "GET":
			_, _ = io.WriteString(w, `{"trash":[{"repository":"team/app","digest":"`+d+`","size":1,"record":8,"actor":{"kind":"system","handle":"system"},"time":"2026-01-02T03:04:05.000000Z"}]}`)
		case asked > 0:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"detail":"the quota of team/** is full"}`)
		default:
			asked++
			_, _ = io.WriteString(w, `{"manifests":[{"digest":"sha256:`+strings.Repeat("3", 64)+`"}],"more":true}`)
		}
	}))
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	page := b.send("POST", "/-/trash", own, url.Values{"token": {b.formToken("/-/trash")}, "image": {"team/app@" + d}}).Body.String()
	if want := "Some of it is back, and the rest is not: The quota of team/** is full."; !strings.Contains(page, want) {
		t.Errorf("it does not say %q:\n%s", want, page)
	}
}

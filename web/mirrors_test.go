package web

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestMirrors shows how mirrors are, and lets through what is chosen there with its form; a form that is not ours, or was sent before, lets
// nothing through.
func TestMirrors(t *testing.T) {
	d := "sha256:" + strings.Repeat("1", 64)
	list := `{"mirrors":[{"name":"hub","upstream":"docker.io","repositories":["x"],"into":"mirror/hub","every":"6h","deleted":"keep","hold":"until approved","failures":2,"why":"<script>",
"waiting":[{"repository":"mirror/hub/x","tag":"1.0","digest":"` + d + `","seen":"2026-01-02T03:04:05.000000Z"}],"waitingCut":true},
{"name":"new","upstream":"ghcr.io","repositories":["x"],"into":"mirror/new","every":"6h","deleted":"keep","failures":0,"last":{"refused":1,"refusals":[{"reference":"x:1","why":"it is damaged there"}]}}]}`
	var asked []string
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+string(body))
		switch {
		case r.Method == "GET" && r.URL.Path == "/api/v1/mirrors":
			_, _ = io.WriteString(w, list)
		case r.URL.Path == "/api/v1/mirrors/approve" && strings.Contains(string(body), "mirror/hub/x"):
			_, _ = io.WriteString(w, `{"approved":[{"repository":"mirror/hub/x","tag":"1.0","digest":"`+d+`","record":9}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"nothing waits there"}`)
		}
	}))
	if w := b.send("GET", "/-/mirrors", "", nil); w.Code != 303 || len(asked) > 0 {
		t.Errorf("a stranger: %d, %q", w.Code, asked)
	}
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	shown := b.send("GET", "/-/mirrors", "", nil).Body.String()
	for _, want := range []string{`value="mirror/hub/x@` + d + `"`, "failed 2 times", "&lt;script&gt;", "1 refused, the first x:1: it is damaged there", "until it is let through", "More waits than these"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
	token := b.formToken("/-/mirrors")
	asked = nil
	form := url.Values{"token": {token}, "image": {"mirror/hub/x@" + d, "other@" + d}}
	for name, code := range map[string]int{
		"another site": b.send("POST", "/-/mirrors", "https://evil.example", form).Code,
		"no token":     b.send("POST", "/-/mirrors", own, url.Values{"image": form["image"]}).Code,
	} {
		if code != 403 || len(asked) > 0 {
			t.Errorf("%s: %d, %q", name, code, asked)
		}
	}
	w := b.send("POST", "/-/mirrors", own, form)
	for _, want := range []string{"Let through.", `href="/r/mirror/hub/x:1.0"`, "Nothing waits there."} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d: it does not say %q:\n%s", w.Code, want, w.Body)
		}
	}
	if w := b.send("POST", "/-/mirrors", own, form); w.Code != 403 || len(asked) != 2 {
		t.Errorf("the form did its work twice: %d, %q", w.Code, asked)
	}
}

// TestApproveRefused says in the words of the mirrors' page, and not of the trash, why nothing was let through.
func TestApproveRefused(t *testing.T) {
	image := "mirror/hub/x@sha256:" + strings.Repeat("1", 64)
	status := 0
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			_, _ = io.WriteString(w, `{"mirrors":[{"name":"hub","waiting":[{"repository":"mirror/hub/x","tag":"1.0","digest":"sha256:`+strings.Repeat("1", 64)+`","seen":"2026-01-02T03:04:05.000000Z"}]}]}`)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `not JSON`)
	}))
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	many := make([]string, maxRemoved+1)
	for i := range many {
		many[i] = image
	}
	for want, sent := range map[string]struct {
		status int
		images []string
	}{
		"You may not let it through.":      {401, []string{image}},
		"It could not be let through.":     {200, []string{image}},
		"50 can be let through at once.":   {0, many},
		"No image was chosen.":             {0, nil},
		"is not an image with its digest.": {0, []string{"mirror/hub/x@1.0"}},
	} {
		status = sent.status
		form := url.Values{"token": {b.formToken("/-/mirrors")}, "image": sent.images}
		if page := b.send("POST", "/-/mirrors", own, form).Body.String(); !strings.Contains(page, want) {
			t.Errorf("it does not say %q:\n%s", want, page)
		}
	}
}

package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

// A form changes something only if it comes from a page of this server (its Origin says so) and holds a token that was
// made for this browser, for this form, lately, and that no other form was sent with. So another site cannot send it, a
// neighbour on another port cannot, and a form sent twice does its work once.

const (
	formLasts  = time.Hour
	maxForms   = 100_000 // tokens that are remembered as used
	maxForm    = 256 << 10
	formTokens = "token" // the field
	signInForm = "sign-in"
)

// forms makes and takes the tokens of forms. They are of this process: after a restart a page is loaded again.
type forms struct {
	key [32]byte
	now func() time.Time

	mu        sync.Mutex           // guards what follows
	used      map[string]time.Time // tokens of those who are signed in, until they end
	strangers map[string]time.Time // tokens of the form that signs in
}

func newForms() *forms {
	f := &forms{now: time.Now, used: map[string]time.Time{}, strangers: map[string]time.Time{}}
	rand.Read(f.key[:]) // which never fails
	return f
}

const tokenHead = 8 + 16 // when it ends, and a nonce

// token makes a token for a form of a browser.
func (f *forms) token(browser, form string) string {
	head := binary.BigEndian.AppendUint64(nil, uint64(f.now().Add(formLasts).Unix()))
	head = append(head, make([]byte, 16)...)
	rand.Read(head[8:])
	return base64.RawURLEncoding.EncodeToString(append(head, f.mac(head, browser, form)...))
}

func (f *forms) mac(head []byte, browser, form string) []byte {
	m := hmac.New(sha256.New, f.key[:])
	for _, s := range []string{string(head), browser, form} {
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		m.Write([]byte(s))
	}
	return m.Sum(nil)
}

// take says whether a token is good, once.
func (f *forms) take(token, browser, form string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != tokenHead+sha256.Size || !hmac.Equal(raw[tokenHead:], f.mac(raw[:tokenHead], browser, form)) {
		return false
	}
	ends := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
	now := f.now()
	if now.After(ends) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	used := f.used
	if form == signInForm {
		used = f.strangers
	}
	if _, known := used[token]; known {
		return false
	}
	if forget(used, now); len(used) >= maxForms {
		if form != signInForm {
			return false
		}
		// Strangers keep nobody out: what is forgotten is that a password was sent, and who sends it again knows it.
		clear(used)
	}
	used[token] = ends
	return true
}

// forget forgets tokens that have ended, once there are many.
func forget(used map[string]time.Time, now time.Time) {
	if len(used) < maxForms {
		return
	}
	for t, ends := range used {
		if now.After(ends) {
			delete(used, t)
		}
	}
}

// errForm is for a form that is not one of ours, is old, or was sent before.
var errForm = refusalf(http.StatusForbidden, "This form was sent before, is more than an hour old, or does not come from a page of this registry. "+
	"Nothing was changed. Go back, load the page again and send it once more.")

// form reads a form that changes something. Error: errForm.
func (pg *page) form(name string) (url.Values, error) {
	if !ownOrigin(pg.r) {
		return nil, errForm
	}
	pg.r.Body = http.MaxBytesReader(pg.w, pg.r.Body, maxForm)
	if err := pg.r.ParseForm(); err != nil {
		return nil, refusalf(http.StatusBadRequest, "The form did not arrive whole, or is larger than 256 KiB.")
	}
	if !pg.forms.take(pg.r.PostForm.Get(formTokens), pg.browser(), name) {
		return nil, errForm
	}
	return pg.r.PostForm, nil
}

// Token is the token of a form on this page.
func (pg *page) Token(name string) string { return pg.forms.token(pg.browser(), name) }

// browser is what a form is bound to: the session, or a cookie of who has not signed in.
func (pg *page) browser() string {
	if pg.session != "" {
		return "session " + pg.session
	}
	return "form " + pg.formKey
}

// ownOrigin says that a form comes from a page of the very host and port that it is sent to. Browsers say where a form
// comes from; who does not is none, or a very old one.
func ownOrigin(r *http.Request) bool {
	u, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || u.Host == "" || fromElsewhere(r) {
		return false
	}
	scheme := "http"
	if peer.Secure(r) {
		scheme = "https"
	}
	return u.Host == peer.Host(r) && (u.Scheme == scheme || u.Scheme == "https")
}

// Package browser drives the pages of a real server in a real browser, as people with different rights, with JavaScript
// and without. `make e2e` runs it.
package browser

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A tab is a browser's, with what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex // guards wrong
	wrong []string   // exceptions, and errors on the console
}

// open starts a browser that trusts the server, because it is told to ignore who signed its certificate.
func open(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("no-proxy-server", true),
		chromedp.WindowSize(1200, 1000))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	b.run(log.Enable())
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// refused is what a browser says of a page that is answered with 4xx.
const refused = "the server responded with a status of 4"

// fine wants that nothing went wrong in the browser, but for what contains one of some texts.
func (b *tab) fine(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		if !slices.ContainsFunc(expected, func(e string) bool { return strings.Contains(w, e) }) {
			b.t.Errorf("the browser says: %s", w)
		}
	}
	b.wrong = nil
}

// signIn signs in with the form.
func (b *tab) signIn(s *server, name, password string) {
	b.t.Helper()
	b.run(
		chromedp.Navigate(s.url+"/-/sign-in"),
		chromedp.SendKeys("#name", name),
		chromedp.SendKeys("#password", password),
		chromedp.Submit("#password"),
		chromedp.WaitVisible("nav.who form"),
	)
}

// text is what a page shows.
func (b *tab) text(address string) (shown string) {
	b.t.Helper()
	b.run(chromedp.Navigate(address), chromedp.Text("main", &shown))
	return shown
}

// scripts switches JavaScript on or off.
func (b *tab) scripts(on bool) {
	b.t.Helper()
	b.run(emulation.SetScriptExecutionDisabled(!on))
}

// media shows pages as in a scheme of colours, or as they are printed.
func (b *tab) media(medium, scheme string) {
	b.t.Helper()
	b.run(emulation.SetEmulatedMedia().WithMedia(medium).WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// picture writes a screenshot to where HALLMARK_PICTURES says, for people to look at.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("HALLMARK_PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	b.run(chromedp.FullScreenshot(&png, 100)) // a quality of 100 is PNG
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// narrow makes the window as wide as a telephone, or as a desk's screen.
func (b *tab) narrow(yes bool) {
	b.t.Helper()
	width := int64(1200)
	if yes {
		width = 360
	}
	b.run(chromedp.EmulateViewport(width, 900))
}

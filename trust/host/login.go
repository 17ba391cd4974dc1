package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/trust"
)

// plainHTTP asks without TLS: at the same port, and at port 80 where HTTPS has its own.
func (i *inspection) plainHTTP(ctx context.Context) trust.Check {
	ports := []string{i.port}
	if i.port == "443" {
		ports = append(ports, "80")
	}
	var all []*answer
	for _, port := range ports {
		a := i.askPlain(ctx, port)
		all = append(all, a)
		switch {
		case a.err != nil && timedOut(a.err) && port == i.port:
			return trust.NotKnown(trust.HostPlain, "A plain request got no answer in time.").With(requests(all...))
		case a.Status == http.StatusOK || a.Status == http.StatusUnauthorized,
			a.Status/100 == 3 && !strings.HasPrefix(a.header.Get("Location"), "https://"):
			return trust.Failed(trust.HostPlain, "It serves its registry over plain HTTP, too: who is on the way can read and change it.").
				With(requests(all...)).Advise("Refuse plain HTTP, or redirect it to HTTPS.")
		}
	}
	if last := all[len(all)-1]; last.Status/100 == 3 {
		return trust.Passed(trust.HostPlain, "Plain HTTP is redirected to HTTPS.").With(requests(all...))
	}
	return trust.Passed(trust.HostPlain, "Plain HTTP is refused.").With(requests(all...))
}

// askPlain makes one request without TLS. A server that answers it with a TLS alert has refused it.
func (i *inspection) askPlain(ctx context.Context, port string) *answer {
	a := &answer{Request: "GET http://:" + port + "/v2/"}
	if port == i.port {
		a.Request = "GET /v2/ without TLS"
	}
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	conn, err := i.Dial(ctx, "tcp", net.JoinHostPort(i.name, port))
	if err != nil {
		a.fail(err)
		return a
	}
	defer conn.Close() //nolint:errcheck // one answer was read
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		a.fail(err)
		return a
	}
	if _, err := fmt.Fprintf(conn, "GET /v2/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", i.name); err != nil {
		a.fail(err)
		return a
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHeader)), nil)
	if err != nil {
		if !timedOut(err) {
			err = errors.New("no answer in HTTP")
		}
		a.fail(err)
		return a
	}
	defer resp.Body.Close() //nolint:errcheck // its header was read
	a.Status, a.header = resp.StatusCode, resp.Header
	return a
}

// hsts looks at Strict-Transport-Security (RFC 6797), which browsers heed for names only.
func (i *inspection) hsts(base *answer) trust.Check {
	if net.ParseIP(i.name) != nil || i.name == "localhost" {
		return trust.NotApplicable(trust.HostHSTS, "Browsers keep this by name, and "+i.name+" is none of its own.")
	}
	header := base.header.Get("Strict-Transport-Security")
	e := hstsEvidence{header}
	for part := range strings.SplitSeq(header, ";") {
		value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(part)), "max-age=")
		if !ok {
			continue
		}
		seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
		if err == nil && seconds >= int64(trust.HSTSLeast/time.Second) {
			return trust.Passed(trust.HostHSTS, "Browsers are told to use HTTPS only.").With(e)
		}
	}
	return trust.Failed(trust.HostHSTS, "Browsers are not told to use HTTPS only, or not for long.").With(e).
		Advise("Send Strict-Transport-Security: max-age=31536000.")
}

// challenge looks at how clients are asked to sign in (RFC 9110, section 11.6.1).
func (i *inspection) challenge(base *answer) trust.Check {
	headers := base.header.Values("Www-Authenticate")
	e := challengeEvidence{base, headers}
	if base.Status == http.StatusOK {
		if i.Public {
			return trust.NotApplicable(trust.HostChallenge, "Strangers are meant to come in; whether they may push was not tried.").With(e)
		}
		return trust.Failed(trust.HostChallenge, "Nobody is asked to sign in.").With(e).
			Advise("Ask for a login. If strangers are meant to pull, say so with --public.")
	}
	if base.Status != http.StatusUnauthorized {
		return trust.NotKnown(trust.HostChallenge, fmt.Sprintf("GET /v2/ is answered with %d, which is neither yes nor a challenge.", base.Status)).With(e)
	}
	all := strings.Join(headers, ", ")
	if realm, ok := bearerRealm(all); ok {
		u, err := url.Parse(realm)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return trust.Failed(trust.HostChallenge, fmt.Sprintf("Clients are sent to %q to sign in, which is not HTTPS.", realm)).
				With(e).Advise("Give the realm an https address.")
		}
		return trust.Passed(trust.HostChallenge, "Clients sign in at "+u.Host+" and go on with a token that does not last.").With(e)
	}
	if strings.Contains(strings.ToLower(all), "basic ") {
		return trust.Partly(trust.HostChallenge, trust.StepBasic, "Clients send their password with each request, over TLS.").
			With(e).Advise("Hand out tokens that do not last (Bearer), so that a password travels once.")
	}
	return trust.Failed(trust.HostChallenge, "It refuses without saying how to sign in.").With(e).Advise("Send a WWW-Authenticate header with the 401.")
}

// bearerRealm finds the realm of a Bearer challenge.
func bearerRealm(header string) (string, bool) {
	at := strings.Index(strings.ToLower(header), "bearer ")
	if at < 0 {
		return "", false
	}
	rest := header[at:]
	at = strings.Index(strings.ToLower(rest), "realm=")
	if at < 0 {
		return "", true
	}
	rest = rest[at+len("realm="):]
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		rest, _, _ = strings.Cut(quoted, `"`)
		return rest, true
	}
	rest, _, _ = strings.Cut(rest, ",")
	return strings.TrimSpace(rest), true
}

// anonymousRead compares what strangers can read with what they are meant to.
func (i *inspection) anonymousRead(ctx context.Context, catalog *answer) trust.Check {
	asked := []*answer{catalog}
	var open []string
	if catalog.ok(&struct{ Repositories []string }{}) {
		open = append(open, "the list of all repositories")
	}
	if i.image != nil || i.Repository != "" {
		tags := i.ask.get(ctx, i.ask.anonymous, "/v2/"+i.repository()+"/tags/list?n=1")
		asked = append(asked, tags)
		if tags.ok(&struct{ Tags []string }{}) {
			open = append(open, "the tags of "+i.repository())
		}
	}
	for _, a := range asked {
		if a.err != nil {
			return trust.NotKnown(trust.HostAnonymous, "What strangers can read could not be learned: "+a.Error+".").With(requests(asked...))
		}
	}
	switch {
	case len(open) > 0 && i.Public:
		return trust.Passed(trust.HostAnonymous, "Strangers can read "+join(open)+", as they are meant to.").With(requests(asked...))
	case len(open) > 0:
		return trust.Failed(trust.HostAnonymous, "Strangers can read "+join(open)+".").With(requests(asked...)).
			Advise("Let nobody read without a login; if strangers are meant to pull, say so with --public.")
	case len(asked) == 1:
		return trust.Partly(trust.HostAnonymous, trust.StepCatalog, "Strangers cannot list repositories; whether they can pull from one was not tried.").
			With(requests(asked...)).Advise("Name a repository with --repo, or sign in so that one is found.")
	}
	return trust.Passed(trust.HostAnonymous, "Strangers can read neither the list of repositories nor the tags of "+i.repository()+".").With(requests(asked...))
}

package provenance

import (
	"net/url"
	"strings"
)

// A Run is a run of CI, as the address of its page names it: a run of GitHub Actions, or a job or a pipeline of GitLab.
type Run struct {
	Handle string // of the CI that ran it: the path of its project
	source string // the project's address
	claims map[string]string
}

// runPages are what follows the project in the address of a run, with the claims of a login that have the numbers there.
var runPages = []struct {
	marks  string
	claims []string // of each second segment from there on
}{
	{"/actions/runs/", []string{"run_id", "run_attempt"}}, // …/actions/runs/9001/attempts/1
	{"/-/jobs/", []string{"job_id"}},
	{"/-/pipelines/", []string{"pipeline_id"}},
}

// RunAt reads the address of a run, and says whether it is one.
func RunAt(address string) (*Run, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, false
	}
	for _, page := range runPages {
		project, rest, is := strings.Cut(strings.TrimSuffix(u.Path, "/"), page.marks)
		if !is {
			continue
		}
		r := &Run{Handle: strings.Trim(project, "/"), source: u.Scheme + "://" + u.Host + project, claims: map[string]string{}}
		numbers := strings.Split(rest, "/")
		for i, claim := range page.claims {
			if at := 2 * i; at < len(numbers) && (i == 0 || numbers[at-1] == "attempts") {
				r.claims[claim] = numbers[at]
			}
		}
		return r, r.Handle != "" && isDigits(numbers[0])
	}
	return nil, false
}

// signedIn says whether a login is of this run.
func (r *Run) signedIn(l *Login) bool {
	if l == nil {
		return false
	}
	for claim, value := range r.claims {
		if l.Claims[claim] != value {
			return false
		}
	}
	return l.Job().RanOn(r.source)
}

package provenance

// besideTheCode are events of GitHub that start a job at the default branch's head, whatever started it: the commit in
// the job's token is not what caused it, and need not be what it builds, and strangers can cause most of them.
var besideTheCode = map[string]bool{
	"workflow_run": true, "issue_comment": true, "issues": true, "discussion": true, "discussion_comment": true,
	"pull_request_target": true, "fork": true, "watch": true, "gollum": true, "check_run": true, "check_suite": true,
	"status": true, "label": true, "milestone": true, "public": true, "branch_protection_rule": true,
}

// Job returns where the CI job ran that signed in. What it says is of the job, and not of what the bytes were built
// from.
func (l *Login) Job() *Job {
	facts := l.Facts()
	j := &Job{Source: facts[FactSource].Value, Revision: facts[FactRevision].Value, Event: l.Claims["event_name"], Counts: true}
	if j.Event == "" {
		j.Event = l.Claims["pipeline_source"]
	}
	switch {
	case besideTheCode[l.Claims["event_name"]]:
		j.refuse("it was started by " + j.Event + ", at the default branch's head whatever that was about")
	case j.Source == "" || j.Revision == "":
		j.refuse("its login does not name source and revision")
	}
	return j
}

// RanOn says whether the job ran on a source, in whatever spelling. Where the login names no host, any will do.
func (j *Job) RanOn(source string) bool {
	return sameSource(j.Source, source) || !namesHost(j.Source) && sameOnAnyHost(j.Source, source)
}

// RanAt says whether the job ran at a revision, which may be a commit cut short.
func (j *Job) RanAt(revision string) bool { return sameRevision(j.Revision, revision) }

package oidc

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// kind is what is known of the tokens of a sort of issuer.
type kind struct {
	// allowed are the claims that stand in records. No other ever does. Records cannot be amended, so all are here that
	// say what a job is, and none that says who a person is.
	allowed []string
	// properties begins the names of claims that the one who runs the issuer's organisation thinks of: see keepProperties.
	properties string
	needed     []string // without them it is no token of this kind
	handle     string
	ids        []string // claims that it never gives to another, the first being the account; one of them is in each grant
	// values are all that some claims can be, and begins is how others begin.
	values map[string][]string
	begins map[string]string
}

var (
	yesNo      = []string{"true", "false"}
	refTypes   = []string{"branch", "tag"}
	visibility = []string{"public", "internal", "private"}
)

var kinds = map[string]kind{
	// https://docs.github.com/en/actions/reference/security/oidc
	"github": {
		allowed: []string{
			"repository", "repository_id", "repository_owner_id", "repository_visibility", "enterprise", "enterprise_id",
			"ref", "ref_type", "ref_protected", "base_ref", "sha", "environment", "environment_node_id",
			"workflow", "workflow_ref", "workflow_sha", "job_workflow_ref", "job_workflow_sha",
			"event_name", "run_id", "run_number", "run_attempt", "check_run_id", "runner_environment",
		},
		properties: "repo_property_",
		needed:     []string{"repository", "repository_id", "repository_owner_id", "event_name"},
		handle:     "repository", ids: []string{"repository_id", "repository_owner_id"},
		values: map[string][]string{"ref_type": refTypes, "ref_protected": yesNo, "repository_visibility": visibility},
		begins: map[string]string{"ref": "refs/"},
	},
	// https://docs.gitlab.com/ci/secrets/id_token_authentication/
	"gitlab": {
		allowed: []string{
			"project_path", "project_id", "project_visibility", "namespace_path", "namespace_id",
			"job_project_path", "job_project_id", "job_namespace_path", "job_namespace_id",
			"ref", "ref_type", "ref_path", "ref_protected", "sha", "ci_config_ref_uri", "ci_config_sha",
			"environment", "environment_protected", "environment_action", "deployment_tier", "deployment_action",
			"pipeline_source", "pipeline_id", "job_id", "job_source", "job_policy_ref_uri", "job_policy_ref_sha", "runner_id", "runner_environment",
		},
		needed: []string{"project_path", "project_id", "namespace_id"},
		handle: "project_path", ids: []string{"project_id", "namespace_id"},
		values: map[string][]string{"ref_type": refTypes, "ref_protected": yesNo, "environment_protected": yesNo, "project_visibility": visibility},
		begins: map[string]string{"ref_path": "refs/"},
	},
	"generic": {allowed: []string{"sub"}, needed: []string{"sub"}, handle: "sub"}, // with the ids that are configured
}

// personal are the claims of OpenID Connect that say who a person is.
var personal = []string{
	"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
	"email", "gender", "birthdate", "phone_number", "address", "user_login", "user_email", "actor",
}

// isPersonal says whether a claim, or one within others, says who a person is. Within others, a name is most often that of
// a thing, as of an account of a service.
func isPersonal(name string) bool {
	last := name[strings.LastIndexByte(name, '/')+1:]
	return slices.Contains(personal, name) || last != "name" && last != "address" && last != "profile" && slices.Contains(personal, last)
}

// maxName is how long the name of a claim may be, in bytes.
const maxName = 128

// ValidClaim says whether grants and the configuration can name a claim: it may be within others, whose names stand
// before it with a slash, as kubernetes.io/serviceaccount/uid.
func ValidClaim(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-"
	return name != "" && len(name) <= maxName && strings.Trim(name, letters) == ""
}

// kindOfURL is the kind of an issuer that everybody knows, or "".
func kindOfURL(issuer string) string {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return ""
	case provenance.GitHubOf(issuer) != "":
		return "github"
	case u.Hostname() == "gitlab.com":
		return "gitlab"
	}
	return ""
}

// ErrNeverMatches says that no token can have such a claim.
var ErrNeverMatches = fault.New(fault.Invalid, "no job can have such a claim")

// Matchable refuses a claim of a grant that no job of an issuer can have. The kind of an issuer that is not configured, or not
// yet, follows from its URL, or from the ids that the grant names. value is "" where the grant has a pattern. Error: what
// wraps ErrNeverMatches says which claims there are.
func (v *Verifier) Matchable(issuer, name, value string, names []string) error {
	k, events, known := v.kindOf(issuer, names)
	switch {
	case !known:
		return nil
	case !k.keeps(name):
		return fmt.Errorf("%w: %s is not kept for %s, which keeps %s", ErrNeverMatches, name, issuer, k.names())
	case value != "" && k.handle != "sub" && slices.Contains(k.ids, name) && strings.Trim(value, "0123456789") != "":
		return fmt.Errorf("%w: %s is a number, and not %.60q", ErrNeverMatches, name, value)
	case value != "" && k.values[name] != nil && !slices.Contains(k.values[name], value):
		return fmt.Errorf("%w: %s is one of %s, and not %.60q", ErrNeverMatches, name, strings.Join(k.values[name], ", "), value)
	case value != "" && !strings.HasPrefix(value, k.begins[name]):
		return fmt.Errorf("%w: %s begins with %s, as %sheads/main, and is not %.60q", ErrNeverMatches, name, k.begins[name], k.begins[name], value)
	case name == "event_name" && value == pullRequestTarget && !slices.Contains(events, value):
		return fmt.Errorf("%w: jobs of %s are refused; the registry's configuration would have to name it in allowEvents", ErrNeverMatches, value)
	}
	return nil
}

func (v *Verifier) kindOf(issuer string, names []string) (k kind, events []string, known bool) {
	if i := v.issuers[issuer]; i != nil {
		return i.kind, i.AllowEvents, true
	}
	if k, known = kinds[kindOfURL(issuer)]; known {
		return k, nil, true
	}
	for _, name := range []string{"github", "gitlab"} {
		if slices.ContainsFunc(names, func(n string) bool { return slices.Contains(kinds[name].ids, n) }) {
			return kinds[name], []string{pullRequestTarget}, true
		}
	}
	return kind{}, nil, false
}

// names are the claims that are kept, for people.
func (k kind) names() string {
	all := strings.Join(k.allowed, ", ")
	if k.properties != "" {
		all += ", " + k.properties + "*"
	}
	return all
}

// keeps says whether a claim is kept, by its own name or as part of one that is kept with all that is in it.
func (k kind) keeps(name string) bool {
	return k.isProperty(name) || slices.ContainsFunc(k.allowed, func(allowed string) bool { return name == allowed || strings.HasPrefix(name, allowed+"/") })
}

// kept returns those of the claims that are kept, and the names of those of which something was cut. One that holds others is
// kept with what is in it, each by its name behind a slash. A list is passed over: it is nothing that a grant could compare. Errors: a claim is too long; something would be
// cut from an id, and two jobs that differ in that alone would be one.
func (k kind) kept(claims map[string]any) (all map[string]string, cut []string, err error) {
	all = map[string]string{}
	left := maxWithin
	for _, name := range k.allowed {
		claim := within(claims, name)
		if inner, ok := claim.(map[string]any); ok {
			cut = flatten(all, cut, name, inner, &left)
			continue
		}
		whole := text(claim)
		value := withoutSecrets(whole)
		if name == "sub" && !slices.Contains(k.ids, name) {
			value = withoutPeople(value)
		}
		switch {
		case len(value) > maxValue:
			return nil, nil, fmt.Errorf("%w: its claim %s is longer than %d bytes", ErrToken, name, maxValue)
		case value != whole && slices.Contains(k.ids, name):
			return nil, nil, fmt.Errorf("%w: its claim %s is a URL with what may be a secret, and the registry's configuration has it as an id", ErrToken, name)
		case value != "":
			all[name] = value
		}
		if value != whole {
			cut = append(cut, name)
		}
	}
	return all, k.keepProperties(all, cut, claims), nil
}

// isProperty says whether a claim is one of those that an organisation thinks of, and may be kept. What a grant cannot name
// is not, and neither is what says who a person is.
func (k kind) isProperty(name string) bool {
	property, is := strings.CutPrefix(name, k.properties)
	return k.properties != "" && is && property != "" && ValidClaim(name) && !isPersonal(property)
}

// keepProperties adds the claims that an organisation thinks of, up to maxWithin in the order of their names. Nobody here
// knows what they are for, so one that is too long, or that holds an @ as addresses of people do, is left out: a grant that
// names it does not match, and the job is not refused for the rest. It returns the claims from which something was cut, with those.
func (k kind) keepProperties(all map[string]string, cut []string, claims map[string]any) []string {
	left := maxWithin
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		whole := text(claims[name])
		value := withoutSecrets(whole)
		if left > 0 && k.isProperty(name) && value != "" && len(value) <= maxValue && !strings.Contains(value, "@") {
			all[name] = value
			left--
			if value != whole {
				cut = append(cut, name)
			}
		}
	}
	return cut
}

// maxWithin bounds the claims that are kept of those that hold others, and of those that an organisation thinks of.
const maxWithin = 16

// within finds a claim by its name, or within others by a name with slashes. The names of claims may have slashes, too.
func within(claims map[string]any, name string) any {
	if claim, ok := claims[name]; ok {
		return claim
	}
	for at := range len(name) {
		if name[at] != '/' {
			continue
		}
		if inner, ok := claims[name[:at]].(map[string]any); ok {
			if claim := within(inner, name[at+1:]); claim != nil {
				return claim
			}
		}
	}
	return nil
}

// flatten adds what is in a claim, in the order of its names, as long as some are left. What is too long is left out.
// It returns the claims from which something was cut, with those.
func flatten(all map[string]string, cut []string, name string, claims map[string]any, left *int) []string {
	for _, inner := range slices.Sorted(maps.Keys(claims)) {
		full := name + "/" + inner
		if !ValidClaim(full) || isPersonal(full) {
			continue
		}
		if below, ok := claims[inner].(map[string]any); ok {
			cut = flatten(all, cut, full, below, left)
			continue
		}
		whole := text(claims[inner])
		if value := withoutSecrets(whole); value != "" && len(value) <= maxValue && *left > 0 {
			all[full] = value
			*left--
			if value != whole {
				cut = append(cut, full)
			}
		}
	}
	return cut
}

// text is a claim as text; "" where there is none, or no text.
func text(claim any) string {
	switch c := claim.(type) {
	case string:
		return c
	case bool:
		return strconv.FormatBool(c)
	case float64:
		return strconv.FormatFloat(c, 'f', -1, 64)
	}
	return ""
}

// person is the part of a subject that names who started the job: CircleCI has their id, Codefresh their name.
var person = regexp.MustCompile(`((?:^|:)(?:scm_user_name|user_login|user_email|initiator|actor):)[^:]+|(/user/)[0-9a-fA-F-]{4,36}`)

// withoutPeople is a subject as it may be kept: an issuer puts together what it likes, and a record is for ever.
func withoutPeople(sub string) string { return person.ReplaceAllString(sub, "${1}${2}-") }

// withoutSecrets is a claim as it may be kept: without what may be a credential in a URL.
func withoutSecrets(value string) string {
	if strings.Contains(value, "://") {
		return provenance.CutSecrets(value)
	}
	return value
}

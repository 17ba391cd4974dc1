package web

import "net/url"

// keepRule is a rule of retention that names a repository.
type keepRule struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"` // that it covers; empty is all
	Keep []string `json:"keep"` // what lets a tag stay, a condition each
}

// keepRules are what becomes of tags and images by rules of retention, for those who may push to the repository.
type keepRules struct {
	Rules    []keepRule `json:"rules"`
	Untagged string     `json:"untagged"` // how long what has no tag stays; "" is for ever
	Approved bool       `json:"approved"` // a schedule may apply them
	Every    string     `json:"every"`    // how often one does; "" is never
	Stopped  bool       `json:"stopped"`  // the last one left the repository alone
	// MayBeStopped says that it left more repositories alone than it names.
	MayBeStopped bool `json:"mayBeStopped"`
}

func (pg *page) retention(repo string) (r keepRules, err error) {
	_, err = pg.optional("/api/v1/retention/rules", url.Values{"repo": {repo}}, &r)
	return r, err
}

// Next is what removes what the rules let go, in words.
func (r keepRules) Next() string {
	switch {
	case !r.Approved || r.Every == "" || r.Stopped:
		return "the next plan that somebody applies"
	case r.MayBeStopped:
		return "the next run, unless it leaves this repository alone"
	}
	return "the next run"
}

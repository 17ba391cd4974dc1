// Package retention decides what may go: rules decide about the tags of a repository, and what nothing keeps is removed.
//
// [Parse] reads the rules (rules.go). [Evaluate] applies them to the facts of one repository, without a store (evaluate.go). A plan
// lists what would go and why the rest stays; applying it removes exactly that.
//
// Keeping wins over deleting: a tag goes only if a rule covers it and none keeps it, and a manifest only if nothing keeps it. An
// expression that fails to evaluate keeps. The package deletes nothing itself: it asks package registry, which records each
// removal. It knows neither CEL nor reports: whoever wires it provides the expressions.
package retention

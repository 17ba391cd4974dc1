package policy

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
)

// An Expression is a rule's condition without the rule: it is asked about an image that is there, as at a pull.
type Expression struct{ rule *Rule }

// CompileExpression compiles a condition. Error: *ExpressionError.
func CompileExpression(text string) (*Expression, error) {
	r := &Rule{Name: "expression", At: []Point{Pull}, Effect: Deny, Require: text}
	if _, err := r.compile(); err != nil {
		return nil, err
	}
	return &Expression{r}, nil
}

// errDocument: there is no report about a signature or another document.
var errDocument = errors.New("it is a document about an image, of which there is no report")

// Holds says whether an expression is true of an image. Error: registry.ErrUnknown, and what fails in the expression.
func (e *Engine) Holds(ctx context.Context, x *Expression, repo string, d digest.Digest) (bool, error) {
	p, err := e.c.Registry.Reading(ctx, repo, d)
	if err != nil {
		return false, err
	}
	c, err := e.stored(p)
	if err != nil {
		return false, err
	}
	if x.rule.NeedsReport() && c.about.Document {
		return false, errDocument
	}
	if err := e.look(ctx, c, x.rule); err != nil {
		return false, err
	}
	answer := x.rule.Ask(ctx, &c.object)
	return answer.Holds, answer.Err
}

package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// An ExpressionError says what is wrong with an expression, and where in it.
type ExpressionError struct {
	Line, Column int // from 1; 0 where it is about the whole
	Says         string
	Text         string // that line of the expression
}

// Error is one line for the place and what is wrong, then the line of the expression with a mark.
func (e *ExpressionError) Error() string {
	if e.Line == 0 {
		return e.Says
	}
	return fmt.Sprintf("%d:%d: %s\n    %s\n    %s^", e.Line, e.Column, e.Says, e.Text, strings.Repeat(" ", e.Column-1))
}

// compile compiles what a rule says. The expression that is wrong is named by the key that it stands under.
func (r *Rule) compile() (key string, err error) {
	envs, err := environments()
	if err != nil {
		return "", err
	}
	env := envs.push
	if r.askedAt(Pull) {
		env = envs.pull
	}
	for _, e := range []struct {
		key, text string
		into      *cel.Program
	}{{"when", r.When, &r.when}, {"require", r.Require, &r.require}} {
		if e.text == "" {
			continue
		}
		if *e.into, err = r.program(env, e.text); err != nil {
			return e.key, err
		}
	}
	return "", nil
}

func (r *Rule) program(env *cel.Env, text string) (cel.Program, error) {
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, at(text, first.Location.Line(), first.Location.Column(), r.hint(first.Message))
	}
	if checked.OutputType() != cel.BoolType {
		return nil, &ExpressionError{Says: fmt.Sprintf("it gives a value of type %s, and should say true or false", checked.OutputType())}
	}
	if err := r.note(checked, text); err != nil {
		return nil, err
	}
	most, err := estimate(env, checked)
	if err != nil {
		return nil, err
	}
	if most > maxCost {
		return nil, &ExpressionError{Says: fmt.Sprintf("it could cost up to %d units, and may cost %d; a list within a list is what costs most", most, maxCost)}
	}
	return env.Program(checked, cel.CostLimit(maxCost), cel.CostTracking(sizes{}), cel.InterruptCheckFrequency(100), cel.EvalOptions(cel.OptOptimize))
}

// hint explains what CEL cannot know: why a variable is not there.
func (r *Rule) hint(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	for _, name := range []string{"who", "tag", "previous", "action"} {
		if r.askedAt(Pull) && strings.Contains(message, "undeclared reference to '"+name+"'") {
			return name + " is not there at a pull: such a rule asks about the image alone, and grants say who may pull it"
		}
	}
	return strings.TrimSuffix(message, " (in container '')")
}

func at(text string, line, column int, says string) error {
	lines := strings.Split(text, "\n")
	e := &ExpressionError{Line: max(line, 1), Column: column + 1, Says: says}
	if e.Line <= len(lines) {
		e.Text = lines[e.Line-1]
	}
	return e
}

// note remembers what an expression reads, and refuses names of what there is not.
func (r *Rule) note(checked *cel.Ast, text string) error {
	native := checked.NativeRep()
	var wrong []error
	named := map[int64]bool{} // calls whose facts are asked by whom they are
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		var err error
		switch e.Kind() {
		case ast.ComprehensionKind: // is visited before the list that it goes through
			c := e.AsComprehension()
			named[c.IterRange().ID()] = mentions(c.LoopStep(), c.IterVar(), "by")
		case ast.IdentKind:
			r.noteName(e.AsIdent())
		case ast.SelectKind:
			r.noteField(e.AsSelect())
		case ast.CallKind:
			if err = r.noteCall(e.AsCall()); err == nil && isOfRegistry(e.AsCall()) && !named[e.ID()] {
				err = errors.New("each registry speaks for itself, so ask by which it is: facts(…).exists(f, f.by == \"upstream\" && …)")
			}
		}
		if err != nil {
			where := native.SourceInfo().GetStartLocation(e.ID())
			wrong = append(wrong, at(text, where.Line(), where.Column(), err.Error()))
		}
	}))
	return errors.Join(wrong...)
}

func (r *Rule) noteField(s ast.SelectExpr) {
	if s.Operand().Kind() != ast.IdentKind {
		return
	}
	switch of, name := s.Operand().AsIdent(), s.FieldName(); {
	case of == "report" && strings.HasPrefix(name, "grade"):
		r.reads.grade = true
	case of == "image" && slices.Contains([]string{"first", "arrivals", "tagged", "platforms", "removals"}, name):
		r.reads.acts = true
	}
}

func (r *Rule) noteName(name string) {
	switch name {
	case "report":
		r.reads.report = true
	case "image":
		r.reads.image = true
	case "manifest":
		r.reads.manifest = true
	case "who":
		r.reads.who = true
	case "tag", "previous":
		r.reads.tag = true
	}
}

// noteCall looks at the arguments of our own functions: a misspelt name would never be there.
func (r *Rule) noteCall(call ast.CallExpr) error {
	name := call.FunctionName()
	if !slices.Contains([]string{"check", "facts", "signedBy", "named", "verified", "atLeast"}, name) || len(call.Args()) == 0 {
		return nil
	}
	args, literal := literals(call.Args())
	if !literal {
		return fmt.Errorf("%s(…) wants a text between quotes, so that it can be checked now", name)
	}
	if err := checkCall(name, args); err != nil {
		return err
	}
	r.reads.note(name, args)
	return nil
}

// checkCall says what is wrong with the names that one of our own functions is called with.
func checkCall(name string, args []string) error {
	arg := args[0]
	switch {
	case name == "verified" && strings.HasPrefix(args[1], "SLSA_") && !buildLevel.MatchString(args[1]):
		return fmt.Errorf("%q is no level of an image: SLSA has SLSA_BUILD_LEVEL_0 to SLSA_BUILD_LEVEL_4, and levels of a source are not an image's", args[1])
	case (name == "signedBy" || name == "named") && len(args) > 1 && !provenance.StatementKind(args[1]).Valid():
		return fmt.Errorf("%q is no kind of signed statement: write one of %s, or a full predicate type", args[1], provenance.Kinds)
	case name == "check" && !isImageCheck(arg):
		return fmt.Errorf("there is no check %q of an image; docs/trust.md lists them", arg)
	case name == "facts" && !slices.Contains(askedFacts, arg):
		return fmt.Errorf("there are no facts %q: facts(…) are of %s", arg, strings.Join(askedFacts, ", "))
	case name == "atLeast" && !trust.Grade(arg).Valid():
		return fmt.Errorf("there is no grade %q: grades are A, B, C, D and F", arg)
	}
	return nil
}

// note remembers what a function of ours reads.
func (r *reads) note(name string, args []string) {
	all := strings.Join(args, " for ")
	switch name {
	case "check":
		r.checks = append(r.checks, args[0])
	case "facts":
		r.facts = append(r.facts, args[0])
	case "verified":
		r.verified = append(r.verified, all)
	case "signedBy":
		r.signers = append(r.signers, all)
	case "named":
		r.signers = append(r.signers, all+" under this repository's name")
	}
}

// literals are the texts that a function is called with, where all of them are texts between quotes.
func literals(args []ast.Expr) (texts []string, ok bool) {
	for _, a := range args {
		if a.Kind() != ast.LiteralKind {
			return nil, false
		}
		text, ok := a.AsLiteral().Value().(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

func isImageCheck(id string) bool {
	return slices.ContainsFunc(trust.Rubric, func(r trust.Rule) bool { return r.ID == id && r.Question != trust.Source })
}

// askedFacts are what report.facts(…) can be asked for.
var askedFacts = []string{provenance.FactSource, provenance.FactRevision, provenance.FactPushedBy, provenance.FactPushedFrom, provenance.FactPushedRevision}

// isOfRegistry says whether a call asks for facts that other registries attest. A rule that does not ask by which would come to
// hold for more images with every registry that is named later.
func isOfRegistry(call ast.CallExpr) bool {
	args, _ := literals(call.Args())
	return call.FunctionName() == "facts" && len(args) == 1 && strings.HasPrefix(args[0], "pushed-")
}

// mentions says whether an expression reads a field of a variable.
func mentions(e ast.Expr, variable, field string) (found bool) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.SelectKind {
			s := e.AsSelect()
			found = found || s.FieldName() == field && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == variable
		}
	}))
	return found
}

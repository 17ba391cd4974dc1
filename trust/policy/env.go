package policy

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// maxCost bounds an expression, in CEL's units: what it may cost by its form alone, for the largest of
// images, and what it may cost while it runs. It is some ten milliseconds.
const maxCost = 1_000_000

// The sizes that the estimate of a cost assumes where it cannot know better.
const (
	assumedText = 1 << 10 // characters of a text
	assumedList = 256     // entries of a list or map
)

// environments are what rules are compiled in: those asked at a pull know of nobody who pushes.
var environments = sync.OnceValues(func() (envs struct{ push, pull *cel.Env }, err error) {
	base, err := cel.NewEnv(
		cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(50), cel.ExpressionNodeLimit(5000),
		cel.RegexProgramSizeLimit(1000),
		cel.Types(cel.NativeTypeFor[Report](jsonNames), cel.NativeTypeFor[Manifest](jsonNames), cel.NativeTypeFor[Image](jsonNames), cel.NativeTypeFor[Who](jsonNames), cel.NativeTypeFor[Fact](jsonNames)),
	)
	if err != nil {
		return envs, err
	}
	functions := []cel.EnvOption{
		cel.Variable("repository", cel.StringType), cel.Variable("manifest", cel.ObjectType("policy.Manifest")),
		cel.Variable("report", reportType), cel.Variable("image", cel.ObjectType("policy.Image")),
		cel.Function("atLeast", cel.MemberOverload("grade_at_least", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(atLeast))),
		cel.Function("under", cel.MemberOverload("source_under", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(under))),
		reportFunction("check", cel.ObjectType("policy.Check"), base, func(r *Report, id string) any { return r.check(id) }),
		reportFunction("facts", cel.ListType(cel.ObjectType("policy.Fact")), base, func(r *Report, fact string) any { return r.facts(fact) }),
		cel.Function("verified", cel.MemberOverload("report_verified", []*cel.Type{reportType, cel.StringType, cel.StringType}, cel.BoolType, cel.FunctionBinding(verified))),
		signerFunction("signedBy", signedBy),
		signerFunction("named", named),
	}
	if envs.pull, err = base.Extend(functions...); err != nil {
		return envs, err
	}
	envs.push, err = envs.pull.Extend(cel.Variable("who", cel.ObjectType("policy.Who")), cel.Variable("tag", cel.StringType),
		cel.Variable("previous", cel.StringType), cel.Variable("action", cel.StringType))
	return envs, err
})

// jsonNames gives fields the names that they have in the API.
var jsonNames = types.ParseStructTag("json")

var reportType = cel.ObjectType("policy.Report")

// reportFunction is a function of a report and a text.
func reportFunction(name string, result *cel.Type, env *cel.Env, fn func(*Report, string) any) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload("report_"+name, []*cel.Type{reportType, cel.StringType}, result,
		cel.BinaryBinding(func(on, arg ref.Val) ref.Val {
			r, ok := on.Value().(*Report)
			if !ok {
				return types.NewErr("%s is of a report", name)
			}
			value := fn(r, arg.Value().(string))
			if err, failed := value.(error); failed {
				return types.NewErr("%v", err)
			}
			return env.CELTypeAdapter().NativeToValue(value)
		})))
}

// signerFunction is a function of a report and a signer, and perhaps a kind of statement.
func signerFunction(name string, fn func(...ref.Val) ref.Val) cel.EnvOption {
	return cel.Function(name,
		cel.MemberOverload("report_"+name, []*cel.Type{reportType, cel.StringType}, cel.BoolType, cel.FunctionBinding(fn)),
		cel.MemberOverload("report_"+name+"_kind", []*cel.Type{reportType, cel.StringType, cel.StringType}, cel.BoolType, cel.FunctionBinding(fn)))
}

// atLeast says that a grade is as good as another, or better. No grade is not.
func atLeast(grade, least ref.Val) ref.Val {
	return types.Bool(trust.Grade(grade.Value().(string)).AtLeast(trust.Grade(least.Value().(string))))
}

// under says that a source is a place, or below it, however the two are spelled.
func under(source, place ref.Val) ref.Val {
	is, want := provenance.NormalSource(source.Value().(string)), provenance.NormalSource(place.Value().(string))
	return types.Bool(want != "" && (is == want || strings.HasPrefix(is, want+"/")))
}

// check returns a check by its id, or an error.
func (r *Report) check(id string) any {
	if c := r.find(id); c != nil {
		return c
	}
	return fmt.Errorf("the report has no check %q", id)
}

// find returns a check by its id, or nil.
func (r *Report) find(id string) *Check {
	for i := range r.Checks {
		if r.Checks[i].ID == id {
			return &r.Checks[i]
		}
	}
	return nil
}

// read gives the evidence of a check the type that its writer has for it, once. Of no check it is empty.
func read[E any](kept **E, c *Check) (*E, error) {
	if *kept != nil || c == nil {
		return cmp.Or(*kept, new(E)), nil
	}
	e := new(E)
	if err := recast(c.Evidence, e); err != nil {
		return nil, fmt.Errorf("the evidence of %s cannot be read: %w", c.ID, err)
	}
	*kept = e
	return e, nil
}

// facts are what is said of an image's source or revision, and of who pushed it at other registries, each with its class of
// evidence; or an error.
func (r *Report) facts(name string) any {
	found := []Fact{}
	said, err := read(&r.source, r.find(trust.ImageSource))
	if err != nil {
		return err
	}
	for _, f := range said.Facts {
		if f.Name == name {
			found = append(found, Fact(f))
		}
	}
	return found
}

// sizes estimates costs for the largest of images.
type sizes struct{}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.StringKind, types.BytesKind:
		return &cost.SizeEstimate{Max: assumedText}
	case types.ListKind, types.MapKind:
		return &cost.SizeEstimate{Max: assumedList}
	case types.DynKind:
		return &cost.SizeEstimate{Max: assumedText}
	}
	return nil
}

// EstimateCallCost implements cost.Estimator.
func (sizes) EstimateCallCost(_, overload string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if own, ok := ownCosts[overload]; ok {
		return cost.NewCallEstimate(cost.Estimate{Min: 1, Max: own}, &cost.SizeEstimate{Max: assumedList})
	}
	return nil
}

// CallCost implements cost.ActualCostEstimator.
func (sizes) CallCost(_, overload string, _ []ref.Val, _ ref.Val) *uint64 {
	if own, ok := ownCosts[overload]; ok {
		return &own
	}
	return nil
}

// ownCosts are those of the functions declared here, which are bounded by the bounds of a report.
var ownCosts = map[string]uint64{
	"grade_at_least": 2, "source_under": 100, "report_check": 30, "report_facts": 200, "report_signedBy": 100, "report_signedBy_kind": 100, "report_verified": 200,
	"report_named": 100, "report_named_kind": 100,
}

// estimate is what an expression can cost at most.
func estimate(env *cel.Env, checked *cel.Ast) (uint64, error) {
	e, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return math.MaxUint64, err
	}
	return e.Max, nil
}

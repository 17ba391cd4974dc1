package hallmark_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestClosuresMayRunAgain looks at every closure that is given to a store: what it captures and changes, it sets before it reads
// it. One that counts on, appends to what is there or moves a cursor of its caller does something else when it is run again.
func TestClosuresMayRunAgain(t *testing.T) {
	t.Parallel()
	files, closures := token.NewFileSet(), 0
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && (e.Name() == "tools" || strings.HasSuffix(e.Name(), "test") || strings.HasPrefix(e.Name(), ".") && path != ".") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, fn := range storeClosures(n) {
				closures++
				if name := goesOnFrom(fn); name != nil {
					t.Errorf("%s: a closure that may be run again goes on from what its first run left in %s", files.Position(name.Pos()), name.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || closures < 100 {
		t.Errorf("%d closures, %v", closures, err)
	}
}

// storeClosures returns the closures of a call of Update or View.
func storeClosures(n ast.Node) (list []*ast.FuncLit) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.EqualFold(method.Sel.Name, "update") && method.Sel.Name != "View" {
		return nil
	}
	for _, arg := range call.Args {
		if fn, ok := arg.(*ast.FuncLit); ok {
			list = append(list, fn)
		}
	}
	return list
}

// goesOnFrom returns a captured variable that a closure changes, and reads before it has set it; nil where there is none.
func goesOnFrom(fn *ast.FuncLit) *ast.Ident {
	own, changed, set := declared(fn), map[string]bool{}, map[*ast.Ident]bool{}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IncDecStmt:
			if id, ok := n.X.(*ast.Ident); ok {
				changed[id.Name] = true
			}
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				if id, ok := to.(*ast.Ident); ok && n.Tok != token.DEFINE {
					changed[id.Name], set[id] = true, n.Tok == token.ASSIGN
				}
			}
		}
		return true
	})
	seen := map[string]bool{}
	var found *ast.Ident
	ast.Inspect(fn.Body, inOrder(func(id *ast.Ident) {
		if found == nil && changed[id.Name] && !own[id.Name] && !seen[id.Name] && !set[id] {
			found = id
		}
		seen[id.Name] = true
	}))
	return found
}

// inOrder calls fn for each name as it is evaluated: the right side of an assignment before the left one.
func inOrder(fn func(*ast.Ident)) func(ast.Node) bool {
	return func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			fn(n)
		case *ast.AssignStmt:
			for _, side := range [][]ast.Expr{n.Rhs, n.Lhs} {
				for _, e := range side {
					ast.Inspect(e, inOrder(fn))
				}
			}
			return false
		case *ast.SelectorExpr: // the name of a field is none
			ast.Inspect(n.X, inOrder(fn))
			return false
		case *ast.KeyValueExpr:
			ast.Inspect(n.Value, inOrder(fn))
			return false
		}
		return true
	}
}

// declared are the names that a closure declares itself.
func declared(fn *ast.FuncLit) map[string]bool {
	own := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				if id, ok := to.(*ast.Ident); ok && n.Tok == token.DEFINE {
					own[id.Name] = true
				}
			}
		case *ast.Field:
			for _, id := range n.Names {
				own[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				own[id.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					own[id.Name] = true
				}
			}
		}
		return true
	})
	return own
}

package registry_test

import "net/http"

// An act is what a step asks of the registry, so that another process can be told.
type act struct {
	Do               string // a key of acts
	Repo, Name, More string
	Tags             []string
	Numbers          [3]int
}

// on asks the registry of a world, and returns how it is answered.
func (a act) on(w *world) (status int) { return acts[a.Do](w, a) }

var acts = map[string]func(w *world, a act) (status int){
	"push blob": func(w *world, a act) int { return w.pushBlob(a.Repo, a.Name) },
	"push":      func(w *world, a act) int { return w.push(a.Repo, a.Name, a.Tags, &w.warned) },
	"mount":     func(w *world, a act) int { return w.mount(a.Repo, a.Name, a.More) },
	"HEAD":      func(w *world, a act) int { return w.do("alice", http.MethodHead, w.blobPath(a.Repo, a.Name), "").Code },
	"DELETE": func(w *world, a act) int {
		return w.do("alice", http.MethodDelete, w.blobPath(a.Repo, a.Name), "").Code
	},
	"delete":       func(w *world, a act) int { return w.deleteManifest(a.Repo, w.ref(a.Name)) },
	"undelete":     func(w *world, a act) int { return w.undelete(a.Repo, a.Name) },
	"empty":        func(w *world, a act) int { return w.empty(a.Repo, a.Name) },
	"hold":         func(w *world, a act) int { return w.hold(a.Repo, a.Name) },
	"release":      func(w *world, a act) int { return w.unhold(a.Repo, a.Name) },
	"remove quota": func(w *world, a act) int { return w.removeQuota(a.Name) },
	"set quota":    func(w *world, a act) int { return w.setQuota(a.Name, quota{a.Numbers[0], a.Numbers[1], a.Numbers[2]}) },
	"retain":       func(w *world, a act) int { return w.retain(a.More) },
	"collect":      func(w *world, _ act) int { return w.status(w.registry.CollectNow(background)) },
	"pull":         func(w *world, a act) int { return w.pull(a.Repo, a.Name) },
	"flush":        func(w *world, _ act) int { return w.status(w.registry.FlushPulls(background)) },
	"forget":       func(w *world, a act) int { return w.status(w.registry.ForgetPulls(background, a.Repo)) },
	"fix":          func(w *world, a act) int { return w.fix(fixedRule{a.Name, a.More}) },
	"unfix":        func(w *world, a act) int { return w.unfix(fixedRule{a.Name, a.More}) },
}

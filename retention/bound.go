package retention

// A plan has a bound. Where more of a repository would go, the plan has the first of it: tags, then images with the tags beside them. What is left
// over stays for now as if something kept it, and with it what it lists and what is attached to it.

// goes counts what goes.
func (e *Evaluation) goes() (tags, manifests int) {
	count := func(all []Disposition) (n int) {
		for _, v := range all {
			if v.Goes {
				n++
			}
		}
		return n
	}
	return count(e.Tags), count(e.Manifests)
}

// leftOver is why something stays that the next plan removes.
const leftOver = "more goes than one plan may have: the next one goes on"

// tooMuch is why a schedule leaves something there.
const tooMuch = "more of the repository would go than retention.most lets a schedule remove: a person has to apply a plan"

// stayWhole lets nothing go.
func (e *Evaluation) stayWhole() {
	for _, all := range [][]Disposition{e.Tags, e.Manifests} {
		for i, v := range all {
			if v.Goes {
				all[i] = Disposition{Why: tooMuch}
			}
		}
	}
}

// cut lets at most so many tags and manifests go, and says whether more would.
func (e *Evaluation) cut(f *Facts, most int) bool {
	if tags, manifests := e.goes(); tags+manifests <= most {
		return false
	}
	c := &cutter{Evaluation: e, f: f, left: most, chosen: make([]bool, len(f.Manifests)), referrers: map[int][]int{}}
	for i, m := range f.Manifests {
		if m.Subject >= 0 {
			c.referrers[m.Subject] = append(c.referrers[m.Subject], i)
		}
	}
	c.tags()
	for _, i := range inOrder(f, c.attached) {
		c.manifest(i)
	}
	return true
}

// cutter is an evaluation while it is cut.
type cutter struct {
	*Evaluation
	f         *Facts
	left      int    // how many more may go
	chosen    []bool // manifests that go, with the tags beside them
	referrers map[int][]int
}

// tags lets the first tags go that are not beside an image, and the images of the others stay.
func (c *cutter) tags() {
	follows := make([]bool, len(c.Tags))
	for image, tags := range c.beside {
		for _, t := range tags {
			follows[t] = image >= 0
		}
	}
	for t := range c.Tags {
		switch v := &c.Tags[t]; {
		case !v.Goes || follows[t]:
		case c.left > 0:
			c.left--
		default:
			*v = Disposition{Why: leftOver}
			c.stay(c.f.Tags[t].Manifest)
		}
	}
}

// attached are the manifests that stay where one stays.
func (c *cutter) attached(i int) []int {
	all := append(append([]int(nil), c.f.Manifests[i].Lists...), c.referrers[i]...)
	for _, t := range c.beside[i] {
		all = append(all, c.f.Tags[t].Manifest)
	}
	return all
}

// cost is how many things go with a manifest.
func (c *cutter) cost(i int) int {
	n := 1
	for _, t := range c.beside[i] {
		if c.Tags[t].Goes {
			n++
		}
	}
	return n
}

// manifest lets a manifest go with the tags beside it, where there is room for them.
func (c *cutter) manifest(i int) {
	if !c.Manifests[i].Goes {
		return
	}
	cost := c.cost(i)
	if cost > c.left {
		c.stay(i)
		return
	}
	c.chosen[i] = true
	c.left -= cost
}

// stay lets a manifest stay that would go, and all that is attached to it.
func (c *cutter) stay(first int) {
	for queue := []int{first}; len(queue) > 0; {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !c.Manifests[i].Goes {
			continue
		}
		if c.chosen[i] { // before what it is attached to: there is room again
			c.left += c.cost(i)
		}
		c.Manifests[i] = Disposition{Why: leftOver}
		for _, t := range c.beside[i] {
			if c.Tags[t].Goes {
				c.Tags[t] = Disposition{Why: leftOver}
			}
		}
		queue = append(queue, c.attached(i)...)
	}
}

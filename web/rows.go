package web

import (
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// Rows of long lists are made here and not by templates, which call each function by reflection: 50 rows of 9 cells took them longer
// than the questions behind the page.

// markup is HTML that is written in this program: an untyped constant becomes one, and no value that somebody sent does.
type markup string

// rows are HTML in the making.
type rows struct{ strings.Builder }

// newRows makes room for so many rows.
func newRows(n int) *rows {
	const most = 2 << 10 // bytes of a row, as nearly all are
	h := &rows{}
	h.Grow(n * most)
	return h
}

// put writes markup with a value in the place of each %. HTML stands as it is; all text is made plain, and escaped.
func (h *rows) put(m markup, values ...any) {
	for _, v := range values {
		before, after, _ := strings.Cut(string(m), "%")
		h.WriteString(before)
		if piece, is := v.(template.HTML); is {
			h.WriteString(string(piece))
		} else {
			h.WriteString(template.HTMLEscapeString(plain(text(v))))
		}
		m = markup(after)
	}
	h.WriteString(string(m))
}

func (h *rows) html() template.HTML { return template.HTML(h.String()) }

// piece is put, alone.
func piece(m markup, values ...any) template.HTML {
	var h rows
	h.put(m, values...)
	return h.html()
}

// Rows are those of the tags.
func (v repositoryView) Rows() template.HTML {
	h := newRows(len(v.Tags))
	for _, t := range v.Tags {
		h.put("\n<tr>\n")
		if v.Removes {
			h.put(`<td class="choose"><input type="checkbox" name="tag" value="%@%" aria-label="Choose %"></td>`, t.Name, t.Digest, t.Name)
		}
		h.put("\n"+`<th scope="row"><a href="%">%</a>%</th>`, imageURL(v.Repository, t.Name), t.Name, heldPiece(t.Held))
		h.put("\n"+`<td data-label="Grade">%</td>`, gradePiece(t.Grade))
		h.put("\n"+`<td data-label="Image">%%</td>`, imageLink(v.Repository, t.Digest), attachedPiece(v.Repository, &t.listedImage))
		h.put("\n"+`<td data-label="Size" class="number">%</td>`, sizeOf(&t.listedImage))
		h.put("\n"+`<td data-label="Source" class="source">%</td>`, builtPiece(t.Built))
		h.put("\n"+`<td data-label="Set by">% %</td>`, by(v.Namesakes, t.Actor), classPiece(knownBy(t.Actor)))
		h.put("\n"+`<td data-label="When">% <a class="quiet" href="%">History<span class="hidden"> of %</span></a></td>`,
			momentPiece(t.Time, v.Now), historyURL(v.Repository, t.Name), t.Name)
		h.put("\n"+`<td data-label="Pulled">%</td>`, pulledPiece(t.Pulls, v.Now))
		if len(v.Retention.Rules) > 0 {
			h.put("\n"+`<td data-label="Retention">%</td>`, expiryPiece(t.Expiry, v.Retention.Next()))
		}
		h.put("\n</tr>")
	}
	return h.html()
}

// expiryPiece says what becomes of a tag by rules of retention, or nothing.
func expiryPiece(e *retention.Expiry, next string) template.HTML {
	switch {
	case e == nil:
		return ""
	case e.State == retention.Until && e.At != nil:
		return piece(`stays until <time datetime="%">%</time> <span class="quiet">%</span>`, when(*e.At), day(*e.At), e.Why)
	case e.State == retention.Goes:
		return piece(`<strong>goes</strong> <span class="quiet">with %, by rule %</span>`, next, e.Rule)
	case e.State == retention.Stays:
		return piece(`stays <span class="quiet">%</span>`, e.Why)
	}
	return piece(`<span class="quiet">%</span>`, e.Why)
}

// heldPiece says until when an image is held.
func heldPiece(until *provenance.Time) template.HTML {
	if until == nil {
		return ""
	}
	return piece(` <span class="quiet">held until <time datetime="%">%</time></span>`, when(*until), day(*until))
}

// sizeOf is the size of an image, or for how many platforms it is.
func sizeOf(i *listedImage) string {
	switch {
	case i.Platforms != 0:
		return plural(i.Platforms, "platform")
	case i.ImageSize != 0:
		return units.Bytes(i.ImageSize)
	}
	return ""
}

// builtPiece is what is known of the source of an image, or nothing.
func builtPiece(b *provenance.Built) template.HTML {
	if b == nil {
		return ""
	}
	var h rows
	if to := link(b.Source); to != "" {
		h.put(`<a href="%" rel="noopener noreferrer nofollow">%</a>`, to, bare(b.Source))
	} else {
		h.put("%", bare(b.Source))
	}
	if b.Revision != "" {
		h.put(" %", commitLink(b.Revision))
	}
	if b.Source != "" || b.Revision != "" {
		h.put(" %", classPiece(b.Class))
	}
	return h.html()
}

// commitLink leads to what was built from a commit.
func commitLink(revision string) template.HTML {
	return piece(`<a href="%"><code>%</code></a>`, searchURL(revision), commit(revision))
}

// attachedPiece is what stands beside an image, folded, or nothing.
func attachedPiece(repo string, i *listedImage) template.HTML {
	kinds := i.Kinds()
	if len(kinds) == 0 {
		return ""
	}
	if i.AttachedCut {
		kinds = append(kinds, "and more")
	}
	var h rows
	h.put(`<details class="beside"><summary>%</summary><ul>`, strings.Join(kinds, ", "))
	for _, a := range i.Attached {
		var name any = a.Tag
		if a.Tag == "" {
			name = digestPiece(a.Digest)
		}
		h.put(`<li><a href="%">% %</a></li>`, imageURL(repo, a.Ref()), a.Kind(), name)
	}
	h.put("</ul></details>")
	return h.html()
}

// Rows are those of the repositories, each with what happened last.
func (v homeView) Rows() template.HTML {
	h := newRows(len(v.Repositories))
	for _, r := range v.Repositories {
		h.put("\n"+`<tr><th scope="row"><a href="%">%</a></th>`, repoURL(r.Name), r.Name)
		if last := r.Newest; last == nil {
			h.put("\n<td></td><td></td><td></td><td></td><td></td><td></td>")
		} else {
			h.lastImage(r.Name, last)
			h.put("\n"+`<td data-label="By">% %</td>`, by(v.Namesakes, last.Actor), classPiece(knownBy(last.Actor)))
			h.put("\n"+`<td data-label="When"><a class="quiet" href="%">%</a></td>`, recordURL(last.Record), momentPiece(last.Time, v.Now))
		}
		h.put("\n"+`<td data-label="Pulled">%</td></tr>`, pulledPiece(r.Pulls, v.Now))
	}
	return h.html()
}

// lastImage writes the cells about the image that was pushed last, or what else happened last.
func (h *rows) lastImage(repo string, last *happenedLast) {
	if last.Image == nil {
		h.put("\n"+`<td data-label="Last image">%</td><td></td><td></td><td></td>`, last.Did())
		return
	}
	i := last.Image
	h.put("\n" + `<td data-label="Last image">`)
	for n, t := range i.Tags {
		if n > 0 {
			h.put(", ")
		}
		h.put(`<a href="%">%</a>`, imageURL(repo, t), t)
	}
	if len(i.Tags) == 0 {
		h.put("%", imageLink(repo, i.Digest))
	}
	h.put("%</td>", attachedPiece(repo, &i.listedImage))
	h.put("\n"+`<td data-label="Grade">%</td>`, gradePiece(i.Grade))
	h.put("\n"+`<td data-label="Size" class="number">%</td>`, sizeOf(&i.listedImage))
	h.put("\n"+`<td data-label="Source" class="source">%</td>`, builtPiece(i.Built))
}

// Rows are those of the moves of a tag.
func (v historyView) Rows() template.HTML {
	h := newRows(len(v.Moves))
	for _, m := range v.Moves {
		r := m.Record
		h.put("\n<tr>\n"+`<td data-label="Record" class="number">%</td>`, recordLink(r.Index))
		h.put("\n"+`<td data-label="When">%</td>`, momentPiece(r.Time, v.Now))
		h.put("\n"+`<td data-label="Who">% %</td>`, by(v.Namesakes, r.Actor), classPiece(knownBy(r.Actor)))
		h.put("\n"+`<td data-label="What">%</td>`, string(r.Action))
		h.put("\n"+`<td data-label="From">%</td>`, imageOr(v.Repository, m.From, "nothing"))
		h.put("\n"+`<td data-label="To">%</td>`, imageOr(v.Repository, m.To, "nothing: the tag was removed"))
		h.put("\n" + `<td data-label="Commit">`)
		if m.Built != nil && m.Built.Revision != "" {
			h.put("% %", commitLink(m.Built.Revision), classPiece(m.Built.Class))
		}
		h.put("</td>\n" + `<td data-label="Differs">`)
		h.differs(v.Repository, &m)
		h.put("</td>\n</tr>")
	}
	return h.html()
}

// imageOr leads to an image, or says what there is instead.
func imageOr(repo string, d digest.Digest, instead template.HTML) template.HTML {
	if d == "" {
		return instead
	}
	return imageLink(repo, d)
}

// differs says what differs from the image that a tag meant before.
func (h *rows) differs(repo string, m *move) {
	if m.Grew != nil {
		h.put(`<span class="number">%</span> `, growth(*m.Grew))
	}
	if m.Between != nil && m.Between.Compare != "" {
		h.put(`<a href="%" rel="noopener noreferrer nofollow">commits</a> `, m.Between.Compare)
	}
	if m.From != "" && m.To != "" && m.From != m.To {
		h.put(`<a href="%?before=%#changed">compare<span class="hidden"> % with %</span></a>`, imageURL(repo, m.To), url.QueryEscape(string(m.From)), short(m.From), short(m.To))
	}
}

// changeRows are those of records: what was done, by whom, to what.
func changeRows(lines []recordLine, names provenance.Namesakes, now time.Time) template.HTML {
	h := newRows(len(lines))
	for _, l := range lines {
		h.put("\n<tr>\n"+`<td class="number">%</td>`, recordLink(l.Index))
		h.put("\n<td>%</td>\n<td>%</td>", momentPiece(l.Time, now), by(names, l.Actor))
		h.put("\n"+`<td class="words">%</td>`+"\n<td>", l.What)
		if l.Repository != "" {
			h.put(`<a href="%">%</a>`, repoURL(l.Repository), l.Repository)
		}
		h.put("</td>\n<td>")
		if l.Repository != "" && l.Digest != "" {
			h.put("%", imageLink(l.Repository, l.Digest))
		}
		h.put("</td>\n</tr>")
	}
	return h.html()
}

package web

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Pieces are what most rows of a list have, some of them more than once. They are HTML that is made here, because a template takes several
// times as long for each of them. All that is not written here is escaped.

// classPiece is a class of evidence, as pages show it.
func classPiece(c any) template.HTML { return classPieces[provenance.Class(text(c))] }

var classPieces = func() map[provenance.Class]template.HTML {
	pieces := map[provenance.Class]template.HTML{}
	for name, c := range classes {
		pieces[name] = template.HTML(`<span class="class ` + c.Name + `" title="` + template.HTMLEscapeString(c.Means) + `"><span aria-hidden="true">` + c.Icon + `</span> ` + c.Word + `</span>`)
	}
	return pieces
}()

// text is a value of a type of text.
func text(of any) string {
	switch of := of.(type) {
	case string:
		return of
	case digest.Digest:
		return string(of)
	case provenance.Class:
		return string(of)
	}
	return fmt.Sprint(of)
}

// digestPiece is a digest, short to compare and whole to copy.
func digestPiece(d any) template.HTML {
	whole := template.HTMLEscapeString(text(d))
	return template.HTML(`<code class="digest" data-copy="` + whole + `" title="` + whole + `">` + template.HTMLEscapeString(short(d)) + `</code>`)
}

// imageLink leads to an image by its digest.
func imageLink(repo string, d any) template.HTML {
	return template.HTML(`<a href="`+template.HTMLEscapeString(imageURL(repo, d))+`">`) + digestPiece(d) + `</a>`
}

// recordLink leads to a record by its index.
func recordLink(index uint64) template.HTML {
	return template.HTML(`<a href="` + recordURL(index) + `">` + strconv.FormatUint(index, 10) + `</a>`)
}

// momentPiece is how long ago a moment was, with the moment itself for machines and for those who point at it.
func momentPiece(t provenance.Time, now time.Time) template.HTML {
	at := template.HTMLEscapeString(when(t))
	return template.HTML(`<time datetime="` + at + `" title="` + at + `">` + ago(t, now) + `</time>`)
}

// gradePiece is the grade that is kept of an image in a list.
func gradePiece(grade string) template.HTML {
	if grade == "" {
		return `<span class="nograde" title="No grade is kept of this image. Its page makes a report.">–<span class="hidden"> no grade is kept</span></span>`
	}
	grade = template.HTMLEscapeString(grade)
	return template.HTML(`<span class="grade grade-` + grade + `"><span class="hidden">Grade </span>` + grade + `</span>`)
}

// pulledPiece is when something was pulled last, or since when pulls are counted.
func pulledPiece(p pulls, now time.Time) template.HTML {
	if p.Last != nil {
		return momentPiece(*p.Last, now)
	}
	return piece(`<span title="Pulls are counted since then: %. Nobody knows of the time before.">not since <time datetime="%">%</time></span>`,
		when(p.Since), when(p.Since), day(p.Since))
}

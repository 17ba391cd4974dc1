package policy

import (
	"strings"
	"unicode/utf8"
)

// maxSaid bounds a sentence about an answer, in bytes: clients print 199 of an error's message.
const maxSaid = 199

// remedy is what to do where what is missing is pushed beside the image, and the image is not here yet.
const remedy = ". Push by digest, sign, then tag"

// Says is an answer in a sentence: the rule, what it wants, the evidence that it missed, what to do, and who
// can change it. Evidence that does not fit is cut.
func (a Answer) Says(at Point) string {
	r := a.Rule
	begin, end := "rule "+r.Name+": ", "; "+r.Owner+" can change it"
	if at == Tag && a.Denies() && r.reads.mendedBeside() {
		end = remedy + end
	}
	middle := r.Message
	if a.Err != nil {
		middle = join(middle, "the rule gave no answer: "+a.Err.Error())
	}
	if len(a.Missed) > 0 {
		middle = join(middle, strings.Join(a.Missed, "; "))
	}
	if middle == "" {
		middle = "what it requires is not true"
	}
	return begin + shorten(plain(middle), maxSaid-len(begin)-len(end)) + end
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ": " + b
}

// plain keeps what can stand in one line of a terminal and in a header.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := max(most-3, 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimRight(s[:cut], " ") + "..."
}

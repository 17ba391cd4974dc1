// Package linediff says in which lines a text differs from another, for people.
package linediff

import (
	"fmt"
	"strings"
)

// context is how many lines that are the same stand around those that differ.
const context = 3

// most bounds the work: of texts that differ in more lines, all between the first and the last difference is told as replaced.
const most = 4 << 20

// Lines returns what leads from one text to another, as lines that begin with -, + or a blank, with @@ and the line of the new text
// before each group; nothing where they are the same.
func Lines(from, to string) []string {
	return grouped(edits(split(from), split(to)))
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// edit is a line that is there before ('-'), after ('+') or both (' ').
type edit struct {
	kind byte
	line string
	at   int // in the new text, from 1 on
}

func edits(a, b []string) (all []edit) {
	begin := 0
	for begin < len(a) && begin < len(b) && a[begin] == b[begin] {
		begin++
	}
	end := 0
	for end < len(a)-begin && end < len(b)-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	at := 1
	add := func(kind byte, lines ...string) {
		for _, line := range lines {
			all = append(all, edit{kind, line, at})
			if kind != '-' {
				at++
			}
		}
	}
	add(' ', a[:begin]...)
	middle(a[begin:len(a)-end], b[begin:len(b)-end], add)
	add(' ', a[len(a)-end:]...)
	return all
}

// middle tells the lines between the first and the last that differ, by a longest common subsequence.
func middle(a, b []string, add func(kind byte, lines ...string)) {
	if len(a)*len(b) > most {
		add('-', a...)
		add('+', b...)
		return
	}
	width := len(b) + 1
	common := make([]int32, (len(a)+1)*width) // of what is left from two places on
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			add(' ', a[i])
			i, j = i+1, j+1
		case common[(i+1)*width+j] >= common[i*width+j+1]:
			add('-', a[i])
			i++
		default:
			add('+', b[j])
			j++
		}
	}
	add('-', a[i:]...)
	add('+', b[j:]...)
}

// grouped leaves out what is the same and far from what differs.
func grouped(all []edit) (lines []string) {
	shown := -1 // the last that is
	for i, e := range all {
		if e.kind == ' ' {
			continue
		}
		from := max(shown+1, i-context)
		if from > shown+1 || shown < 0 {
			lines = append(lines, fmt.Sprintf("@@ line %d @@", all[from].at))
		}
		for ; from < min(len(all), i+context+1); from++ {
			if from > i && all[from].kind != ' ' {
				break // it has its own turn
			}
			lines = append(lines, string(all[from].kind)+all[from].line)
			shown = from
		}
	}
	return lines
}

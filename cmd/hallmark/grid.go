package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// table prints aligned columns. Every cell is cleaned: what images claim must not reach the terminal as control characters.
// A table that is wider than the terminal gets narrower: first the columns of free text are cut and then left out, then
// times lose their fractions and digests some digits. So all that is left can be given back to a command. Names are never
// cut: lines are longer then.
type table struct {
	w     io.Writer
	width int    // columns of the terminal; 0 is any number
	whole bool   // nothing is shortened
	cut   []bool // by column: it may be cut
	rows  [][]string
}

// mayCut ends the header of a column of free text, which may be cut or left out where the terminal is narrow.
const mayCut = "…"

// table begins a table on standard output, which fits the terminal.
func (e *env) table(header ...string) *table {
	t := newTable(e.stdout, header...)
	t.whole, t.width = e.noTrunc, e.columns()
	return t
}

// newTable begins a table of any width.
func newTable(w io.Writer, header ...string) *table {
	t := &table{w: w}
	for i, name := range header {
		name, flexible := strings.CutSuffix(name, mayCut)
		header[i], t.cut = name, append(t.cut, flexible)
	}
	t.row(header...)
	return t
}

// columns is how wide what is printed may be: COLUMNS, or what the terminal has; 0 where nobody looks.
func (e *env) columns() int {
	if e.noTrunc {
		return 0
	}
	if n, err := strconv.Atoi(e.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := e.stdout.(*os.File); ok && isTerminal(f) {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// colours says whether people look at standard output who want colours (no-color.org).
func (e *env) colours() bool { return isTerminal(e.stdout) && e.getenv("NO_COLOR") == "" }

// readNoTrunc takes note of --no-trunc, which every verb with a table has.
func (e *env) readNoTrunc(c *cobra.Command, _ []string) {
	e.noTrunc, _ = c.Flags().GetBool("no-trunc") // it fails where there is no such flag
}

func (t *table) row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if row[i] = clean(c); row[i] == "" {
			row[i] = "-"
		}
		if !t.whole && fullDigest.MatchString(row[i]) {
			row[i] = row[i][:shortDigest]
		}
	}
	t.rows = append(t.rows, row)
}

// shortDigest is how long digests in tables are, with their algorithm.
const shortDigest = len("sha256:") + 12

var (
	fullDigest = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	cutDigest  = regexp.MustCompile(`^(sha256|sha512):[0-9a-f]{12}$`)
	fraction   = regexp.MustCompile(`^((?:none since )?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+(Z|[+-]\d\d:\d\d)$`)
)

// narrower is a cell with fewer characters that means the same moment, but for the fraction of a second, or the same
// digest, as long as no other begins like it.
func narrower(cell string) string {
	if cutDigest.MatchString(cell) {
		return cell[:shortDigest-4]
	}
	return fraction.ReplaceAllString(cell, "$1$2")
}

// flush prints the table.
func (t *table) flush() error {
	widths := t.fit()
	var text strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			cell = shorten(cell, widths[i])
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
		fmt.Fprintln(&text, strings.TrimRight(line.String(), " "))
	}
	_, err := io.WriteString(t.w, text.String())
	return err
}

const (
	gap    = 2  // columns between two cells
	enough = 10 // of free text; less of it says nothing
)

// fit returns the width of each column; one of no width is left out.
func (t *table) fit() []int {
	widths, fits := t.squeeze()
	if fits {
		return widths
	}
	for _, row := range t.rows {
		for i := range row {
			row[i] = narrower(row[i])
		}
	}
	widths, _ = t.squeeze()
	return widths
}

// squeeze returns widths for which free text was cut, and then left out, the last column first. It says whether the table fits.
func (t *table) squeeze() (widths []int, fits bool) {
	widths = t.widths()
	if t.width == 0 {
		return widths, true
	}
	for total(widths) > t.width {
		widest := -1
		for i, w := range widths {
			if t.cut[i] && w > enough && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for i := len(widths) - 1; i >= 0 && total(widths) > t.width; i-- {
		if t.cut[i] {
			widths[i] = 0
		}
	}
	return widths, total(widths) <= t.width
}

// widths are those of the columns' widest cells, in characters.
func (t *table) widths() []int {
	widths := make([]int, len(t.cut))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func total(widths []int) int {
	sum := -gap
	for _, w := range widths {
		if w > 0 {
			sum += w + gap
		}
	}
	return sum
}

// shorten cuts a text to so many characters, and says that it did.
func shorten(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(slices.Concat(runes[:most-1], []rune("…")))
}

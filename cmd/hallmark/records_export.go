package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// exportFlags are those of `hallmark records` that make a file of what is found.
type exportFlags struct {
	format, after string
	receipts      bool
}

// formats of an export.
const (
	formatLines = "jsonl"
	formatCSV   = "csv"
)

func addExportFlags(c *cobra.Command) *exportFlags {
	f := &exportFlags{}
	c.Flags().StringVar(&f.format, "format", "", "print all that is found for other programs, oldest first: `jsonl or csv`, a record a line")
	c.Flags().BoolVar(&f.receipts, "receipts", false, "with --format, print each record with its receipt")
	c.Flags().StringVar(&f.after, "after", "", "with --format, go on behind the record with this `number`")
	return f
}

// of completes a query, and returns how many records it asks for; 0 is all.
func (f *exportFlags) of(c *cobra.Command, query url.Values, limit int) (int, error) {
	switch {
	case f.format != formatLines && f.format != formatCSV:
		return 0, usagef("--format is %s or %s, and not %q", formatLines, formatCSV, f.format)
	case c.Flags().Changed("json"):
		return 0, usagef("--json prints a list, and --format %s a record a line: take one of them", f.format)
	}
	if !c.Flags().Changed("limit") {
		limit = 0
	}
	if query.Get("order") == "" {
		query.Set("order", "asc")
	}
	if f.after != "" {
		query.Set("after", f.after)
	}
	if f.receipts {
		query.Set("receipts", "true")
	}
	return limit, nil
}

// exportTimeout bounds an export of any length. A server that stops answering ends it sooner.
const exportTimeout = 24 * time.Hour

// exportRecords prints the records that a query finds, page by page: what it holds does not grow with what it prints.
func (e *env) exportRecords(ctx context.Context, t *target, query url.Values, f *exportFlags, limit int) error {
	out := newExportWriter(e.stdout, f)
	return e.askWithin(ctx, exportTimeout, t, func(ctx context.Context, cl *client) error {
		if err := wholeFilters(ctx, cl, "/api/v1/records", query); err != nil {
			return err
		}
		last, left := f.after, limit
		for next := "/api/v1/records/export?"; next != ""; {
			query.Set("limit", strconv.Itoa(pageSize(left)))
			lines, link, err := cl.page(ctx, next+query.Encode())
			if err == nil {
				err = out.write(lines)
			}
			if err != nil {
				return resumable(err, last)
			}
			if left -= bytes.Count(lines, []byte("\n")); limit > 0 && left <= 0 || link == "" {
				return nil
			}
			if last, err = afterOf(link); err != nil {
				return err
			}
			query.Set("after", last)
		}
		return nil
	})
}

// resumable says behind which record an export that broke off can go on.
func resumable(err error, last string) error {
	if last == "" {
		return err
	}
	return fmt.Errorf("%w; what was printed ends with or before record %s: go on with --after %s", err, last, last)
}

// maxExportPage bounds a page of an export, in bytes: the server's is smaller, but for one long line.
const maxExportPage = 16 << 20

// page returns a page of lines, whole, and where the next one is, or "".
func (c *client) page(ctx context.Context, path string) (lines []byte, next string, err error) {
	resp, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	lines, err = io.ReadAll(io.LimitReader(resp.Body, maxExportPage+1))
	if err != nil || len(lines) > maxExportPage {
		return nil, "", askf("%s%s: the answer did not arrive whole, or is longer than %d bytes: %w", c.Base, path, maxExportPage, err)
	}
	return lines, resp.Header.Get("Link"), nil
}

// afterOf returns behind which record the next page begins, of a Link header.
func afterOf(link string) (string, error) {
	target, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	u, err := url.Parse(target)
	if err != nil || u.Query().Get("after") == "" {
		return "", askf("the registry's link to the next page is not understood: %.200q", link)
	}
	return u.Query().Get("after"), nil
}

// An exportWriter prints lines of an export.
type exportWriter interface{ write(lines []byte) error }

func newExportWriter(w io.Writer, f *exportFlags) exportWriter {
	if f.format == formatLines {
		return plainLines{w}
	}
	return &csvLines{csv.NewWriter(w), f.receipts, false}
}

// plainLines prints lines as they come.
type plainLines struct{ w io.Writer }

func (p plainLines) write(lines []byte) error {
	_, err := p.w.Write(lines)
	return err
}

// csvLines prints a table for spreadsheets.
type csvLines struct {
	w        *csv.Writer
	receipts bool
	begun    bool
}

// csvColumns are the columns of a CSV file.
var csvColumns = []string{
	"record", "time", "action", "repository", "tags", "digest", "kind", "actor", "account", "method", "issuer", "source", "log", "leaf",
}

func (l *csvLines) write(lines []byte) error {
	if !l.begun {
		l.begun = true
		header := slices.Clone(csvColumns)
		if l.receipts {
			header = append(header, "receipt")
		}
		if err := l.w.Write(header); err != nil {
			return err
		}
	}
	for line := range bytes.Lines(lines) {
		var of struct {
			Record  *provenance.Record
			Receipt json.RawMessage
		}
		if err := json.Unmarshal(line, &of); err != nil || of.Record == nil {
			return askf("a line that is not understood: %w", err)
		}
		row := csvRow(of.Record)
		if l.receipts {
			row = append(row, string(of.Receipt))
		}
		if err := l.w.Write(row); err != nil {
			return err
		}
	}
	l.w.Flush()
	return l.w.Error()
}

func csvRow(r *provenance.Record) []string {
	login, place := provenance.Login{}, []string{"", ""}
	if r.Authenticated != nil {
		login = *r.Authenticated
	}
	if r.Log != nil {
		place = []string{r.Log.Origin, strconv.FormatUint(r.Log.Leaf, 10)}
	}
	row := []string{
		strconv.FormatUint(r.Index, 10), r.Time.String(), string(r.Action), r.Repository, tagNames(r.Tags), r.Digest.String(),
		string(r.Actor.Kind), r.Actor.Handle, r.Actor.Account, login.Method, login.Issuer, sourceOf(r.Claimed), place[0], place[1],
	}
	for i := range row {
		row[i] = plainCell(row[i])
	}
	return row
}

// plainCell keeps a spreadsheet from reading as a formula what an image claims.
func plainCell(s string) string {
	s = clean(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

const (
	// jsonLines is the media type of one JSON value a line.
	jsonLines = "application/x-ndjson"
	// maxExport bounds a page of an export, in bytes. The last line may go beyond.
	maxExport = 4 << 20
	// maxReceipts bounds the receipts that are made in one transaction: about as many as fit into a page.
	maxReceipts = 256
)

// exportedRecord is a line of an export: a record, and its receipt where that is asked for and there is one.
type exportedRecord struct {
	Record  *provenance.Record `json:"record"`
	Receipt json.RawMessage    `json:"receipt,omitempty"`
}

// exportPage is a page of an export, ready to be sent: a client that takes it slowly holds no transaction, and one that only
// passes it on need not read it.
type exportPage struct {
	lines bytes.Buffer
	next  string
}

// exportRecords answers GET /api/v1/records/export: the records that /api/v1/records finds, one a line.
func (a *API) exportRecords(c *call) (any, error) {
	q := c.query()
	receipts := q.oneOf("receipts", "true", "false") == "true"
	find, err := a.recordQuery(c, q)
	if err != nil {
		return nil, err
	}
	if receipts {
		find.Limit = min(find.Limit, maxReceipts)
	}
	found, err := a.Records.Find(c.Context(), find)
	if err != nil {
		return nil, err
	}
	page := new(exportPage)
	next, err := page.write(a, c, found, receipts)
	page.next = c.nextRecords(next)
	return page, err
}

// write puts records on the page, up to its bound, and returns behind which the next page begins.
func (p *exportPage) write(a *API, c *call, found provenance.Page, withReceipts bool) (next *uint64, err error) {
	receipts := make([]*receipt.Receipt, len(found.Records))
	if withReceipts && len(found.Records) > 0 {
		if receipts, err = a.receiptsOf(c, found.Records); err != nil {
			return nil, err
		}
	}
	enc := json.NewEncoder(&p.lines)
	enc.SetEscapeHTML(false)
	for i, r := range found.Records {
		r.Unsigned = nil // it has to be erasable, and nobody erases it in files
		line := exportedRecord{Record: r}
		if receipts[i] != nil {
			if line.Receipt, err = receipts[i].Bundle(); err != nil {
				return nil, err
			}
		}
		if err := enc.Encode(line); err != nil {
			return nil, err
		}
		if p.lines.Len() >= maxExport && i+1 < len(found.Records) {
			return &r.Index, nil
		}
	}
	return found.Next, nil
}

// receiptsOf makes the receipts of records.
func (a *API) receiptsOf(c *call, records []*provenance.Record) ([]*receipt.Receipt, error) {
	indexes := make([]uint64, len(records))
	for i, r := range records {
		indexes[i] = r.Index
	}
	return a.Proofs.Receipts(c.Context(), indexes)
}

// send answers with the page.
func (p *exportPage) send(w http.ResponseWriter) {
	if p.next != "" {
		w.Header().Set("Link", "<"+p.next+`>; rel="next"`)
	}
	raw{jsonLines, cacheNever, p.lines.Bytes()}.write(w)
}

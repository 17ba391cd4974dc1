// Package evidence makes and reads evidence files: one file with all that an auditor needs to check where an image came from,
// offline and without trusting the file's maker.
//
// A file is an OCI image layout in a canonical tar. In it are the manifest with its config and referrers, every record about the
// image with its receipt and C2SP tlog-proof, the moves of its tag, a checkpoint of each log, the keys, the documents that
// the registry's decisions follow, its verdicts and grades, and a page that says how to check all that by hand. docs/design/evidence.md
// says what covers which byte, and what each part proves.
//
// [Write] streams a file: it holds no more than a page of records. [Open] reads one and refuses every wrong
// byte; [File.Verify] says what it proves to whom. That a file holds every record, and what holds now, only its
// maker says. The package stores nothing and asks nobody; the caller of Write decides what the reader may see.
package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// ErrRefused says that something is no evidence file, or that it does not prove what it says. An error that is none of a file's
// content, as that it cannot be read, is another one.
var ErrRefused = receipt.ErrRefused

func refusef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// Version is that of the format.
const Version = 1

// The names of the files, in their order. Those of directories end with a slash.
const (
	readmeName      = "README.md"
	blobsDir        = "blobs/"
	checkpointsDir  = "checkpoints/"
	documentsDir    = "documents/"
	coverName       = "evidence.json"
	imageName       = "image.json"
	indexName       = "index.json"
	logsName        = "keys/logs.json"
	receiptsName    = "keys/receipts.json"
	trustedRootName = "keys/trusted_root.json"
	layoutName      = "oci-layout"
	recordsDir      = "records/"
	reportName      = "report.json"
	sumsName        = "sha256sums"
)

// The suffixes of the two files of a record.
const (
	receiptSuffix = ".json"
	proofSuffix   = ".tlog-proof"
)

// recordName is the name of the files of a record, without their suffixes: names sort as numbers do.
func recordName(index uint64) string { return fmt.Sprintf("%s%012d", recordsDir, index) }

func isBlob(name string) bool { return strings.HasPrefix(name, blobsDir) }

func blobName(d digest.Digest) string {
	return blobsDir + d.Algorithm().String() + "/" + d.Encoded()
}

// The names of documents.
const (
	Policy = "policy.yaml" // the file of rules
	Trust  = "trust"       // the file that says whom to trust, and behind it the files that it names
	Access = "access.json" // who may do what
)

// A Cover is evidence.json: what the file holds. What the receipts do not prove of it is the word of who made it.
type Cover struct {
	Version    int           `json:"version"`
	Registry   string        `json:"registry"` // the URL of who made it
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"` // by which the image was asked for
	Digest     digest.Digest `json:"digest"`
	MediaType  string        `json:"mediaType"`
	Size       int64         `json:"size"` // of the manifest, in bytes
	// Layers says that the image is in it, and not its manifests, configs and referrers alone.
	Layers bool `json:"layers"`
	// Records are the indexes of all records in it; Unproved those from before there was a log, which have no receipt and are
	// not in it.
	Records   []uint64   `json:"records"`
	Unproved  []uint64   `json:"unproved,omitempty"`
	Documents []Document `json:"documents,omitempty"`
	LeftOut   []LeftOut  `json:"leftOut,omitempty"`
	Says      Word       `json:"exporterSays"`
}

// A Document is a file by which the registry decides.
type Document struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Record *uint64       `json:"record,omitempty"` // which put it in force; absent where none does
}

// LeftOut is something that is not in the file, and why.
type LeftOut struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// A Word is what nothing in the file proves: who made it says so.
type Word struct {
	Made         provenance.Time `json:"made"`         // by its clock
	Program      string          `json:"program"`      // that made it, with its version
	EveryRecord  bool            `json:"everyRecord"`  // that no record about the image is missing, but for what is left out
	NewestRecord uint64          `json:"newestRecord"` // of the registry, when it was made
	StandingNow  bool            `json:"standingNow"`  // that the tag, the documents, report.json and image.json are as of then
}

func (c *Cover) encode() []byte {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(err) // a bug: all of it can be encoded
	}
	return append(text, '\n')
}

// encodeJSON is what files of the layout are written as.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

func sortBy[T any](all []T, name func(T) string) {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
}

// readmeOf makes the page for anyone who has not this program.
func readmeOf(c *Cover) ([]byte, error) {
	var b bytes.Buffer
	err := readme.Execute(&b, c)
	return b.Bytes(), err
}

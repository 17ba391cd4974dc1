package storage

import (
	"context"
	"io"
	"iter"
	"os"
	"time"
)

// An Adopter is a Blobs that can take in a file without writing its bytes again.
type Adopter interface {
	// Adopt starts an upload that has all bytes of a file, which nobody has looked at. The upload shares their room on the disk with the
	// file, and no change of the one changes the other. Error: errors.ErrUnsupported, where that cannot be had for this file; then
	// nothing has come.
	Adopt(ctx context.Context, file *os.File) (Readable, error)
}

// An Away is Blobs whose blobs clients can fetch from where they are.
type Away interface {
	// URL is where anybody can fetch a sealed blob, or a range of it, with GET and without keys, until it has lasted so long; "" where that
	// is not worth a request of its own. Whoever has it can pass it on. Errors are those of Open.
	URL(ctx context.Context, at Location, lasts time.Duration) (string, error)
}

type piecesKey struct{}

// InPieces is a context for an Open of whom not all of a blob is read, from its beginning on: what is behind a network does not begin to send
// it all.
func InPieces(ctx context.Context) context.Context { return context.WithValue(ctx, piecesKey{}, true) }

// AreInPieces says whether a context is InPieces.
func AreInPieces(ctx context.Context) bool { return ctx.Value(piecesKey{}) != nil }

// A Location says where Blobs keeps one sealed blob. It is opaque to everyone but the engine, made anew
// for each upload and never used again, so that removing it twice can never remove somebody else's bytes.
type Location string

// Blobs keeps byte strings of any size. Bytes arrive in an upload, which can be left and resumed, also by
// a later process; sealing makes them durable and gives them a Location. It is safe for concurrent use.
//
// If the process stops between Seal and the Update that records the Location, the sealed bytes belong to
// nobody. Leftovers shows them to a later process.
type Blobs interface {
	// Create starts an upload.
	Create(ctx context.Context) (Upload, error)

	// Resume opens an upload to append to it. Errors: ErrNotFound; ErrBusy when it is already open.
	Resume(ctx context.Context, id string) (Upload, error)

	// Stat tells how far an upload has come, also while somebody writes to it. Error: ErrNotFound.
	Stat(ctx context.Context, id string) (UploadInfo, error)

	// Uploads yields the uploads of this process, those that are open included, and the earlier ones that
	// were resumed or that Leftovers came by, in no order.
	Uploads(ctx context.Context) iter.Seq2[UploadInfo, error]

	// Open opens a sealed blob for reading, which ends with ctx. Errors: ErrNotFound; here and while it is read,
	// ErrCorrupt where the disk cannot give what it was given.
	Open(ctx context.Context, at Location) (Blob, error)

	// Length returns the size of a sealed blob in bytes, for less than Open: what is behind a network is not asked, so
	// Open alone sees that it is gone. Error: ErrNotFound.
	Length(ctx context.Context, at Location) (int64, error)

	// Remove deletes a sealed blob. Removing what is not there is no error.
	Remove(ctx context.Context, at Location) error

	// Leftovers yields, in no order, what earlier processes left that is no upload and no blob that named
	// names. It goes through all that they made. Each Location that somebody may still Open must be among
	// the named, from before the call to its end; those of this process need not.
	Leftovers(ctx context.Context, named iter.Seq2[Location, error]) iter.Seq2[Leftover, error]

	// Free returns how many bytes can still be written, and the size of the whole disk.
	Free() (free, size uint64, err error)
}

// An UploadInfo describes an upload.
type UploadInfo struct {
	ID       string
	Size     int64     // bytes received so far
	Modified time.Time // when it last grew
}

// A Leftover belongs to nobody.
type Leftover struct {
	At     Location // for Remove
	Size   int64
	Unused bool // prepared for an upload that never came, as any process leaves some
}

// An Upload receives the bytes of one blob. It is not safe for concurrent use. Exactly one of Seal,
// Cancel and Close ends it; calling Close or Cancel after that is harmless. It is a [Readable] or a [Summed] one.
//
// If the process stops before Close, a later one resumes it where it last was durable, which may be at 0.
type Upload interface {
	// Write appends. After an error the upload holds what Size says, which may be less than it was.
	io.Writer

	// ID names the upload to Resume and Stat: at most 40 lower-case letters, digits and '.'.
	ID() string

	// Size is the number of bytes received, over all sessions.
	Size() int64

	// Seal makes the bytes durable under a new location. The label, at least three lower-case letters,
	// digits and '-' (a digest, say), is what the location begins with, for anyone who reads one. On any
	// error (ErrFull is one) the bytes are not stored and the upload is gone.
	Seal(ctx context.Context, label string) (Location, error)

	// Cancel drops the upload and its bytes.
	Cancel() error

	// Close leaves the upload for a later Resume. After an error that begins where it last was durable.
	Close() error
}

// A Readable upload is read back to hash it, or to compare it.
type Readable interface {
	Upload
	io.ReaderAt
}

// A Summed upload cannot be read back, because it is in an object store. So it hashes what comes, and keeps the running
// hashes with it.
type Summed interface {
	Upload

	// Sum returns the hash of all bytes by an algorithm, sha256 or sha512, or nil of any other.
	Sum(algorithm string) []byte

	// Held returns all bytes, where they are so few that none has gone to the object store, and nil else.
	Held() ([]byte, error)
}

// A Blob is an open sealed blob.
type Blob interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
	Size() int64
}

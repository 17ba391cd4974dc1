package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// manifests is a Content of manifests alone.
type manifests map[string][]byte

var errAbsent = errors.New("absent")

func (m manifests) Manifest(_ context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	body, ok := m[ref]
	if !ok {
		return ocispec.Descriptor{}, nil, errAbsent
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body))}, body, nil
}

func (manifests) Referrers(context.Context, digest.Digest, int) ([]ocispec.Descriptor, error) {
	return nil, nil
}

func (manifests) Blob(context.Context, digest.Digest) (io.ReadCloser, int64, error) {
	return nil, 0, errAbsent
}

func (manifests) Absent(err error) bool { return errors.Is(err, errAbsent) }

// TestManifestsHeld makes a layout of an index whose manifests are large: what is held in memory is bounded, and what is left
// out for that is named.
func TestManifestsHeld(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	const each, listed = 3 << 20, 30
	content, index := manifests{}, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	for i := range listed {
		body, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": []any{},
			"annotations": map[string]string{"n": strings.Repeat("x", each), "i": string(rune('a' + i))},
		})
		if err != nil {
			t.Fatal(err)
		}
		d := digest.FromBytes(body)
		content[d.String()] = body
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(body))})
	}
	index.SchemaVersion = 2
	body, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	l, err := gather(context.Background(), content, ref{desc: ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(body)}, body: body}, false)
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, m := range l.manifests {
		held += len(m)
	}
	if held > maxHeld+4<<20 || len(l.manifests)+len(l.leftOut) != listed+1 || len(l.leftOut) == 0 || l.leftOut[0].Why != tooMany {
		t.Errorf("%d bytes of %d manifests are held, %d left out: %v", held, len(l.manifests), len(l.leftOut), l.leftOut)
	}
}

// TestLeftOutIsBounded makes a layout of an index that lists more manifests than are named as left out: the last entry says that there
// are others.
func TestLeftOutIsBounded(t *testing.T) {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for i := range 3 * maxLeftOut {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(strconv.Itoa(i)), Size: 3})
	}
	body, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	l, err := gather(context.Background(), manifests{}, ref{desc: ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(body)}, body: body}, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(l.leftOut); n != maxLeftOut+1 || l.leftOut[maxLeftOut] != (LeftOut{"further manifests and blobs", "a file names up to 1000 that it leaves out"}) {
		t.Errorf("%d are named, the last is %+v", n, l.leftOut[n-1])
	}
}

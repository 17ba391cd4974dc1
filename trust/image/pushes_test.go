package image

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// busy is a repository with so many pushes, of which the i-th is of an image of 1000+i bytes. It counts what is read.
type busy struct {
	pushes, read int
	now          time.Time
}

func (b *busy) record(i int) *provenance.Record {
	return &provenance.Record{
		Index: uint64(i), Action: provenance.Push, Digest: digest.FromString(fmt.Sprint(i)), Time: provenance.At(b.now.Add(time.Duration(i-b.pushes) * time.Hour)),
		Tags: []provenance.TagMove{{Name: fmt.Sprint("1.", i)}}, Observed: provenance.Observation{ImageSize: int64(1000 + i)},
	}
}

func (b *busy) Find(_ context.Context, q provenance.Query) (page provenance.Page, _ error) {
	i := b.pushes - 1
	if q.After != nil {
		i = int(*q.After) - 1
	}
	for ; i >= 0; i-- {
		if len(page.Records) == q.Limit {
			page.Next = &page.Records[q.Limit-1].Index
			break
		}
		page.Records = append(page.Records, b.record(i))
	}
	b.read += len(page.Records)
	return page, nil
}

func (*busy) Acts(context.Context, provenance.ActsOf) (provenance.Acts, error) {
	return provenance.Acts{}, nil
}

// TestReadsFewPushes compares an old image of a busy repository with those before it, without reading all that came since.
func TestReadsFewPushes(t *testing.T) {
	b := &busy{pushes: 5000, now: time.Now()}
	for _, at := range []int{4999, 4990, 1000, 3} {
		b.read = 0
		desc := ocispec.Descriptor{Digest: b.record(at).Digest}
		s := &subject{desc: desc, platforms: []*platform{{desc: desc}}, now: b.now, about: []*provenance.Record{b.record(at)}}
		s.Records, s.Repository = b, "team/app"
		if err := s.readPushes(t.Context()); err != nil {
			t.Fatal(err)
		}
		sizes := s.sizesBefore(s.platforms[0])
		if want := min(at, enoughEarlier); len(sizes) != want || sizes[0] != int64(1000+at-1) {
			t.Errorf("image %d is compared with %v", at, sizes)
		}
		if len(s.lately()) < enoughImages || b.read > 3*pushStep {
			t.Errorf("image %d: %d images lately, %d records read", at, len(s.lately()), b.read)
		}
	}
}

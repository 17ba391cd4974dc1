package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestKilledWhileImporting kills a server again and again while it imports, and wants everything to be there in the end, each tag with
// one record.
func TestKilledWhileImporting(t *testing.T) {
	t.Parallel()
	killedWhileImporting(t, 600, 8)
}

func killedWhileImporting(t *testing.T, many, kills int) {
	t.Helper()
	layout := layoutOfMany(t, many)
	v := newVictim(t)
	for range kills {
		var asked sync.WaitGroup
		ctx, end := context.WithCancel(t.Context())
		asked.Go(func() { _, _ = v.imports(ctx, layout) }) // its answer is lost with the server
		time.Sleep(time.Duration(200+rand.IntN(1200)) * time.Millisecond)
		v.kill()
		end() // without a server, the command would work on the files itself
		asked.Wait()
		v.start()
	}
	before := len(v.imported(t.Context()))
	first, err := v.imports(t.Context(), layout)
	if err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	t.Logf("%d of %d came within %d kills; then %s", before, many, kills, first)
	if second, err := v.imports(t.Context(), layout); err != nil || !strings.Contains(second, fmt.Sprintf(" 0 came, %d were here", many)) {
		t.Errorf("%v: %s", err, second)
	}
	records := v.imported(t.Context())
	if len(records) != many {
		t.Errorf("%d tags are on record, want %d", len(records), many)
	}
	for what, n := range records {
		if n != 1 {
			t.Errorf("%s has %d records", what, n)
		}
	}
	waitForClean(t, v.program, v.dir)
}

// layoutOfMany writes an OCI image layout with images of two layers of their own and one that all share.
func layoutOfMany(t *testing.T, many int) string {
	t.Helper()
	dir := t.TempDir()
	put := func(mediaType string, content []byte) ocispec.Descriptor {
		d := digest.FromBytes(content)
		name := filepath.Join(dir, "blobs", "sha256", d.Encoded())
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	}
	putJSON := func(mediaType string, value any) ocispec.Descriptor {
		content, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return put(mediaType, content)
	}
	version := specs.Versioned{SchemaVersion: 2}
	config, shared := put(ocispec.MediaTypeImageConfig, []byte("{}")), put(ocispec.MediaTypeImageLayer, []byte("shared"))
	index := ocispec.Index{Versioned: version}
	for i := range many {
		m := ocispec.Manifest{Versioned: version, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{
			shared, put(ocispec.MediaTypeImageLayer, fmt.Append(nil, "one of ", i)), put(ocispec.MediaTypeImageLayer, fmt.Append(nil, "two of ", i)),
		}}
		d := putJSON(m.MediaType, m)
		d.Annotations = map[string]string{ocispec.AnnotationRefName: fmt.Sprintf("t%03d", i)}
		index.Manifests = append(index.Manifests, d)
	}
	list := putJSON("", index)
	if err := os.Rename(filepath.Join(dir, "blobs", "sha256", list.Digest.Encoded()), filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// imports runs the verb.
func (v *victim) imports(ctx context.Context, layout string) (string, error) {
	out, err := exec.CommandContext(ctx, v.program, "import", "--data", v.dir, "--into", "team/app", layout).CombinedOutput()
	return string(out), err
}

// imported counts the records of each tag and digest.
func (v *victim) imported(ctx context.Context) map[string]int {
	v.t.Helper()
	all := map[string]int{}
	for _, r := range v.records(ctx, "") {
		all[fmt.Sprint(r.Action, " ", tagNames(r.Tags), " ", r.Digest)]++
	}
	return all
}

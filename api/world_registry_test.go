package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// testImage is an image with one layer.
type testImage struct {
	mediaType     string
	manifest      []byte
	digest        digest.Digest
	config, layer []byte
}

// app is in team/app, under the tag 1.0; other is an image that somebody says to be on it.
var app, other = newTestImage("app"), newTestImage("other")

func newTestImage(name string) testImage {
	i := testImage{mediaType: ocispec.MediaTypeImageManifest, layer: []byte("layer of " + name)}
	i.config = fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY"},{"empty_layer":true}]}`,
		digest.FromBytes(i.layer))
	i.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		i.mediaType, configOCI, digest.FromBytes(i.config), len(i.config), ocispec.MediaTypeImageLayer, digest.FromBytes(i.layer), len(i.layer))
	i.digest = digest.FromBytes(i.manifest)
	return i
}

func (i testImage) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: i.mediaType, Digest: i.digest, Size: int64(len(i.manifest))}
}

// Repositories implements Images.
func (w *world) Repositories(_ context.Context, _ provenance.Identity, last string, n int) (names []string, next string, err error) {
	names = []string{"team/app", "team/web"}
	if last == "team/app" {
		names = names[1:]
	}
	if len(names) > n {
		names, next = names[:n], names[n-1]
	}
	return names, next, w.asked()
}

// RepositoriesFrom implements Images: with many, there are more than are sorted.
func (w *world) RepositoriesFrom(ctx context.Context, who provenance.Identity, prefix, last string, n int) (names []string, next string, err error) {
	names, next, err = w.Repositories(ctx, who, last, n)
	if prefix == "many" {
		return nil, "many", err
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) }), next, err
}

// RepositoriesNamed implements Images.
func (w *world) RepositoriesNamed(_ context.Context, names []string) (there []string, err error) {
	return names, w.asked()
}

// UsageOf implements Images.
func (w *world) UsageOf(_ context.Context, repos []string) ([]registry.Usage, error) {
	used := make([]registry.Usage, len(repos))
	for i := range used {
		used[i] = registry.Usage{Blobs: 2, BlobBytes: 1000, Manifests: 1, ManifestBytes: 100, Tags: 1}
	}
	return used, w.asked()
}

// Quotas, QuotasOf, SetQuota, RemoveQuota and Rooms implement Quotas. A quota of team/** is new, and others are not.
func (w *world) Quotas(context.Context) ([]registry.QuotaUse, error) {
	return []registry.QuotaUse{{Quota: registry.Quota{Pattern: access.Everything, Bytes: 5000}, UsedBytes: 1100, UsedTags: 1}}, w.asked()
}

func (w *world) QuotasOf(ctx context.Context, _ string) ([]registry.QuotaUse, error) {
	return w.Quotas(ctx)
}

func (w *world) SetQuota(_ context.Context, _ provenance.Identity, q registry.Quota) (bool, error) {
	return q.Pattern.String() == "team/**", w.asked()
}

func (w *world) RemoveQuota(context.Context, provenance.Identity, access.Pattern) error {
	return w.asked()
}

func (w *world) Rooms(_ context.Context, _ access.Pattern, _ []byte, n int) (rooms []registry.Room, next []byte, err error) {
	if n == 1 {
		next = []byte("team/app")
	}
	return []registry.Room{{Repository: "team/app", Usage: registry.Usage{BlobBytes: 1000}, Unique: 800, Shared: 200, Freed: 800}}, next, w.asked()
}

// Named implements Images.
func (w *world) Named(_ context.Context, q registry.NameQuery) (page registry.NamePage, err error) {
	n := registry.NameEntry{Repository: "team/app"}
	if q.Tags {
		n.TagEntry = registry.TagEntry{Name: "1.0", Digest: app.digest}
	}
	if slices.Contains(q.Words, "app") && w.May(q.Who, access.Pull, n.Repository) && q.After == nil {
		page.Names = []registry.NameEntry{n}
		if q.Limit == 1 {
			page.Next, page.Behind = []byte("team/app"), 1
		}
	}
	return page, w.asked()
}

// Tags implements Images.
func (w *world) Tags(_ context.Context, repo string, q registry.TagQuery) (tags []registry.TagEntry, next string, err error) {
	if err := w.there(repo, ""); err != nil {
		return nil, "", err
	}
	if q.Limit == 1 {
		next = "1.0"
	}
	return []registry.TagEntry{{Name: "1.0", Digest: app.digest, Record: 0}}, next, nil
}

// Protections implements Images: the first of some tags is held.
func (w *world) Protections(_ context.Context, _ string, tags []registry.TagEntry, now time.Time) ([]registry.Protection, error) {
	all := make([]registry.Protection, len(tags))
	if len(all) > 0 {
		all[0].Held = provenance.At(now.Add(time.Hour))
	}
	return all, w.asked()
}

// TagsNamed implements Images.
func (w *world) TagsNamed(context.Context, string, []string) ([]registry.TagEntry, error) {
	return []registry.TagEntry{{Name: "1.0", Digest: app.digest, Record: 0}}, w.asked()
}

// Beside implements Images.
func (w *world) Beside(_ context.Context, images []registry.RepoDigest) ([]registry.Beside, error) {
	list := make([]registry.Beside, len(images))
	for i := range list {
		list[i] = registry.Beside{Present: true, Tags: []string{"sha256-x.sig"}, Attached: []registry.Attached{{Digest: other.digest, ArtifactType: "application/x"}}, Cut: true}
	}
	return list, w.asked()
}

// Deletable implements Images.
func (w *world) Deletable(_ context.Context, repo string, d digest.Digest) (registry.Deletable, error) {
	attached := []registry.Attached{{Digest: other.digest, ArtifactType: "application/x"}}
	along := []registry.Belonging{
		{Digest: other.digest, MediaType: "application/x", ArtifactType: "application/x", Tags: []string{"sha256-x.sig"}, To: d},
		{Digest: app.digest, MediaType: "application/x", To: other.digest, Lists: true},
	}
	return registry.Deletable{
		Tags: []string{"1.0"}, Lists: 1, Attached: attached, Refused: "no", ListedBy: other.digest,
		Along: along, AlongID: other.digest, AlongRefused: "no",
	}, w.there(repo, d.String())
}

// DeletableTag implements Images.
func (w *world) DeletableTag(_ context.Context, repo, tag string) (means digest.Digest, refused string, err error) {
	return app.digest, "no", w.there(repo, tag)
}

// Refused implements Images.
func (w *world) Refused() map[string]uint64 { return map[string]uint64{"never": 2} }

// Grades implements Policy.
func (w *world) Grades(_ context.Context, images []registry.RepoDigest) ([]trust.Grade, error) {
	grades := make([]trust.Grade, len(images))
	for i := range grades {
		grades[i] = "B"
	}
	return grades, w.asked()
}

// KeepReport implements Policy.
func (w *world) KeepReport(string, digest.Digest) {}

// there is an error where a question fails, or what it is about is not there.
func (w *world) there(repo, ref string) error {
	if err := w.asked(); err != nil {
		return err
	}
	if repo != "team/app" || ref != "" && ref != "1.0" && ref != app.digest.String() {
		return fmt.Errorf("%s: %w", ref, registry.ErrUnknown)
	}
	return nil
}

// DigestsLike implements Images.
func (w *world) DigestsLike(_ context.Context, repo, prefix string, _ int) ([]digest.Digest, error) {
	if prefix == "sha256:0000000" {
		return nil, w.asked()
	}
	return []digest.Digest{app.digest}, w.there(repo, "")
}

// Image implements Images.
func (w *world) Image(_ context.Context, repo, ref string) (*registry.Image, error) {
	if err := w.there(repo, ref); err != nil {
		return nil, err
	}
	return &registry.Image{Digest: app.digest, MediaType: app.mediaType, Size: int64(len(app.manifest)), Tags: []string{"1.0"}}, nil
}

// Presences implements Images.
func (w *world) Presences(_ context.Context, images []registry.RepoDigest) ([]registry.Presence, error) {
	presences := make([]registry.Presence, len(images))
	for i, p := range images {
		presences[i].Present = p.Repository == "team/app"
	}
	return presences, w.asked()
}

// Manifest implements Content.
func (w *world) Manifest(_ context.Context, repo, ref string) (ocispec.Descriptor, []byte, error) {
	return app.descriptor(), app.manifest, w.there(repo, ref)
}

// BlobInto implements Content.
func (w *world) BlobInto(_ context.Context, _ string, d digest.Digest, _ int64, _ func(int) ([]byte, error)) ([]byte, error) {
	if err := w.asked(); err != nil {
		return nil, err
	}
	for _, blob := range [][]byte{app.config, app.layer} {
		if digest.FromBytes(blob) == d {
			return blob, nil
		}
	}
	return nil, registry.ErrUnknown
}

// Blob implements Content.
func (w *world) Blob(ctx context.Context, repo string, d digest.Digest) (io.ReadCloser, int64, error) {
	body, err := w.BlobInto(ctx, repo, d, 0, nil)
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), err
}

// Measure implements Content.
func (w *world) Measure(context.Context, string, digest.Digest) (int64, []provenance.WrongSize, error) {
	return int64(len(app.config) + len(app.layer)), nil, w.asked()
}

// ReferrersOf implements Content.
func (w *world) ReferrersOf(context.Context, string, digest.Digest, int) ([]ocispec.Descriptor, error) {
	return nil, w.asked()
}

// Fixed implements Content.
func (w *world) Fixed(context.Context, string, string) (string, error) { return "", w.asked() }

// BasesByLayers implements Layers.
func (w *world) BasesByLayers(context.Context, registry.RepoDigest, func(string) bool) ([]registry.LayerBase, error) {
	place := registry.RepoDigest{Repository: "team/app", Digest: other.digest}
	return []registry.LayerBase{{Layered: registry.Layered{RepoDigest: place}, Layers: 1}}, w.asked()
}

// OnLayers implements Layers.
func (w *world) OnLayers(context.Context, registry.RepoDigest, func(string) bool, int) ([]registry.Layered, bool, error) {
	place := registry.RepoDigest{Repository: "team/app", Digest: other.digest}
	return []registry.Layered{{RepoDigest: place, DiffIDs: true}}, false, w.asked()
}

// Rules implements Policy.
func (w *world) Rules() *policy.Set { return w.rules }

// Try implements Policy.
func (w *world) Try(_ context.Context, set *policy.Set, repo string, tag provenance.TagMove, d digest.Digest, _ provenance.Identity) ([]policy.Result, error) {
	return nil, w.asked()
}

// PullsOf and ForgetPulls implement Puller: what is there was pulled twice on one day.
func (w *world) PullsOf(_ context.Context, refs []registry.PullRef) ([]registry.Pulls, error) {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	all := make([]registry.Pulls, len(refs))
	for i := range refs {
		all[i] = registry.Pulls{Since: day, Last: day, Days: []registry.PullDay{{Day: day, Pulls: 2}, {Day: day.Add(-2 * lately), Pulls: 7}}}
	}
	return all, w.asked()
}

func (w *world) ForgetPulls(context.Context, string) error { return w.asked() }

// ScrubNow and ScrubStatus implement Scrubber.
func (w *world) ScrubNow() {}

func (w *world) ScrubStatus(context.Context) (registry.ScrubStatus, error) {
	return registry.ScrubStatus{Every: "168h", Damaged: []registry.Damage{}}, w.asked()
}

// checkStore and checkImages are checks: one that finds something, and one that counts.
func (w *world) checkStore(_ context.Context, bad func(error)) error {
	bad(errors.New("a page is lost"))
	return w.asked()
}

func (w *world) checkImages(context.Context, bool, func(error)) (registry.Checked, error) {
	return registry.Checked{Repositories: 1, Manifests: 1, Tags: 1, Blobs: 2, Bytes: 7}, w.asked()
}

// worldHeld is what is held in the world: team/app has one more behind it.
func worldHeld() registry.Held {
	return registry.Held{Repository: "team/app", Digest: app.digest, Until: worldTime, Reason: "an audit", Record: 4, By: worldUser("alice").Actor}
}

// Hold, Release and HeldImages implement Holds.
func (w *world) Hold(context.Context, provenance.Identity, string, digest.Digest, time.Time, string) (*provenance.Record, error) {
	return &provenance.Record{Index: 4, Actor: worldUser("alice").Actor}, w.asked()
}

func (w *world) Release(context.Context, provenance.Identity, string, digest.Digest) (*provenance.Record, error) {
	return &provenance.Record{Index: 5}, w.asked()
}

func (w *world) HeldImages(_ context.Context, _ string, after *registry.RepoDigest, n int) (list []registry.Held, next *registry.RepoDigest, err error) {
	if after == nil && n == 1 {
		next = &registry.RepoDigest{Repository: "team/app", Digest: app.digest}
	}
	return []registry.Held{worldHeld()}, next, w.asked()
}

// TrashPage implements Trash: other was deleted in team/app, and something in a repository that bob may not see.
func (w *world) TrashPage(_ context.Context, q registry.TrashQuery) (found []registry.TrashEntry, next []byte, err error) {
	for _, repo := range []string{"secret/app", "team/app"} {
		if q.Visible(repo) && (q.Repository == "" || q.Repository == repo) && q.After == nil {
			found = append(found, registry.TrashEntry{RepoDigest: registry.RepoDigest{Repository: repo, Digest: other.digest}, MediaType: other.mediaType, Size: 1, Tags: []string{"old"}})
		}
	}
	if len(found) > q.Limit {
		found, next = found[:q.Limit], []byte("more")
	}
	return found, next, w.asked()
}

// InTrash implements Trash: nothing is there.
func (w *world) InTrash(context.Context, string, digest.Digest) (*registry.TrashEntry, error) {
	return nil, w.asked()
}

// Undelete implements Trash: other can be brought back.
func (w *world) Undelete(_ context.Context, _ provenance.Identity, _ *http.Request, repo, ref string) (u registry.Undeleted, err error) {
	if ref != other.digest.String() {
		return u, cmp.Or(w.asked(), error(registry.ErrUnknown))
	}
	r := provenance.Record{Index: 7, Digest: other.digest, Repository: repo, Tags: []provenance.TagMove{{Name: "old", Now: other.digest}}}
	return registry.Undeleted{Digest: other.digest, Records: []*provenance.Record{&r}, Left: []string{"new"}}, w.asked()
}

// Empty implements Trash.
func (w *world) Empty(context.Context, registry.Emptying) (int, error) { return 1, w.asked() }

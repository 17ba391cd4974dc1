package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	importLayer   = 4 << 10 // bytes of each of the 3 layers
	perImportRepo = 500     // images of a repository
)

// runImport imports so many images from a data directory of distribution's registry, and at most 500 of them from that registry, running,
// beside `skopeo sync` and `regctl` into an empty one, where these are installed.
func runImport(ctx context.Context, program, upstream, dir string, images int) error {
	if err := writeRegistry(filepath.Join(dir, "source", "data"), images); err != nil {
		return err
	}
	fmt.Printf("| %d images of 3 layers of %d KiB | images/s | CPU an image | RssAnon at most |\n| --- | --: | --: | --: |\n", images, importLayer>>10)
	err := importInto(ctx, program, filepath.Join(dir, "from-directory"), "from its data directory", images, filepath.Join(dir, "source", "data"))
	if err != nil {
		return err
	}
	few := max(min(images/5, 500), 1)
	if err := writeRegistry(filepath.Join(dir, "running", "data"), few); err != nil {
		return err
	}
	from, err := startUpstream(ctx, upstream, filepath.Join(dir, "running"))
	if err != nil {
		return err
	}
	defer from.stop()
	return errors.Join(
		importInto(ctx, program, filepath.Join(dir, "from-registry"), fmt.Sprintf("%d from the registry, running", few), few,
			"--rate", "100000", "--source-ca", filepath.Join(from.dir, "cert.pem"), from.address),
		syncInto(ctx, upstream, filepath.Join(dir, "synced"), from, few),
		copyInto(ctx, upstream, filepath.Join(dir, "copied"), from, few),
	)
}

// writeRegistry writes images as distribution's registry keeps them.
func writeRegistry(dir string, n int) error {
	v2 := filepath.Join(dir, "docker", "registry", "v2")
	for first := 0; first < n; first += perImportRepo {
		repo := fmt.Sprintf("team/app-%d", first/perImportRepo)
		images, err := newImagesOf(repo, importLayer, first, min(perImportRepo, n-first))
		if err != nil {
			return err
		}
		for _, img := range images {
			if err := img.write(v2); err != nil {
				return err
			}
		}
	}
	return nil
}

func (img image) write(v2 string) error {
	manifest := newContent(img.text, nil)
	repo := filepath.Join(v2, "repositories", img.repo)
	for _, b := range append(img.blobs(), manifest) {
		hex := digest.Digest(b.digest).Encoded()
		err := errors.Join(
			writeFile(filepath.Join(v2, "blobs", "sha256", hex[:2], hex, "data"), append(b.head[:len(b.head):len(b.head)], b.tail...)),
			writeFile(filepath.Join(repo, "_layers", "sha256", hex, "link"), []byte(b.digest)),
		)
		if err != nil {
			return err
		}
	}
	manifests := filepath.Join(repo, "_manifests")
	return errors.Join(
		writeFile(filepath.Join(manifests, "revisions", "sha256", digest.Digest(manifest.digest).Encoded(), "link"), []byte(manifest.digest)),
		writeFile(filepath.Join(manifests, "tags", img.tag, "current", "link"), []byte(manifest.digest)),
		writeFile(filepath.Join(manifests, "tags", img.tag, "index", "sha256", digest.Digest(manifest.digest).Encoded(), "link"), []byte(manifest.digest)),
	)
}

func writeFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o600)
}

// importInto imports into a new registry, and prints what that took.
func importInto(ctx context.Context, program, data, what string, images int, from ...string) error {
	s, err := startHallmark(ctx, program, data)
	if err != nil {
		return err
	}
	defer s.stop()
	return s.rated(what, images, exec.CommandContext(ctx, program, append([]string{"import", "--data", data}, from...)...))
}

// rated runs a command that brings images to a server, and prints how fast it did.
func (s *server) rated(what string, images int, cmd *exec.Cmd) error {
	before, err := s.cpuSeconds()
	if err != nil {
		return err
	}
	stop := s.watchMemory()
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err = errors.Join(err, stop()); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	after, err := s.cpuSeconds()
	fmt.Printf("| %s | %s | %s | %s MB |\n", what, number(float64(images)/took.Seconds()), cpuTime((after-before)/float64(images)), number(float64(s.peak)/1e6))
	return err
}

// syncInto is what skopeo does with the same images, into an empty registry of the same kind.
func syncInto(ctx context.Context, upstream, dir string, from *server, images int) error {
	if _, err := exec.LookPath("skopeo"); err != nil {
		fmt.Println("| skopeo sync (not installed) | | | |")
		return nil
	}
	to, err := startUpstream(ctx, upstream, dir)
	if err != nil {
		return err
	}
	defer to.stop()
	list := fmt.Sprintf("%q:\n  tls-verify: false\n  images:\n", from.address)
	for first := 0; first < images; first += perImportRepo {
		list += fmt.Sprintf("    team/app-%d: []\n", first/perImportRepo)
	}
	file := filepath.Join(dir, "sync.yml")
	if err := writeFile(file, []byte(list)); err != nil {
		return err
	}
	return to.rated("`skopeo sync` of these", images,
		exec.CommandContext(ctx, "skopeo", "sync", "--dest-tls-verify=false", "--src", "yaml", "--dest", "docker", file, to.address))
}

// copies is how many images regctl copies at the same time: as many as Hallmark asks a registry for.
const copies = 8

// copyInto is what regctl does with the same images, one call for each, into an empty registry of the same kind. It is looked for beside upstream's
// registry, and on the path.
func copyInto(ctx context.Context, upstream, dir string, from *server, images int) error {
	regctl := filepath.Join(filepath.Dir(upstream), "regctl")
	if _, err := os.Stat(regctl); err != nil {
		if regctl, err = exec.LookPath("regctl"); err != nil {
			fmt.Println("| `regctl image copy` (not installed) | | | |")
			return nil
		}
	}
	to, err := startUpstream(ctx, upstream, dir)
	if err != nil {
		return err
	}
	defer to.stop()
	config := fmt.Sprintf(`{"version":1,"hosts":{%[1]q:{"tls":"insecure","hostname":%[1]q},%[2]q:{"tls":"insecure","hostname":%[2]q}}}`, from.address, to.address)
	file, list := filepath.Join(dir, "regctl.json"), ""
	for i := range images {
		ref := fmt.Sprintf("/team/app-%d:v%d", i/perImportRepo, i)
		list += from.address + ref + " " + to.address + ref + "\n"
	}
	if err := writeFile(file, []byte(config)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "xargs", "-P", strconv.Itoa(copies), "-n", "2", regctl, "image", "copy")
	cmd.Stdin, cmd.Env = strings.NewReader(list), append(os.Environ(), "REGCTL_CONFIG="+file)
	return to.rated(fmt.Sprintf("`regctl image copy` of each, %d at a time", copies), images, cmd)
}

package provenance

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// MaxConfig is the size in bytes above which an image's config is not read for claims.
const MaxConfig = 4 << 20

// A Config is an image's config, as far as it is asked. Most of one is its history, which is looked through once; each part is
// read when it is asked for, and one of another form than clients read says nothing.
type Config struct {
	Created json.RawMessage `json:"created"`
	Image   json.RawMessage `json:"config"`
	RootFS  json.RawMessage `json:"rootfs"`
}

// ReadConfig reads a config. One that is empty or longer than MaxConfig, or that not everybody reads alike, says nothing.
func ReadConfig(text []byte) (c Config) {
	if len(text) == 0 || len(text) > MaxConfig || strictjson.Unmarshal(text, &c) != nil {
		return Config{}
	}
	return c
}

// DiffIDs are the digests of the layers before they were compressed, in order.
func (c Config) DiffIDs() []digest.Digest {
	var root struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	}
	if !into(c.RootFS, &root) {
		return nil
	}
	return root.DiffIDs
}

// said is the time of creation and the labels, either of which may be absent; ok says whether all of that can be read.
func (c Config) said() (created string, labels map[string]string, ok bool) {
	var image struct {
		Labels map[string]string `json:"Labels"`
	}
	ok = into(c.Created, &created) && into(c.Image, &image)
	return created, image.Labels, ok
}

// into reads a part of a config, and says whether it could. One that is absent leaves v as it is.
func into(part json.RawMessage, v any) bool {
	return len(part) == 0 || strictjson.Unmarshal(part, v) == nil
}

package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
)

// quotaUse is a quota of a repository, with what is used of it.
type quotaUse struct {
	Pattern   string `json:"pattern"`
	Bytes     int64  `json:"bytes"`
	Soft      int64  `json:"soft"`
	Tags      int64  `json:"tags"`
	UsedBytes int64  `json:"usedBytes"`
	UsedTags  int64  `json:"usedTags"`
	Counting  bool   `json:"counting"`
}

// Full says that a limit is reached or passed.
func (q quotaUse) Full() bool {
	return q.Bytes > 0 && q.UsedBytes >= q.Bytes || q.Tags > 0 && q.UsedTags >= q.Tags
}

// quotas are those of a repository, for who may push into it: others are not told.
func (pg *page) quotas(repo string) ([]quotaUse, error) {
	var found struct {
		Quotas []quotaUse `json:"quotas"`
	}
	_, err := pg.optional("/api/v1/quota", url.Values{"repo": {repo}}, &found)
	return found.Quotas, err
}

// usageView shows administrators what takes the room: some repositories as a treemap, and the same as a table.
type usageView struct {
	Frame
	Rooms  []room
	Map    []tile
	Width  int
	Height int
	Size   int64 // of all of them
	Freed  int64
	Part   bool // there are others, before or behind
	Next   string
}

// room is what takes the room in a repository.
type room struct {
	Repository    string `json:"repository"`
	BlobBytes     int64  `json:"blobBytes"`
	ManifestBytes int64  `json:"manifestBytes"`
	Tags          int64  `json:"tags"`
	Unique        int64  `json:"unique"`
	Shared        int64  `json:"shared"`
	Freed         int64  `json:"freed"`
}

// Size is what it uses, in bytes.
func (r room) Size() int64 { return r.BlobBytes + r.ManifestBytes }

// usage shows what takes the room.
func (pg *page) usage() error {
	var found struct {
		Repositories []room `json:"repositories"`
		Next         string `json:"next"`
	}
	ask := url.Values{"limit": {"200"}}
	after := pg.r.URL.Query().Get("after")
	if after != "" {
		ask.Set("after", after)
	}
	if err := pg.ask("/api/v1/usage", ask, &found); err != nil {
		return err
	}
	view := usageView{Frame: pg.frame("What takes the room"), Rooms: found.Repositories, Next: pg.following(found.Next), Width: mapWidth, Height: mapHeight}
	view.Part = after != "" || view.Next != ""
	for _, r := range view.Rooms {
		view.Size, view.Freed = view.Size+r.Size(), view.Freed+r.Freed
	}
	slices.SortStableFunc(view.Rooms, func(a, b room) int { return cmp.Compare(b.Size(), a.Size()) })
	view.Map = tiles(view.Rooms, tile{Width: mapWidth, Height: mapHeight})
	return pg.show(http.StatusOK, "usage", view)
}

// A tile is a repository in a treemap: as large, beside the others, as what it uses.
type tile struct {
	Repository          string
	Size                int64
	X, Y, Width, Height int
}

const (
	mapWidth  = 960
	mapHeight = 360
)

// Named says that there is room for its name.
func (t tile) Named() bool { return t.Height >= 20 && t.Width >= 8*len(t.Repository)+10 }

// tiles cuts an area into tiles: in two parts of about the same size across its longer side, and each part again.
func tiles(rooms []room, area tile) []tile {
	var total int64
	for _, r := range rooms {
		total += r.Size()
	}
	switch {
	case len(rooms) == 0 || total <= 0 || area.Width < 1 || area.Height < 1:
		return nil
	case len(rooms) == 1:
		area.Repository, area.Size = rooms[0].Repository, rooms[0].Size()
		return []tile{area}
	}
	n, part := 1, rooms[0].Size()
	for n < len(rooms)-1 && part+rooms[n].Size() <= total/2 {
		part += rooms[n].Size()
		n++
	}
	first, second := area, area
	share := float64(part) / float64(total)
	if area.Width >= area.Height {
		first.Width = int(float64(area.Width) * share)
		second.X, second.Width = area.X+first.Width, area.Width-first.Width
	} else {
		first.Height = int(float64(area.Height) * share)
		second.Y, second.Height = area.Y+first.Height, area.Height-first.Height
	}
	return append(tiles(rooms[:n], first), tiles(rooms[n:], second)...)
}

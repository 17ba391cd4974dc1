package web

import (
	"fmt"
	"testing"
)

// TestTiles wants tiles within their area, that do not overlap, each as large as its share.
func TestTiles(t *testing.T) {
	for name, sizes := range map[string][]int64{
		"none":            {},
		"empty":           {0, 0},
		"one":             {5},
		"even":            {10, 10, 10, 10},
		"one large":       {1 << 50, 3, 2, 1},
		"many":            {90, 70, 60, 50, 40, 30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
		"more than fits":  make([]int64, 200),
		"as large as any": {1<<62 - 1, 1<<62 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			var rooms []room
			var total int64
			for i, n := range sizes {
				rooms = append(rooms, room{Repository: fmt.Sprint("r", i), BlobBytes: n})
				total += n
			}
			list := tiles(rooms, tile{Width: mapWidth, Height: mapHeight})
			covered := 0
			for i, a := range list {
				if a.Width < 1 || a.Height < 1 || a.X < 0 || a.Y < 0 || a.X+a.Width > mapWidth || a.Y+a.Height > mapHeight {
					t.Errorf("%+v is outside", a)
				}
				for _, b := range list[:i] {
					if a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height {
						t.Errorf("%+v and %+v overlap", a, b)
					}
				}
				area := a.Width * a.Height
				covered += area
				if share := float64(a.Size) / float64(total) * mapWidth * mapHeight; float64(area) < share*0.7-2000 || float64(area) > share*1.3+2000 {
					t.Errorf("%+v has %d, and its share is %.0f", a, area, share)
				}
			}
			if total > 0 && covered < mapWidth*mapHeight*95/100 {
				t.Errorf("%d of %d are covered", covered, mapWidth*mapHeight)
			}
		})
	}
}

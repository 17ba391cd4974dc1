package registry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// killedStore is the store of a process that is killed behind some changes: none comes after them.
type killedStore struct {
	storage.Store
	left   int
	killed bool
}

var errKilled = errors.New("the process was killed")

func (s *killedStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.left == 0 {
		s.killed = true
		return errKilled
	}
	s.left--
	return s.Store.Update(ctx, fn)
}

// killing is something that is killed at each step.
type killing struct {
	prepare func(s *server, of notedImage)
	do      func(s *server, of notedImage)
	// after wants everything to be wholly as before or as after it, once the next start has gone on.
	after func(s *server, of notedImage)
}

// notedImage is an image with many tags, and a note that is attached to it.
type notedImage struct {
	image, note image
	tags        []string
}

func (s *server) taggedAndNoted() notedImage {
	f := notedImage{image: s.pushImage("app", "", "one")}
	f.tags = s.tagMany("app", f.image, 2*provenance.MaxTags+50)
	f.note = s.artifact("app", f.image.digest, "application/vnd.example.note", "a note")
	return f
}

func (s *server) isThere(ref string) bool {
	s.t.Helper()
	return s.do("GET", "/v2/app/manifests/"+ref, nil).status == 200
}

// wantWhole wants the image with all its tags and its note to be there, or nothing of them.
func (s *server) wantWhole(of notedImage, there bool) {
	s.t.Helper()
	for _, ref := range []string{of.image.digest.String(), of.note.digest.String(), of.tags[0], of.tags[150], of.tags[len(of.tags)-1]} {
		if s.isThere(ref) != there {
			s.t.Errorf("%s is there: %t, want %t", ref, !there, there)
		}
	}
}

func deleteNoted(s *server, of notedImage) {
	s.deleteAlong("app", of.image.digest, s.deletable("app", of.image.digest).AlongID)
}

// hide deletes the image with its note, and lets the leases of their blobs end.
func hide(s *server, of notedImage) {
	deleteNoted(s, of)
	s.later(2 * time.Hour)
	s.wantCollected()
}

var killings = map[string]killing{
	"delete": {
		prepare: func(*server, notedImage) {},
		do:      deleteNoted,
		after: func(s *server, of notedImage) {
			there := s.isThere(of.image.digest.String())
			if s.wantWhole(of, there); !there {
				s.wantBack("app", of.image.digest.String(), 2)
				s.wantWhole(of, true)
			}
		},
	},
	"undelete": {
		prepare: hide,
		do: func(s *server, of notedImage) {
			_, _ = s.undelete("app", of.image.digest.String()) // its answer is lost
		},
		after: func(s *server, of notedImage) {
			if _, err := s.undelete("app", of.image.digest.String()); err != nil && !errors.Is(err, ErrUnknown) {
				s.t.Error(err)
			}
			s.wantWhole(of, true)
			s.wantNoTrash()
		},
	},
	"empty": {
		prepare: hide,
		do: func(s *server, _ notedImage) {
			_, _ = s.Empty(background, Emptying{Repository: "app", Who: access.Operator})
			_ = s.collect(background)
		},
		after: func(s *server, of notedImage) {
			s.wantWhole(of, false)
			if _, err := s.Empty(background, Emptying{Repository: "app", Who: access.Operator}); err != nil {
				s.t.Error(err)
			}
			s.wantNoTrash()
			s.wantFiles(0)
		},
	},
}

// TestTrashKilled kills the process at each step of a deletion, of bringing back and of emptying the trash: the next start finds nothing
// wrong, and goes on.
func TestTrashKilled(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	for name, k := range killings {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for killed := true; killed; steps++ {
				s := startTrash(t)
				of := s.taggedAndNoted()
				k.prepare(s, of)
				store := &killedStore{Store: s.store, left: steps}
				s.store = store
				k.do(s, of)
				s.store, killed = store.Store, store.killed
				s.restartKeepingTime(func() {
					s.wantClean()
					if _, err := s.endDeletions(background); err != nil {
						t.Error(err)
					}
					s.wantCollected()
					k.after(s, of)
				})
				s.stop()
				if t.Failed() {
					t.Fatalf("killed behind %d changes", steps)
				}
			}
			if steps < 4 {
				t.Errorf("it has %d steps", steps)
			}
		})
	}
}

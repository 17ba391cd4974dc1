package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// million is a store with the records of many pushes, made without their images.
type million struct {
	program, dir string
	records      int
}

// runMillion fills a store with so many records, and tells what an append costs on the way, what room they take,
// how long a cold start takes, and how long answers to questions do.
func runMillion(ctx context.Context, program, dir string, records int) error {
	m := million{program, filepath.Join(dir, "hallmark"), records}
	s, err := startHallmark(ctx, program, m.dir) // makes the keys
	if err != nil {
		return err
	}
	s.stop()
	if err := m.fill(ctx); err != nil {
		return err
	}
	if err := m.coldStarts(ctx); err != nil {
		return err
	}
	if s, err = startHallmark(ctx, program, m.dir); err != nil {
		return err
	}
	err = m.ask(s)
	s.stop()
	return errors.Join(err, m.erase(ctx))
}

func (m million) file() string { return filepath.Join(m.dir, "hallmark.db") }

// shelf is a book with its store, without a server.
type shelf struct {
	store *bolt.Store
	book  *provenance.Book
	next  int // which push comes next
}

// withShelf opens a store.
func (m million) withShelf(ctx context.Context, path string, fn func(*shelf) error) error {
	store, err := datadir.OpenStore(path, datadir.ToChange, datadir.Options{})
	if err != nil {
		return err
	}
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		return errors.Join(err, store.Close())
	}
	book.Follow(func(storage.Tx, *provenance.Record) error { return nil }) // these images have no names in the registry
	keys, err := m.keys()
	if err == nil {
		err = book.Begin(ctx, keys)
	}
	var n uint64
	if err == nil {
		n, err = book.Len(ctx)
	}
	if err == nil {
		err = fn(&shelf{store, book, int(n)})
	}
	return errors.Join(err, store.Close())
}

// erase erases the addresses of all records, as the server does when they are old, and tells what a commit costs
// with the pages that this freed: bbolt writes their list with each.
func (m million) erase(ctx context.Context) error {
	return m.withShelf(ctx, m.file(), func(s *shelf) error {
		fmt.Println("\n| pages free | one append, with its commit, median |\n| --: | --: |")
		for range 2 {
			took, err := timeAppends(ctx, s)
			if err != nil {
				return err
			}
			free, all, err := s.store.FreePages()
			if err != nil {
				return err
			}
			fmt.Printf("| %d of %d | %.2f ms |\n", free, all, took[0])
			if _, err := s.book.Forget(ctx, func() uint64 { return 0 }, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// fill fills the store, unless an earlier run in the same -dir has done it. On the way it tells what an append costs,
// beside one to a store of a thousand records at the same time.
func (m million) fill(ctx context.Context) error {
	return m.withShelf(ctx, m.file(), func(s *shelf) error {
		if s.next >= m.records {
			return nil
		}
		return m.withShelf(ctx, filepath.Join(filepath.Dir(m.dir), "thousand.db"), func(small *shelf) error {
			return m.fillBeside(ctx, s, small)
		})
	})
}

func (m million) fillBeside(ctx context.Context, s, small *shelf) error {
	if err := small.appendUpTo(ctx, 1000); err != nil {
		return err
	}
	fmt.Println("| records | one append, with its commit, median | of that to 1,000 | its rows, later, mean | of those | bytes a record, with all that finds it |\n" +
		"| --: | --: | --: | --: | --: | --: |")
	for size := min(10_000, m.records); ; size = min(size*10, m.records) {
		if err := s.appendUpTo(ctx, size); err != nil {
			return err
		}
		took, err := timeAppends(ctx, s, small)
		if err != nil {
			return err
		}
		rows, err := timeRows(ctx, s, small)
		if err != nil {
			return err
		}
		free, all, err := s.store.FreePages()
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %.2f ms | %.2f × | %.2f ms | %.2f × | %d |\n", s.next, took[0], took[0]/took[1], rows[0], rows[0]/rows[1],
			(all-free)*int64(os.Getpagesize())/int64(s.next))
		if size == m.records {
			return nil
		}
	}
}

// appendUpTo appends some records in a transaction, because each transaction waits for the disk twice. More would leave
// more pages free than pushes do, and bbolt writes their list with each commit.
func (s *shelf) appendUpTo(ctx context.Context, size int) error {
	const batch = 50
	for s.next < size {
		from := s.next
		err := s.store.Update(ctx, func(tx storage.Tx) error {
			for s.next = from; s.next < min(from+batch, size); s.next++ {
				if _, err := s.book.Append(tx, pushEvent(s.next)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if from/100_000 < s.next/100_000 {
			fmt.Fprintf(os.Stderr, "%d records\n", s.next)
		}
	}
	return nil
}

// timed is how many records are appended to be timed.
const timed = 200

// timeAppends appends records to each shelf in turn, each in a transaction of its own, and returns how many
// milliseconds one took at the median.
func timeAppends(ctx context.Context, shelves ...*shelf) ([]float64, error) {
	took := make([][]float64, len(shelves))
	for _, s := range shelves {
		if err := s.book.Index(ctx); err != nil {
			return nil, err
		}
	}
	for range timed {
		for i, s := range shelves {
			begun := time.Now()
			err := s.store.Update(ctx, func(tx storage.Tx) error {
				_, err := s.book.Append(tx, pushEvent(s.next))
				return err
			})
			if err != nil {
				return nil, err
			}
			s.next++
			took[i] = append(took[i], time.Since(begun).Seconds()*1e3)
		}
	}
	medians := make([]float64, len(shelves))
	for i := range shelves {
		medians[i] = median(took[i])
	}
	return medians, nil
}

// timeRows makes the rows of those records, and returns how many milliseconds those of one record took.
func timeRows(ctx context.Context, shelves ...*shelf) (took []float64, err error) {
	for _, s := range shelves {
		begun := time.Now()
		if err := s.book.Index(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun).Seconds()*1e3/timed)
	}
	return took, nil
}

func (m million) keys() (keys provenance.Keys, err error) {
	text, err := os.ReadFile(filepath.Join(m.dir, "keys", "receipt.pem"))
	if err != nil {
		return keys, err
	}
	signer, err := receipt.ParseSigner(text)
	if err != nil {
		return keys, err
	}
	if text, err = os.ReadFile(filepath.Join(m.dir, "keys", "log.pem")); err != nil {
		return keys, err
	}
	key, err := log.ParseKey(text)
	return provenance.Keys{Receipts: []*receipt.Signer{signer}, Logs: []ed25519.PrivateKey{key}}, err
}

// pushEvent is the i-th of many pushes: 2000 repositories, 50 people, and three pushes of each revision.
func pushEvent(i int) provenance.Event {
	repo, d, person := repoOf(i), digestOf(i), personOf(i)
	return provenance.Event{
		Action: provenance.Push, Repository: repo, Digest: d,
		Tags: []provenance.TagMove{{Name: tagOf(i)}},
		Who: provenance.Identity{
			Actor: provenance.Actor{Kind: provenance.User, Handle: person, Account: "account-" + person},
			Login: &provenance.Login{Method: "token", Issuer: "https://registry.example", Identity: person, Credential: "credential-" + person},
		},
		Observed: provenance.Observation{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 700, ImageSize: 50 << 20, RequestID: fmt.Sprintf("%026d", i)},
		Claimed: []provenance.Claim{
			{Fact: provenance.FactSource, Value: "https://git.example/" + repo, About: d, From: "label org.opencontainers.image.source"},
			{Fact: provenance.FactRevision, Value: revisionOf(i), About: d, From: "label org.opencontainers.image.revision"},
			{Fact: provenance.FactBase, Value: baseOf(i).String(), About: d, From: "annotation org.opencontainers.image.base.digest"},
		},
		Unsigned: provenance.Unsigned{ClientAddress: "192.0.2.7", UserAgent: "docker/28.2.2 go/go1.24.3 kernel/6.12.0"},
	}
}

func repoOf(i int) string            { return fmt.Sprintf("team-%d/service-%d", i%40, i%2000) }
func tagOf(i int) string             { return fmt.Sprintf("1.%d", i/20_000) } // moved ten times
func personOf(i int) string          { return fmt.Sprintf("person-%d", i%50) }
func digestOf(i int) digest.Digest   { return digest.FromString(fmt.Sprint("manifest", i)) }
func baseOf(i int) digest.Digest     { return digest.FromString(fmt.Sprint("base", i%300)) }
func revisionOf(i int) string        { return fmt.Sprintf("%040x", i/3) }
func (m million) anyOf(n uint64) int { return int(n * 7919 % uint64(m.records)) }

// coldStarts starts the server when the system has forgotten the store: after an orderly end, and after SIGKILL in
// the middle of commits.
func (m million) coldStarts(ctx context.Context) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(t, "\n| a cold start\t| ready after\t|\n| ---\t| --:\t|\n")
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		s, err := startHallmark(ctx, m.program, m.dir)
		if err != nil {
			return err
		}
		if err := m.endAmongPushes(s, end); err != nil {
			return err
		}
		if err := forget(m.file()); err != nil {
			return err
		}
		begun := time.Now()
		if s, err = startHallmark(ctx, m.program, m.dir); err != nil {
			return err
		}
		fmt.Fprintf(t, "| after %s\t| %.2f s\t|\n", unix.SignalName(end), time.Since(begun).Seconds())
		s.stop()
	}
	return t.Flush()
}

// endAmongPushes sends the server a signal while somebody pushes.
func (m million) endAmongPushes(s *server, end syscall.Signal) error {
	images, err := newImagesOf(fmt.Sprintf("cold/app-%d", time.Now().UnixNano()), 16<<10, 0, 1)
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	if err := images[0].push(c, monolithic); err != nil {
		return err
	}
	pushed := make(chan int)
	go func() {
		n := 0
		for images[0].put(c) == nil { // until the server is gone
			n++
		}
		pushed <- n
	}()
	time.Sleep(300 * time.Millisecond)
	err = s.cmd.Process.Signal(end)
	if n := <-pushed; n == 0 {
		err = errors.Join(err, errors.New("nothing was pushed before the signal"))
	}
	_ = s.cmd.Wait() // its status is that of the signal
	return err
}

// warm has the system read a file, as days of pushes would.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// forget makes the system drop what it keeps of a file.
func forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fsync(int(f.Fd())), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

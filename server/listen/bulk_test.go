package listen

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// TestWaitingConnectionsHoldNothing has many connections wait for more just after a full read: none holds a buffer.
func TestWaitingConnectionsHoldNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const conns = 64
	before := liveHeap()
	clients, results := make([]net.Conn, conns), make(chan string, conns)
	for i := range conns {
		if clients[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := &bulkConn{Conn: accepted}
		defer c.Close()
		if _, err := clients[i].Write(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		c.bulk = true // also where the 512 bytes came in two parts
		go func() {
			said, err := io.ReadAll(c)
			if err != nil {
				said = []byte(err.Error())
			}
			results <- string(said)
		}()
	}
	time.Sleep(50 * time.Millisecond) // so that they wait; where they do not yet, they hold nothing either
	if grown := liveHeap() - before; grown > conns*(64<<10) {
		t.Errorf("%d connections that wait hold %d KiB", conns, grown>>10)
	}
	for _, client := range clients {
		if _, err := client.Write([]byte("more")); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range conns {
		if said := <-results; said != "more" {
			t.Errorf("a connection that waited read %q", said)
		}
	}
}

// TestReadAheadEnds has a connection that waits for more end at its deadline, and when it is closed.
func TestReadAheadEnds(t *testing.T) {
	client, server := net.Pipe() // has no file: it is asked as any other
	defer client.Close()
	piped := &bulkConn{Conn: server, bulk: true}
	_ = server.SetReadDeadline(time.Now()) // a pipe takes any
	if _, err := piped.Read(make([]byte, 5)); !isTimeout(err) {
		t.Errorf("a pipe: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &bulkConn{Conn: accepted, bulk: true}
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 5)); !isTimeout(err) {
		t.Errorf("a socket: %v", err)
	}
}

func isTimeout(err error) bool {
	var late net.Error
	ok := errors.As(err, &late)
	return ok && late.Timeout()
}

// liveHeap is what is in use, without what lies in pools, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // pools give back what two collections find unused
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

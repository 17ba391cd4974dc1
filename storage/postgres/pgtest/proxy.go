package pgtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands before a server, and cuts connections where it is told to.
type Proxy struct {
	// CutBefore cuts each connection on which a client sends COMMIT, before the server gets it. CutBehind cuts it when the
	// server has got it, and keeps its answer back.
	CutBefore, CutBehind atomic.Bool

	listener net.Listener
	to       string
}

// Before puts a proxy before the server, until the test ends.
func Before(t testing.TB, c *Cluster) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, to: fmt.Sprintf("127.0.0.1:%d", c.Port)}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
	return p
}

// URL is that of a database behind the proxy.
func (p *Proxy) URL(direct string) string {
	u, err := url.Parse(direct)
	if err != nil {
		panic(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it may be cut
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // as above
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		commits := bytes.Contains(buf[:n], []byte("COMMIT\x00"))
		if commits && p.CutBefore.CompareAndSwap(true, false) {
			return
		}
		if commits && p.CutBehind.CompareAndSwap(true, false) {
			_ = client.Close() // first, so that no answer passes
			_, _ = server.Write(buf[:n])
			_ = server.(*net.TCPConn).CloseWrite() // the server does what it has got, and then ends
			_, _ = io.Copy(io.Discard, server)
			return
		}
		if _, wrote := server.Write(buf[:n]); wrote != nil || err != nil {
			return
		}
	}
}

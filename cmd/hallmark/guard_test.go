package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBodiesThatNeverCome sends requests that are refused before their body is read, and no body: each is answered,
// and its connection ends.
func TestBodiesThatNeverCome(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 1s\n"))
	conns := map[string]net.Conn{}
	for request, want := range map[string]string{
		"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000":                                            "401",
		"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000":                                      "401",
		"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue":                    "401",
		"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000":                                                             "401",
		"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: " + adminBasic:                             "200",
		"HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000":                                                        "200",
		"GET /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked":                                                   "404",
		"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10":                   "401",
		"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000":                                                          "415",
		"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: application/x-www-form-urlencoded":       "400",
		"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded": "400",
	} {
		conns[want+" "+request] = s.dial()
		fmt.Fprintf(conns[want+" "+request], "%s\r\n\r\n", request)
	}
	for request, conn := range conns {
		want, request, _ := strings.Cut(request, " ")
		if said := closes(t, conn); !strings.HasPrefix(said, "HTTP/1.1 "+want) || !strings.Contains(said, "Connection: close") {
			t.Errorf("%s\ngets %.200q, want %s", request, said, want)
		}
	}
}

// TestSlowForm sends a form byte by byte, each in time: nobody signed in, so all of it has to be there in time.
func TestSlowForm(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 1s\n"))
	conn := s.dial()
	fmt.Fprint(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan string)
	go func() { ended <- closes(t, conn) }()
	for range 300 {
		select {
		case said := <-ended:
			if !strings.HasPrefix(said, "HTTP/1.1 400") {
				t.Errorf("%.200q", said)
			}
			return
		case <-tick.C:
			_, _ = conn.Write([]byte("x")) // until it is closed
		}
	}
	t.Error("a form may take as long as it likes")
}

// TestRefusedBodyArrives sends the body of a request that is refused: the connection goes on.
func TestRefusedBodyArrives(t *testing.T) {
	s := insecure(t)
	conn := s.dial()
	r := bufio.NewReader(conn)
	for range 3 {
		fmt.Fprint(conn, "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 401 || resp.Close {
			t.Errorf("%v, %d, close %v", err, resp.StatusCode, resp.Close)
		}
	}
}

// TestSlowStream sends no body on HTTP/2. Others on the connection go on.
func TestSlowStream(t *testing.T) {
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "stall: 1s\n"))
	s.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	for path, kind := range map[string]string{"/token": "application/x-www-form-urlencoded", "/v2/a/blobs/uploads/": "application/octet-stream"} {
		body, never := io.Pipe()
		defer never.Close()
		r, err := http.NewRequest("POST", s.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != 400 && resp.StatusCode != 401 {
			t.Errorf("%s: HTTP/%d %d", path, resp.ProtoMajor, resp.StatusCode)
		}
	}
	s.want(200, "GET", "/v2/")
}

// TestConnectionsWithoutUse holds more connections than there may be, of no use. Who comes gets in, and who is at work
// goes on.
func TestConnectionsWithoutUse(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"connections: 8", "addressConnections: 8"} {
		admin := freeAddress(t)
		s := insecure(t, "--admin-listen", admin, "--config", writeFile(t, "limits:\n  "+limit+"\n"))
		upload := beginSlowUpload(t, s)
		var silent []net.Conn
		for i := range 40 {
			silent = append(silent, s.dial())
			switch i % 3 { // some in the header, some with a body that never comes, some with nothing
			case 1:
				fmt.Fprint(silent[i], "GET /v2/ HTTP/1.1\r\nX: ")
			case 2:
				fmt.Fprint(silent[i], "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
			}
			s.client.CloseIdleConnections()
			s.want(200, "GET", "/v2/")
		}
		closes(t, silent[0])
		fmt.Fprint(upload, "45678")
		if line, err := bufio.NewReader(upload).ReadString('\n'); err != nil || !strings.Contains(line, "202") {
			t.Errorf("%s: the upload under way: %q, %v", limit, line, err)
		}
		if shown := metric(t, admin, "hallmark_connections_replaced_total"); shown == "0" {
			t.Errorf("%s: the metrics show nothing", limit)
		}
		s.kill()
	}
}

// TestConnectionsAtWork has as many uploads under way as there may be connections: no more are let in.
func TestConnectionsAtWork(t *testing.T) {
	t.Parallel()
	admin := freeAddress(t)
	s := insecure(t, "--admin-listen", admin, "--config", writeFile(t, "limits: {addressConnections: 3}\n"))
	var uploads []string
	for range 3 {
		uploads = append(uploads, beginUpload(s))
	}
	s.client.CloseIdleConnections()
	waitForMetric(t, admin, "hallmark_connections_open", "0") // else one of the next may be refused
	for _, location := range uploads {
		sendHalf(s, location)
	}
	waitForMetric(t, admin, "hallmark_http_requests_in_flight", "4") // with the one that asks
	s.client.CloseIdleConnections()
	if said := closes(t, s.dial()); said != "" {
		t.Errorf("%q", said)
	}
	if shown := metric(t, admin, "hallmark_connections_refused_total"); shown == "0" {
		t.Error("the metrics show nothing")
	}
	if shown := metric(t, admin, "hallmark_connections_open"); shown != "3" {
		t.Errorf("%s are open", shown)
	}
}

// beginSlowUpload sends half of an upload, as admin.
func beginSlowUpload(t *testing.T, s *testServer) net.Conn {
	t.Helper()
	conn := sendHalf(s, beginUpload(s))
	for !strings.Contains(s.log(), "method=POST path=/v2/app/blobs/uploads/") {
		time.Sleep(10 * time.Millisecond)
	}
	return conn
}

func beginUpload(s *testServer) (location string) {
	_, header, _ := s.do("POST", "/v2/app/blobs/uploads/", "", "")
	return header.Get("Location")
}

// sendHalf sends half of what an upload says that it has.
func sendHalf(s *testServer, location string) net.Conn {
	conn := s.dial()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 9\r\n\r\n0123", location, adminBasic)
	return conn
}

// waitForMetric waits until a metric without labels has a value.
func waitForMetric(t *testing.T, admin, name, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); metric(t, admin, name) != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %s after a minute, and should be %s", name, metric(t, admin, name), want)
		}
	}
}

// metric is the value of a metric without labels.
func metric(t *testing.T, admin, name string) string {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	t.Fatalf("the metrics hold no %s", name)
	return ""
}

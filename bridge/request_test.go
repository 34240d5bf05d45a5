package bridge_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

func zip(t testing.TB, plain string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxBodyBytes: 200}))
	const call = `{"text": "a"}`
	zipped := zip(t, call)
	large := strings.Repeat(" ", 180) + call
	for name, test := range map[string]struct {
		encoding, body string
		status         int
		code           string
	}{
		"gzip":                             {"gzip", zipped, 200, ""},
		"its other name":                   {"X-GZIP", zipped, 200, ""},
		"identity":                         {"identity", call, 200, ""},
		"in parts":                         {"gzip", zip(t, call[:5]) + zip(t, call[5:]), 200, ""},
		"of the size allowed":              {"gzip", zip(t, strings.Repeat(" ", 200-len(call))+call), 200, ""},
		"a byte larger than that":          {"gzip", zip(t, strings.Repeat(" ", 201-len(call))+call), 413, "request_too_large"},
		"much larger":                      {"gzip", zip(t, strings.Repeat(large, 1000)), 413, "request_too_large"},
		"compressed to more than that":     {"gzip", strings.Repeat(zip(t, ""), 10), 413, "request_too_large"},
		"nothing":                          {"gzip", "", 400, "invalid_request"},
		"no gzip":                          {"gzip", call, 400, "invalid_request"},
		"cut off":                          {"gzip", zipped[:len(zipped)-10], 400, "invalid_request"},
		"without its checksum":             {"gzip", zipped[:len(zipped)-8], 400, "invalid_request"},
		"with a wrong checksum":            {"gzip", zipped[:len(zipped)-8] + "12345678", 400, "invalid_request"},
		"with something after it":          {"gzip", zipped + "{}", 400, "invalid_request"},
		"compressed twice":                 {"gzip, gzip", zip(t, zipped), 415, "unsupported_media_type"},
		"another coding":                   {"br", zipped, 415, "unsupported_media_type"},
		"deflate, which means two things":  {"deflate", zipped, 415, "unsupported_media_type"},
		"gzip as it says, but not JSON":    {"gzip", zip(t, "{"), 400, "invalid_request"},
		"gzip as it says, but not allowed": {"gzip", zip(t, "{}"), 422, "schema_violation"},
	} {
		got := post(t, srv, "/shout", test.body, "Content-Encoding", test.encoding, "Content-Type", "application/json")
		if got.Status != test.status {
			t.Errorf("%s: %d %s, want %d", name, got.Status, got.Body, test.status)
			continue
		}
		if test.code != "" && got.problem(t).Code != test.code {
			t.Errorf("%s: %s, want %s", name, got.Body, test.code)
		}
		if names := got.Header.Get("Accept-Encoding"); (names == "gzip") != (test.status == 415) {
			t.Errorf("%s: %d with Accept-Encoding %q, which belongs to 415", name, got.Status, names)
		}
	}
	if got := post(t, srv, "/shout", call, "Content-Type", "text/plain"); got.Status != 415 || got.Header.Get("Accept-Encoding") != "" {
		t.Errorf("a media type that is not taken: %d, Accept-Encoding %q, which would tell of another fault", got.Status, got.Header.Get("Accept-Encoding"))
	}
}

// A megabyte that would become one gigabyte costs no more than what a body may have.
func TestZipBomb(t *testing.T) {
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), &bridge.Options{MaxBodyBytes: 1 << 20}))
	megabyte := zip(t, strings.Repeat(" ", 1<<20))
	bomb := strings.Repeat(megabyte, 1<<20/len(megabyte))
	req := newRequest(t, http.MethodPost, srv.URL+"/shout", bomb, "Content-Encoding", "gzip")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := send(t, srv.Client(), req)
	runtime.ReadMemStats(&after)
	if got.Status != 413 || got.problem(t).Code != "request_too_large" {
		t.Errorf("%d bytes of gzip = %d %s, want 413", len(bomb), got.Status, got.Body)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
		t.Errorf("they cost %d bytes of memory", used)
	}
}

// Repeating a call compressed is repeating it.
func TestCompressionIsNotPartOfTheRequest(t *testing.T) {
	t.Parallel()
	srv := serve(t, newBridge(t, loadContract(t), shouter(shout), nil))
	post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k")
	got := post(t, srv, "/shout", zip(t, `{"text": "a"}`), "Idempotency-Key", "k", "Content-Encoding", "gzip")
	if got.Status != 200 || got.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the call repeated with gzip = %d %s", got.Status, got.Body)
	}
}

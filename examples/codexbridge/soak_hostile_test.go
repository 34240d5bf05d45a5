package main

import (
	"bytes"
	"compress/gzip"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge/limits"
)

// Callers of the soak by name. The limiter refuses each call of overQuota.
const (
	honest    = "honest"
	overQuota = "over-quota"
)

// soakTokens are the bearer tokens by caller.
var soakTokens = map[string]string{honest: "token-of-honest-callers", overQuota: "token-of-a-greedy-caller"}

// A soakLimiter keeps the contract's limits, and has no quota left for overQuota.
type soakLimiter struct{ *limits.Local }

// Admit implements [limits.Limiter].
func (l soakLimiter) Admit(ctx context.Context, caller string) (limits.Admission, error) {
	if caller == overQuota {
		return limits.Admission{}, &limits.Refusal{Detail: "The caller's quota is used up.", RetryAfter: time.Minute}
	}
	return l.Local.Admit(ctx, caller)
}

// soakBodyLimit is the bridge's default bound on a request's body.
const soakBodyLimit = 1 << 20

// writeHostileBodies writes the bodies of hostileCalls into a folder, by name. In memory they would
// add to the bridge's own.
func writeHostileBodies(t *testing.T, folder string) {
	t.Helper()
	// fill repeats part between head and tail as often as size allows.
	fill := func(size int, head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part, (size-len(head)-len(tail))/len(part)) + tail)
	}
	// number writes format n times, with the numbers from 0.
	number := func(n int, head, format, tail string) []byte {
		b := []byte(head)
		for i := range n {
			b = fmt.Appendf(b, format, i)
		}
		return append(b, tail...)
	}
	const (
		files     = `{"prompt":"x","context":{"files":[`
		lastFile  = `{"path":"a","content":"b"}]}}`
		wrongFile = `{"path":"","content":1,"x":1},`
	)
	wrongItems := fill(soakBodyLimit, files, "1,", "1]}}")
	for name, body := range map[string][]byte{
		"wrong-items":    wrongItems,
		"wrong-items.gz": compress(t, wrongItems, 1),
		"endless.gz":     compress(t, make([]byte, 1<<20), 64),
		"wrong-files":    fill(soakBodyLimit, files, wrongFile, lastFile),
		"at-limit":       fill(soakBodyLimit, `{"prompt":"a stack"`, " ", "}"),
		"over-limit":     fill(soakBodyLimit+1, `{"prompt":"a stack"`, " ", "}"),
		"blank-prompt":   fill(100_000, `{"prompt":"`, " ", `"}`),
		"blank-code":     fill(500_000, `{"code":"`, " ", `"}`),
		"many-members":   number(60_000, `{"prompt":"x","context":{"m":0`, `,"m%d":0`, "}}"),
		"misspelt":       number(50_000, `{"prompt":"x"`, `,"promp%d":1`, "}"),
		"many-tokens":    number(99, files, `{"path":"%d","content":"`+strings.Repeat("word ", 2_000)+`"},`, lastFile),
		"deep":           fill(soakBodyLimit/2, `{"prompt":"x","context":{"x":`, "[", ""),
		"duplicates":     fill(soakBodyLimit/2, `{"prompt":"x"`, `,"prompt":"x"`, "}"),
		"two-cases":      []byte(`{"prompt":"x","Prompt":"y"}`),
		"unfinished":     []byte(`{"prompt":"never ends`),
		"small":          []byte(`{"prompt":"a stack"}`),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// compress returns n times data as one gzip stream.
func compress(t *testing.T, data []byte, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range n {
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const gzipped = "Content-Encoding: gzip"

// hostileCalls cost their callers little and could cost the bridge much. Each gets the refusal that
// it deserves, or an answer if there is nothing to refuse.
var hostileCalls = []soakCall{
	{"gzip of 1 KB with 1 MB of wrong values", 2, hostile(422, "/generate", "wrong-items.gz", gzipped)},
	{"gzip of 64 MiB", 1, hostile(413, "/generate", "endless.gz", gzipped)},
	{"1 MB of wrong values", 1, hostile(422, "/generate", "wrong-items")},
	{"1 MB of files with three errors each", 1, hostile(422, "/generate", "wrong-files")},
	{"body as large as allowed", 1, hostile(200, "/generate", "at-limit")},
	{"body one byte larger", 1, hostile(413, "/generate", "over-limit")},
	{"blank prompt as long as allowed, for its pattern", 1, hostile(422, "/generate", "blank-prompt")},
	{"blank code as long as allowed, for its pattern", 1, hostile(422, "/review", "blank-code")},
	{"60,000 members", 1, hostile(422, "/generate", "many-members")},
	{"50,000 misspelt members", 1, hostile(422, "/generate", "misspelt")},
	{"as many files as allowed, with too many tokens", 1, hostile(422, "/generate", "many-tokens")},
	{"500,000 brackets", 1, hostile(400, "/generate", "deep")},
	{"40,000 duplicate members", 1, hostile(400, "/generate", "duplicates")},
	{"member in two cases", 1, hostile(422, "/generate", "two-cases")},
	{"JSON without an end", 1, hostile(400, "/generate", "unfinished")},
	{"calls with a key beyond the quota", 2, keyedOverQuota},
	{"wrong token", 2, wrongToken},
	{"headers as large as allowed", 1, manyHeaders(200, 50<<10)},
	{"headers that are too large", 1, manyHeaders(431, 80<<10)},
	{"header without an end", 1, abandoned("POST /generate HTTP/1.1\r\nHost: localhost\r\nX-Long: ")},
	{"upload without an end", 1, abandoned(uploadWithoutEnd())},
	{"stream that its caller does not read", 1, abandoned(soakRequest(`{"prompt":"fault:slow"}`, 0, wantStream))},
}

// patientHostileCalls end with the bridge's time for a body.
var patientHostileCalls = []soakCall{
	{"upload without an end, to its refusal", 1, refusedUpload},
}

// hostile sends one of the bodies, as an honest caller.
func hostile(status int, path, body string, headers ...string) func(context.Context, *soakEnv) error {
	return func(ctx context.Context, s *soakEnv) error {
		return s.sendHostile(ctx, status, honest, path, body, headers...)
	}
}

// keyedOverQuota makes a call twice. The bridge must keep no record of the first one.
func keyedOverQuota(ctx context.Context, s *soakEnv) error {
	key := "Idempotency-Key: " + crand.Text()
	for range 2 {
		if err := s.sendHostile(ctx, http.StatusTooManyRequests, overQuota, "/generate", "small", key); err != nil {
			return err
		}
	}
	return nil
}

func wrongToken(ctx context.Context, s *soakEnv) error {
	return s.sendHostile(ctx, http.StatusUnauthorized, "nobody", "/generate", "wrong-items.gz", gzipped)
}

// manyHeaders sends headers of this size in all.
func manyHeaders(status, size int) func(context.Context, *soakEnv) error {
	var headers []string
	for i := range size / 64 {
		headers = append(headers, fmt.Sprintf("X-Many-%05d: %s", i, strings.Repeat("x", 48)))
	}
	return hostile(status, "/generate", "small", headers...)
}

// sendHostile sends a body by its name. The connection is not kept, because some answers close it.
func (s *soakEnv) sendHostile(ctx context.Context, status int, caller, path, body string, headers ...string) error {
	file, err := os.Open(filepath.Join(s.hostileBodies, body))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, file)
	if err != nil {
		return err
	}
	req.Close, req.ContentLength = true, info.Size()
	setSoakHeaders(req, caller, headers)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		return fmt.Errorf("POST %s = %d %.500s (%v), want %d", path, res.StatusCode, text, err, status)
	}
	if status == http.StatusTooManyRequests && res.Header.Get("Idempotency-Replayed") != "" {
		return errors.New("the bridge kept the answer to a call that its limits refused")
	}
	return nil
}

// abandoned sends the beginning of a request, holds the connection for up to 50 ms and resets it.
func abandoned(begin string) func(context.Context, *soakEnv) error {
	return func(ctx context.Context, s *soakEnv) error {
		conn, err := s.dial(ctx, begin)
		if err != nil {
			return err
		}
		defer conn.Close()
		select {
		case <-time.After(rand.N(50 * time.Millisecond)):
		case <-ctx.Done():
		}
		return conn.SetLinger(0)
	}
}

// refusedUpload waits until the bridge refuses the upload.
func refusedUpload(ctx context.Context, s *soakEnv) error {
	conn, err := s.dial(ctx, uploadWithoutEnd())
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := io.ReadAll(conn)
	if want := "HTTP/1.1 408 "; !bytes.HasPrefix(answer, []byte(want)) {
		return fmt.Errorf("the bridge answered %.200q (%v), want %s", answer, err, want)
	}
	return nil
}

// uploadWithoutEnd returns a request without its last byte.
func uploadWithoutEnd() string { return soakRequest(`{"prompt":"`+strings.Repeat("x", 250_000), 1) }

// soakRequest returns a request of an honest caller as sent on the wire. Its Content-Length counts
// missing bytes more than the body has.
func soakRequest(body string, missing int, headers ...string) string {
	headers = slices.Concat([]string{
		"POST /generate HTTP/1.1", "Host: localhost", "Content-Type: application/json",
		"Authorization: Bearer " + soakTokens[honest], fmt.Sprintf("Content-Length: %d", len(body)+missing),
	}, headers)
	return strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// dial opens a connection to the bridge and sends text on it.
func (s *soakEnv) dial(ctx context.Context, text string) (*net.TCPConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		conn.Close()
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

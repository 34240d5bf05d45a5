//go:build unix && !race

package codex_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// TestCostOfRefusedRequests limits the cost of invalid bodies, large or compressed, to that of a
// schema validation.
func TestCostOfRefusedRequests(t *testing.T) {
	ct, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	provider, err := codex.New(&codex.Options{APIKey: "sk-test-0123456789", BaseURL: "http://127.0.0.1:1/v1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(ct, provider, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	files := func(items string) string {
		return `{"prompt":"x","context":{"files":[` + strings.TrimSuffix(items, ",") + `]}}`
	}
	var members strings.Builder
	for i := range 90_000 {
		fmt.Fprintf(&members, `,"m%d":1`, i)
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"numbers for files":     {files(strings.Repeat("1,", 523_900)), 422},
		"empty files":           {files(strings.Repeat("{},", 340_000)), 422},
		"files within limits":   {files(strings.Repeat(`{"path":"","content":1,"x":1},`, 2_400)), 422},
		"unknown members":       {`{"prompt":"x"` + members.String() + "}", 422},
		"members of other case": {`{"prompt":"x","Prompt":"y","context":{"LANGUAGE":"go"}}`, 422},
		"a blank prompt":        {`{"prompt":"` + strings.Repeat(" ", 900_000) + `"}`, 422},
		"deep lists":            {`{"prompt":"x","context":` + strings.Repeat("[", 500_000), 400},
		"names twice":           {`{"prompt":"x"` + strings.Repeat(`,"prompt":"x"`, 70_000) + "}", 400},
		"the end is missing":    {`{"prompt":"x","context":{"files":[` + strings.Repeat("1,", 500_000), 400},
		"numbers out of range":  {files(strings.Repeat("1e999,", 170_000)), 400},
	} {
		t.Run(name, func(t *testing.T) {
			zipped := compress(t, c.body)
			limit := costtest.Cost{CPU: 150*time.Millisecond + time.Duration(40*len(c.body)),
				Allocated: 16<<20 + 6*uint64(len(c.body))}
			var answer *httptest.ResponseRecorder
			cost := costtest.AtMost(t, limit, func() {
				request := httptest.NewRequest(http.MethodPost, "http://localhost/generate", bytes.NewReader(zipped))
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Content-Encoding", "gzip")
				answer = httptest.NewRecorder()
				b.ServeHTTP(answer, request)
			})
			if answer.Code != c.status {
				t.Errorf("got status %d, want %d: %.300s", answer.Code, c.status, answer.Body)
			}
			t.Logf("%d bytes, %d compressed: %v, %d KiB, %d bytes of answer", len(c.body), len(zipped), cost.CPU,
				cost.Allocated>>10, answer.Body.Len())
		})
	}
}

func compress(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package bridge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The whole way of a call but for the network: guard, body, validation, limits, handler, validation, answer.
func BenchmarkCall(b *testing.B) {
	srv := newBridge(b, loadContract(b), shouter(shout), nil)
	body := `{"text": "` + strings.Repeat("word ", 19) + `", "times": 3}`
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest("POST", "/shout", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

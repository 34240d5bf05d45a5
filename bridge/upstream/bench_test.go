package upstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/upstream"
)

// What the client costs per request beside a plain http.Transport: compare the two.
func BenchmarkRequest(b *testing.B) {
	srv := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"status":"completed"}`)
	})
	plain := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	b.Cleanup(plain.CloseIdleConnections)
	for name, client := range map[string]*http.Client{"plain": plain, "upstream": newClient(b, upstream.Options{}, srv.URL)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := newRequest(b, b.Context(), "POST", srv.URL, strings.Repeat("x", 300))
				if code, _, err := send(client, req); code != 200 {
					b.Fatal(code, err)
				}
			}
		})
	}
}

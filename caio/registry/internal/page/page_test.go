package page_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/page"
)

// Verdicts on guarantees have their place; services without any have a dash there.
func TestEvidence(t *testing.T) {
	t.Parallel()
	for evidence, want := range map[string]string{"": "<li>–</li>", "p95 latency: met": "<li>p95 latency: met</li>"} {
		service := page.Service{ID: "x", Name: "X", Capabilities: []string{"chat"}, Guarantees: []string{"p95 latency ≤ 500 ms"}}
		if evidence != "" {
			service.Evidence = []string{evidence}
		}
		recorder := httptest.NewRecorder()
		if err := page.New().Write(recorder, page.View{Services: page.Services{Total: 1, Matching: 1, First: 1, List: []page.Service{service}}}); err != nil {
			t.Fatal(err)
		}
		if row, _, _ := strings.Cut(recorder.Body.String(), "</tbody>"); !strings.Contains(row, `data-label="Evidence"><ul data-field="evidence">`+want) {
			t.Errorf("evidence %q is not shown as %s:\n%s", evidence, want, row)
		}
	}
}

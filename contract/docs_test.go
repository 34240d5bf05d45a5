package contract_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// What docs/contract.md shows as the tool's output is its output, and the contracts that it shows are valid and equal.
func TestDocumentationShowsWhatIsPrinted(t *testing.T) {
	t.Parallel()
	page := string(read(t, "../docs/contract.md"))
	outputs := documentedOutputs(t)
	var contracts []*contract.Contract
	for _, block := range regexp.MustCompile("(?ms)^```(text|yaml)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		language, text := block[1], block[2]
		switch {
		case language == "text":
			if !slices.ContainsFunc(outputs, func(output string) bool { return strings.Contains(output, text) }) {
				t.Errorf("this is not what is printed:\n%s", text)
			}
		case text != string(read(t, "testdata/broken.yaml")):
			contracts = append(contracts, mustParse(t, text))
		}
	}
	if len(contracts) < 2 {
		t.Fatalf("%d contracts", len(contracts))
	}
	for _, c := range contracts[1:] {
		if !c.Equal(contracts[0]) {
			t.Errorf("the page says that its contracts are equal, but this one differs:\n%s", mustJSON(t, c))
		}
	}
	for _, code := range contract.Codes() {
		if !strings.Contains(page, "`"+code+"`") {
			t.Errorf("the page does not list %s", code)
		}
	}
}

// documentedOutputs returns texts that are printed, or would be.
func documentedOutputs(t *testing.T) []string {
	t.Helper()
	questionable, err := contract.Load(os.DirFS("testdata"), "questionable.yaml")
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer("1.2.3", "1.3.0", "p95: 500", "p95: 600", "maxLength: 100", "maxLength: 50",
		"    - {path: '/items", "    - {path: /models, method: GET}\n    - {path: '/items").Replace(released)
	match := ""
	for _, clause := range mustParse(t, promises).Match(contract.Requirements{
		Capabilities: []string{"chat"},
		AnyOf:        []string{"code_review", "translation"},
		Guarantees:   map[string]contract.Bound{"p50_latency_ms": {Max: new(6000.0)}, "p95_latency_ms": {Max: new(200.0)}},
		Constraints:  map[string]any{"requires_gpu": false, "rate_limit.per_minute": 30, "privacy.gdpr_compliant": true},
	}).Clauses {
		match += fmt.Sprintf("%-5t %s: %s\n", clause.Met, clause.Requirement, clause.Detail)
	}
	codex, err := contract.LoadFile("../providers/codex/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{
		string(read(t, "testdata/broken.golden")), // held against the tool by TestDiagnosticsOfARealisticContract
		contract.Lint(questionable).Error() + "\n",
		broken(t).GitHub(),
		contract.Diff(mustParse(t, released), mustParse(t, edited)).String(),
		match,
		codex.API.Endpoints[1].InputSchema.Validate([]byte(`{"cod": "x", "context": {"language": 5}}`)).Error() + "\n",
	}
	for _, code := range contract.Codes() {
		outputs = append(outputs, contract.Explain(code)+"\n")
	}
	return outputs
}

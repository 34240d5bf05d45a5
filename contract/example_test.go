package contract_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/contract"
)

const demo = `service:
  id: demo-001
  name: Demo
  version: 1.0.0
  capabilities:
    - type: chat
  guarantees:
    latency:
      property: p95_latency_ms
      bound: {max: 5000}
  api:
    protocol: http
    base_url: http://127.0.0.1:8082
    endpoints:
      - {path: /chat, method: POST, input_schema: chat.json}
      - {path: /health, method: GET}
`

// Contracts are often embedded, with their schemas, by means of embed.FS.
func ExampleLoad() {
	files := fstest.MapFS{
		"contract.yaml": {Data: []byte(demo)},
		"chat.json":     {Data: []byte(`{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}`)},
	}
	c, err := contract.Load(files, "contract.yaml")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.ID, c.API.Endpoints[0])
	fmt.Println(c.API.Endpoints[0].InputSchema.Validate([]byte(`{"text": 1}`)))
	// Output:
	// demo-001 POST /chat
	// /text: must be text, found the number 1
}

func ExampleLoadFile() {
	_, err := contract.LoadFile("testdata/tiny_broken.yaml")
	fmt.Println(err)
	// Output:
	// testdata/tiny_broken.yaml:4:12: error: service.version must be text, found the number 1.4 [schema/type]
	//   4 |   version: 1.4
	//     |            ^^^
	//     = at:  service.version
	//     = fix: write "1.4.0": three numbers, in quotes
	// testdata/tiny_broken.yaml:10:9: error: unknown field "methd"; the required field "method" is missing [schema/unknown-field]
	//  10 |       - methd: GET
	//     |         ^^^^^
	//     = at:  service.api.endpoints[0].methd
	//     = fix: did you mean "method"?
}

func ExampleDiagnostics() {
	_, err := contract.Parse("contract.yaml", []byte("service:\n  id: demo\n"))
	if faults, ok := errors.AsType[contract.Diagnostics](err); ok {
		for _, fault := range faults {
			fmt.Printf("line %d: %s\n", fault.Line, fault.Message)
		}
	}
	// Output:
	// line 1: service lacks the required field "api"
	// line 1: service lacks the required field "capabilities"
	// line 1: service lacks the required field "name"
	// line 1: service lacks the required field "version"
}

func ExampleContract_Match() {
	c, err := contract.Parse("contract.yaml", []byte(demo))
	if err != nil {
		log.Fatal(err)
	}
	match := c.Match(contract.Requirements{
		Capabilities: []string{"chat"},
		Guarantees:   map[string]contract.Bound{"p95_latency_ms": {Max: new(200.0)}},
	})
	fmt.Println(match.OK)
	for _, clause := range match.Clauses {
		fmt.Println(clause.Met, clause.Requirement+":", clause.Detail)
	}
	// Output:
	// false
	// true capabilities: chat: offers chat
	// false guarantees.p95_latency_ms: promises p95_latency_ms <= 5000, <= 200 was required
}

func ExampleContract_WithBaseURL() {
	c, err := contract.Parse("contract.yaml", []byte(demo))
	if err != nil {
		log.Fatal(err)
	}
	// The address at which the service is reached is often known only when it runs.
	c, err = c.WithBaseURL("https://bridge.example:8443")
	fmt.Println(c.API.BaseURL, err)
	_, err = c.WithBaseURL("bridge.example")
	fmt.Println(err)
	// Output:
	// https://bridge.example:8443 <nil>
	// contract: base URL "bridge.example": base_url must be absolute [api/base-url]; write for example http://127.0.0.1:8082
}

func ExampleLint() {
	c, err := contract.Load(os.DirFS("testdata"), "questionable.yaml")
	if err != nil {
		log.Fatal(err)
	}
	for _, warning := range contract.Lint(c) {
		fmt.Printf("%d: %s\n", warning.Line, warning.Message)
	}
	// Output:
	// 7: code_generation states an accuracy of at least 0.85, but the guarantees promise none
	// 11: encryption is promised, but base_url is plain http on this machine
	// 13: POST /generate takes a body, but has no input_schema
}

func ExampleExplain() {
	fmt.Println(contract.Explain("guarantee/quantile-order"))
	// Output:
	// guarantee/quantile-order (error)
	//
	// p50 <= p95 <= p99 <= max.
	//
	// If 99 % of calls take at most 900 ms, then 95 % do, too.
}

func ExampleDiff() {
	before, err := contract.Parse("before.yaml", []byte(demo))
	if err != nil {
		log.Fatal(err)
	}
	after, err := contract.Parse("after.yaml", []byte(strings.NewReplacer("max: 5000", "max: 8000", "1.0.0", "1.1.0").Replace(demo)))
	if err != nil {
		log.Fatal(err)
	}
	changes := contract.Diff(before, after)
	fmt.Print(changes)
	fmt.Println("required:", changes.Required, "made:", changes.Made)
	// Output:
	// breaking: guarantees.latency.bound.max: changed from 5000 to 8000, to the disadvantage of callers [guarantee/weakened, major]
	// version: 1.0.0 to 1.1.0 is a minor step, but the changes need a major one: 2.0.0
	// required: major made: minor
}

func ExampleMatcher() {
	c, err := contract.Parse("contract.yaml", []byte(demo))
	if err != nil {
		log.Fatal(err)
	}
	query := contract.NewMatcher(contract.Requirements{Capabilities: []string{"chat"}})
	for _, one := range []*contract.Contract{c} {
		if query.Matches(one) {
			fmt.Println(one.ID)
		}
	}
	// Output:
	// demo-001
}

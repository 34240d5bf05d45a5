package contract_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/smarthaus/caio-bridge-go/contract"
)

func BenchmarkLoad(b *testing.B) {
	data := read(b, "testdata/planned_codex.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contract.Parse("planned_codex.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadJSON(b *testing.B) {
	data := mustJSON(b, mustParse(b, string(read(b, "testdata/planned_codex.yaml"))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contract.Parse("planned_codex.json", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadBroken(b *testing.B) {
	data := read(b, "testdata/broken.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contract.Parse("broken.yaml", data); err == nil {
			b.Fatal("it should be refused")
		}
	}
}

// BenchmarkLoadHostile loads files of 256 KiB that are made to be slow.
func BenchmarkLoadHostile(b *testing.B) {
	for name, text := range hostileFiles() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := contract.Parse("hostile", []byte(text)); err == nil {
					b.Fatal("it should be refused")
				}
			}
		})
	}
}

// generateRequest and the decoding below are as in a bridge for the contract of providers/codex.
type generateRequest struct {
	Prompt  string `json:"prompt"`
	Context struct {
		Language string                    `json:"language"`
		Files    []sourceFile              `json:"files"`
		Other    map[string]jsontext.Value `json:",embed"`
	} `json:"context"`
	MaxTokens int `json:"max_tokens"`
}

type sourceFile struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

var decodeOptions = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false),
	jsonv2.MatchCaseInsensitiveNames(false), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))

// BenchmarkRequest is what a bridge does with a body: check it by the schema, then decode it.
func BenchmarkRequest(b *testing.B) {
	endpoint := codexEndpoint(b, "POST /generate")
	for _, size := range []int{1 << 10, 64 << 10} {
		line := strings.Repeat(`func add(a, b int) int {\n\treturn a + b\n}\n`, (size-220)/44)
		body := []byte(`{"prompt": "Write a function that adds two numbers,\nand a test", "max_tokens": 512, "context": {"language": "go", "style": "terse", "files": [{"path": "add.go", "content": "` + line + `"}]}}`)
		b.Run(fmt.Sprintf("validate/%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := endpoint.InputSchema.Validate(body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("validate+decode/%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var request generateRequest
				if err := endpoint.InputSchema.Validate(body); err != nil {
					b.Fatal(err)
				}
				if err := jsonv2.Unmarshal(body, &request, decodeOptions); err != nil {
					b.Fatal(err)
				}
			}
		})
		invalid := bytes.Replace(body, []byte("512"), []byte("5.5"), 1)
		b.Run(fmt.Sprintf("refuse/%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := endpoint.InputSchema.Validate(invalid); err == nil {
					b.Fatal("it should be refused")
				}
			}
		})
	}
}

// BenchmarkResponse checks an answer of a kilobyte.
func BenchmarkResponse(b *testing.B) {
	endpoint := codexEndpoint(b, "POST /generate")
	body := []byte(`{"code": "` + strings.Repeat(`func add(a, b int) int {\n\treturn a + b\n}\n`, 14) + `", "language": "go", "explanation": "Adds two numbers.", "model": "gpt-6.1-sol",
		"usage": {"input_tokens": 310, "cached_input_tokens": 0, "output_tokens": 95, "reasoning_tokens": 40, "total_tokens": 405},
		"request_id": "6f2b9c1e5d7a4f03", "response_id": "resp_0f3a"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := endpoint.OutputSchema.Validate(body); err != nil {
			b.Fatal(err)
		}
	}
}

func codexEndpoint(b *testing.B, pattern string) contract.Endpoint {
	c, err := contract.LoadFile("../providers/codex/contract.yaml")
	if err != nil {
		b.Fatal(err)
	}
	i := slices.IndexFunc(c.API.Endpoints, func(e contract.Endpoint) bool { return e.String() == pattern })
	return c.API.Endpoints[i]
}

func BenchmarkMatch(b *testing.B) {
	c := mustParse(b, promises)
	r := contract.Requirements{Capabilities: []string{"chat"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: new(5000.0)}},
		Constraints: map[string]any{"requires_internet": false}}
	b.ReportAllocs()
	for b.Loop() {
		if !c.Match(r).OK {
			b.Fatal("it should match")
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	before := mustParse(b, released)
	after := mustParse(b, strings.NewReplacer("p95: 500", "p95: 600", "maxLength: 100", "maxLength: 50").Replace(released))
	b.ReportAllocs()
	for b.Loop() {
		if len(contract.Diff(before, after).List) != 2 {
			b.Fatal("there should be two changes")
		}
	}
}

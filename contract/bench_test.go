package contract_test

import (
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract"
)

func BenchmarkLoad(b *testing.B) {
	data := read(b, "testdata/seed_codex.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contract.Parse("seed_codex.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadJSON(b *testing.B) {
	data := mustJSON(b, mustParse(b, string(read(b, "testdata/seed_codex.yaml"))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contract.Parse("seed_codex.json", data); err != nil {
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

const requestSchema = `{"type": "object", "required": ["prompt"], "additionalProperties": false, "properties": {
 "prompt": {"type": "string", "minLength": 1, "maxLength": 100000},
 "max_tokens": {"type": "integer", "minimum": 1, "maximum": 4096},
 "context": {"type": "object", "properties": {
  "language": {"type": "string", "enum": ["go", "python", "rust"]},
  "files": {"type": "array", "maxItems": 64, "items": {"type": "object", "required": ["path", "content"], "additionalProperties": false,
   "properties": {"path": {"type": "string", "minLength": 1, "maxLength": 4096}, "content": {"type": "string"}}}}}}}}`

func requestBody(size int) []byte {
	content := strings.Repeat(`func add(a, b int) int {\n\treturn a + b\n}\n`, (size-200)/45)
	return []byte(`{"prompt": "Write a function that adds two numbers, and a test", "max_tokens": 512, "context": {"language": "go", "files": [{"path": "add.go", "content": "` + content + `"}]}}`)
}

func BenchmarkSchemaValidate(b *testing.B) {
	schema := compile(b, requestSchema)
	for name, body := range map[string][]byte{"1KB": requestBody(1 << 10), "64KB": requestBody(64 << 10)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := schema.Validate(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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

package page_test

import (
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// services are contracts of the kinds that CAIO's documents name. The Codex bridge's own goes with them.
var services = []string{`
service:
  id: copilot-bridge-001
  name: GitHub Copilot
  version: 2.1.0
  capabilities:
    - {type: code_generation, accuracy: {min: 0.82}}
    - {type: code_completion, accuracy: {min: 0.9}}
  guarantees:
    latency: {property: p95_latency_ms, bound: {max: 1200}}
    availability: {property: availability, bound: {min: 0.999}}
  cost: {model: per_request, base_cost: 0.02, currency: USD}
  constraints: {requires_gpu: false, requires_internet: true}
  metadata: {documentation_url: "https://docs.example/copilot"}
  api: {protocol: http, base_url: "https://copilot.example/v1", endpoints: [{path: /generate, method: POST}]}
`, `
service:
  id: ollama-local
  name: Ollama, on the device
  version: 0.9.3
  capabilities:
    - {type: code_generation, accuracy: {min: 0.7}}
    - {type: chat}
    - {type: embeddings}
  guarantees:
    latency: {property: p95_latency_ms, bound: {max: 9000}}
    determinism: {property: deterministic_output, bound: {seed_required: true}}
  cost: {model: free}
  privacy: {data_locality: on_device, encryption: true}
  constraints: {requires_gpu: true, requires_internet: false}
  api: {protocol: http, base_url: "http://localhost:11434", endpoints: [{path: /generate, method: POST}]}
`, `
service:
  id: tavily-search
  name: Tavily web search
  version: 1.4.0
  capabilities: [{type: web_search, accuracy: {min: 0.88}}]
  guarantees:
    latency: {property: p95_latency_ms, bound: {max: 2500}}
    throughput: {property: requests_per_second, bound: {min: 20}}
  cost: {model: per_request, base_cost: 0.008, currency: USD}
  api: {protocol: http, base_url: "https://search.example", endpoints: [{path: /search, method: POST}]}
`, `
service:
  id: deepgram-voice
  name: Deepgram speech to text
  version: 3.0.1
  capabilities: [{type: speech_to_text, accuracy: {min: 0.93}}]
  guarantees:
    accuracy: {property: recall_accuracy, bound: {min: 0.92}}
    latency: {property: p99_latency_ms, bound: {max: 700}}
  api: {protocol: http, base_url: "https://voice.example", endpoints: [{path: /listen, method: POST}]}
`, `
service:
  id: translator-001
  name: Translator
  version: 1.0.0
  capabilities: [{type: translation}]
  api: {protocol: http, base_url: "http://localhost:8090", endpoints: [{path: /translate, method: POST}]}
`}

// hostile is a contract whose author would like to be more than text on the page.
const hostile = `
service:
  id: evil-001
  name: "</td></table><script>document.title = 'taken over'</script><img src=x onerror=alert(1)> \u202Ereversed"
  version: 1.0.0
  capabilities: [{type: "<b>bold</b>{{.Version}}"}]
  guarantees:
    own: {property: "\"><svg/onload=alert(2)>", bound: {max: 1}}
  metadata: {documentation_url: "javascript:alert(3)"}
  api: {protocol: http, base_url: "http://localhost:9/<script>alert(4)</script>", endpoints: [{path: /x, method: POST}]}
`

func parse(t testing.TB, text string) *contract.Contract {
	t.Helper()
	ct, err := contract.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// newRegistry returns a registry with the services.
func newRegistry(t testing.TB, opts *registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ct, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	contracts := []*contract.Contract{ct}
	for _, text := range services {
		contracts = append(contracts, parse(t, text))
	}
	for _, ct := range contracts {
		if _, err := r.Register(t.Context(), ct, nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

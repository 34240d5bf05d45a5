package contract_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// plain is a contract that nothing is wrong with.
const plain = `service_id: demo
name: Demo
version: 1.0.0
capabilities: [chat]
api:
  protocol: http
  base_url: http://127.0.0.1:8082
  endpoints:
    - {path: /chat, method: POST, input_schema: {type: object}, output_schema: {type: object, required: [text]}}
    - {path: /health, method: GET}
`

// ruleCases break plain once each: old is replaced by new, or new is appended (as line 11) if old is "". A file of its own
// starts with "=". want is the place of the diagnostic with the code.
var ruleCases = []struct {
	code, old, new, want string
}{
	{"file/syntax", "=", "service:\n  id: demo\n name: x\n", "3:2"},
	{"file/empty", "=", "# nothing\n", "1:1"},
	{"file/encoding", "name: Demo", "name: De\x00mo", "2:9"},
	{"file/multi-document", "", "---\na: 1\n", "11:1"},
	{"file/duplicate-key", "", "name: Again\n", "11:1"},
	{"file/key-not-text", "", "x-a: {1: a}\n", "11:7"},
	{"file/tag", "", "x-a: !!binary aGk=\n", "11:6"},
	{"file/alias-cycle", "", "x-a: &a [*a]\n", "11:10"},
	{"file/alias-limit", "", "x-a: &a [1]\nx-b: [" + strings.Repeat("*a,", 1001) + "]\n", "12:3007"},
	{"file/node-limit", "", "x-a: &a [" + strings.Repeat("1,", 990) + "]\nx-b: [" + strings.Repeat("*a,", 220) + "]\n", "11:1178"},
	{"file/depth-limit", "", "x-a: " + strings.Repeat("[", 101) + strings.Repeat("]", 101) + "\n", "11:106"},
	{"file/size-limit", "", "# " + strings.Repeat("x", 256<<10) + "\n", "1:1"},
	{"file/number-range", "", "x-a: .inf\n", "11:6"},
	{"file/number-form", "", "x-a: 0x1F\n", "11:6"},
	{"file/leading-zero", "", "x-a: 0777\n", "11:6"},
	{"file/merge", "", "x-a: {<<: 1}\n", "11:11"},
	{"file/read-differently", "", "x-a: yes\n", "11:6"},

	{"contract/shape", "=", "- a\n", "1:1"},
	{"contract/mixed-shape", "=", "service:\n  " + strings.TrimSuffix(strings.ReplaceAll(strings.Replace(plain, "service_id", "id", 1), "\n", "\n  "), "  ") + "colour: red\n", "12:1"},
	{"contract/both-ids", "", "id: other\n", "11:1"},
	{"contract/id", "service_id: demo", "service_id: Demo!", "1:13"},
	{"contract/version", "1.0.0", "v1.0.0", "3:10"},
	{"schema/required", "name: Demo\n", "", "1:1"},
	{"schema/unknown-field", "name: Demo", "nmae: Demo", "2:1"},
	{"schema/type", "1.0.0", "1.0", "3:10"},
	{"schema/enum", "protocol: http", "protocol: htpp", "6:13"},
	{"schema/value", "", "constraints: {max_concurrent_requests: 0}\n", "11:40"},

	{"capability/duplicate", "[chat]", "[chat, chat]", "4:22"},
	{"capability/min-over-target", "=", strings.Replace(plain, "[chat]", "[{type: chat, accuracy: {min: 0.9, target: 0.8}}]", 1) + "guarantees: {accuracy: 0.9}\n", "4:45"},
	{"capability/ratio-range", "[chat]", "[{type: chat, accuracy: {target: 95}}]", "4:48"},
	{"capability/unknown-endpoint", "[chat]", "[{type: chat, endpoint: POST /chat}, {type: other, endpoint: POST /chta}]", "4:76"},
	{"capability/no-endpoint", "[chat]", "[{type: chat, endpoint: POST /chat}, other]", "4:52"},
	{"capability/accuracy-not-guaranteed", "[chat]", "[{type: chat, accuracy: {min: 0.9}}]", "4:45"},
	{"guarantee/form", "", "guarantees: {smoothness: 3}\n", "11:14"},
	{"guarantee/empty-bound", "", "guarantees: {latency: {property: p95_latency_ms, bound: {min: 9, max: 5}}}\n", "11:63"},
	{"guarantee/bound-direction", "", "guarantees: {latency: {property: p95_latency_ms, bound: {min: 9}}}\n", "11:58"},
	{"guarantee/non-positive", "", "guarantees: {latency: 0}\n", "11:23"},
	{"guarantee/ratio-range", "", "guarantees: {availability: {property: availability, bound: {min: 99.9}}}\n", "11:66"},
	{"guarantee/unit", "", "guarantees: {latency: {property: p95_latency_ms, bound: {max: 5, unit: s}}}\n", "11:72"},
	{"guarantee/duplicate-property", "", "guarantees: {accuracy: 0.9, classification_accuracy: 0.8}\n", "11:29"},
	{"guarantee/misspelt-property", "", "guarantees: {latency: {property: p95_latncy_ms, bound: {max: 5}}}\n", "11:34"},
	{"guarantee/quantile-order", "", "guarantees: {latency: {p95_ms: 900, p99_ms: 500}}\n", "11:45"},
	{"guarantee/throughput-over-rate-limit", "", "guarantees: {throughput: 20}\nconstraints: {rate_limit: {per_minute: 100}}\n", "11:26"},
	{"guarantee/unknown-invariant", "", "guarantees: {accuracy: {min: 0.9, invariant: INV-1}}\n", "11:46"},
	{"guarantee/unknown-property", "", "guarantees: {colour: {property: colour_depth, bound: {min: 8}}}\n", "11:33"},
	{"guarantee/vacuous", "", "guarantees: {accuracy: 0}\n", "11:24"},
	{"guarantee/latency-over-timeout", "", "guarantees: {latency: 5000}\nconstraints: {timeout_ms: 3000}\n", "11:23"},
	{"guarantee/seed-not-in-input", "", "guarantees: {determinism: {seed_required: true}}\n", "11:43"},
	{"guarantee/formula-only", "", "guarantees: {energy: {property: classification_accuracy, bound: {formula: a == b}}}\n", "11:66"},
	{"guarantee/unverifiable", "", "guarantees: {latency: {p99: 500}}\nconstraints: {rate_limit: {per_day: 100}}\n", "11:14"},
	{"guarantee/little", "", "guarantees: {throughput: 10, latency: 5000}\nconstraints: {max_concurrent_requests: 10}\n", "11:26"},
	{"invariant/duplicate", "", "invariants: [{id: A}, {id: A}]\n", "11:28"},
	{"invariant/check-syntax", "", "invariants: [{id: A, artifact: {path: a.json, checks: [fast enough]}}]\n", "11:56"},
	{"invariant/unused", "", "guarantees: {accuracy: 0.9}\ninvariants: [{id: A}]\n", "12:19"},
	{"invariant/threshold-differs", "", "guarantees: {accuracy: {min: 0.9, invariant: A}}\ninvariants: [{id: A, threshold: {min: 0.8}}]\n", "12:39"},

	{"cost/negative", "", "cost: {model: per_token, token_cost: -1}\n", "11:38"},
	{"cost/currency", "", "cost: {model: per_token, token_cost: 1, currency: usd}\n", "11:51"},
	{"cost/model-field", "", "cost: {model: free, base_cost: 1}\n", "11:32"},
	{"cost/currency-missing", "", "cost: {per_token: 1}\n", "11:1"},
	{"cost/field-unused-by-model", "", "cost: {model: per_request, base_cost: 1, token_cost: 1, currency: EUR}\n", "11:42"},
	{"privacy/encryption-contradiction", "", "privacy: {encryption: false, encryption_type: tls}\n", "11:47"},
	{"privacy/plain-base-url", "=", strings.Replace(plain, "127.0.0.1", "example.com", 1) + "privacy: {encryption: true}\n", "7:13"},
	{"privacy/plain-loopback", "", "privacy: {encryption: true}\n", "7:13"},
	{"privacy/retention-contradiction", "", "privacy: {data_retention: session, retention_days: 30}\n", "11:52"},
	{"privacy/hipaa-unencrypted", "", "privacy: {encryption: false, hipaa_compliant: true}\n", "11:47"},
	{"privacy/locality-url", "=", strings.Replace(plain, "127.0.0.1", "example.com", 1) + "privacy: {data_locality: local}\n", "11:26"},
	{"privacy/regions-unused", "", "privacy: {data_locality: local, regions: [eu]}\n", "11:33"},
	{"privacy/gdpr-indefinite", "", "privacy: {gdpr_compliant: true, data_retention: indefinite}\n", "11:49"},
	{"alignment/unfiltered", "", "alignment: {safety_level: high, content_filtering: false}\n", "11:52"},
	{"constraints/internet", "=", strings.Replace(plain, "127.0.0.1", "example.com", 1) + "constraints: {requires_internet: false}\n", "11:34"},
	{"constraints/tokens", "=", strings.Replace(plain, "{type: object}", "{properties: {max_tokens: {type: integer, maximum: 9000}}}", 1) + "constraints: {context_length: {max_tokens: 4096}}\n", "9:49"},
	{"constraints/bytes", "=", strings.Replace(plain, "{type: object}", "{properties: {text: {type: string, minLength: 9000}}}", 1) + "constraints: {max_request_bytes: 4096}\n", "9:49"},
	{"rate-limit/order", "", "constraints: {rate_limit: {per_minute: 100, per_hour: 50}}\n", "11:55"},
	{"rate-limit/unreachable", "", "constraints: {rate_limit: {per_second: 1, per_minute: 100}}\n", "11:55"},

	{"api/base-url", "http://127.0.0.1:8082", "http://user:pass@127.0.0.1", "7:13"},
	{"api/protocol-scheme", "http://127.0.0.1:8082", "ftp://127.0.0.1", "7:13"},
	{"api/no-health", "/health", "/status", "8:3"},
	{"api/secret", "", "x-key: sk-abcdefghijklmnopqrstuvwx\n", "11:8"},
	{"endpoint/duplicate", "", "    - {path: /chat/, method: post, input_schema: {type: object}, output_schema: {type: object, required: [text]}}\n", "11:14"},
	{"endpoint/id-duplicate", "=", strings.ReplaceAll(plain, "- {path", "- {id: a, path"), "10:12"},
	{"endpoint/path-form", "", "    - {path: /a/../b, method: GET}\n", "11:14"},
	{"endpoint/schema-escape", "input_schema: {type: object}", "input_schema: ../secret.json", "9:49"},
	{"endpoint/schema-file", "input_schema: {type: object}", "input_schema: missing.json", "9:49"},
	{"endpoint/schema-invalid", "{type: object}", "{type: objct}", "9:56"},
	{"endpoint/schema-unsafe", "{type: object}", `{$id: "?"}`, "9:55"},
	{"endpoint/ambiguous", "", "    - {path: '/{name}', method: POST, input_schema: {type: object}, output_schema: {type: object, required: [text]}}\n", "11:14"},
	{"endpoint/no-schema", "input_schema: {type: object}, ", "", "9:7"},
	{"endpoint/get-body", "method: GET", "method: GET, input_schema: {type: object, properties: {filter: {type: object}}}", "10:36"},
	{"endpoint/unused", "[chat]", "[{type: chat, endpoint: GET /health}]", "9:7"},
	{"schema/empty-enum", "{type: object}", "{enum: []}", "9:56"},
	{"schema/unsatisfiable", "{type: object}", "{minLength: 5, maxLength: 3}", "9:61"},
	{"schema/required-not-allowed", "{type: object}", "{required: [a], additionalProperties: false}", "9:61"},
	{"schema/bad-example", "{type: object}", "{type: object, example: text}", "9:73"},
	{"schema/unknown-keyword", "{type: object}", "{type: object, requierd: [a]}", "9:64"},
	{"schema/untyped", "{type: object}", "{type: object, properties: {a: {title: A}}}", "9:49"},
	{"schema/open-output", "{type: object, required: [text]}", "{type: object}", "9:80"},
}

// Every rule fires at its place, and no other rule with it. What it says is in testdata/rules.golden.
func TestEveryRuleFiresAlone(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	for _, c := range ruleCases {
		text := strings.Replace(plain, c.old, c.new, 1)
		switch {
		case c.old == "=":
			text = c.new
		case c.old == "":
			text = plain + c.new
		case !strings.Contains(plain, c.old):
			t.Fatalf("the case of %s replaces %q, which is not there", c.code, c.old)
		}
		found := diagnose(text)
		if diff := cmp.Diff([]string{c.want + " " + c.code}, places(found)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.code, diff)
		}
		if contract.Explain(c.code) == "" {
			t.Errorf("%s has no explanation", c.code)
		}
		printed.WriteString(found.Error() + "\n")
	}
	if *update {
		if err := os.WriteFile("testdata/rules.golden", []byte(printed.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, "testdata/rules.golden")), printed.String()); diff != "" {
		t.Errorf("diagnostics (-want +got); go test -update accepts them:\n%s", diff)
	}
}

func TestEveryCodeHasACase(t *testing.T) {
	t.Parallel()
	var tested []string
	for _, c := range ruleCases {
		tested = append(tested, c.code)
	}
	slices.Sort(tested)
	if diff := cmp.Diff(contract.Codes(), tested); diff != "" {
		t.Errorf("rules (-defined +tested):\n%s", diff)
	}
}

func TestPlainContractHasNoDiagnostics(t *testing.T) {
	t.Parallel()
	if found := diagnose(plain); len(found) > 0 {
		t.Errorf("unexpected:\n%v", found)
	}
}

// The contract of the Codex bridge is meant to be copied. Its base_url is for trying it out on one machine.
func TestCodexContractHasNoWarningsButThatOfItsAddress(t *testing.T) {
	t.Parallel()
	c, err := contract.LoadFile("../providers/codex/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if found := contract.Lint(c); len(found) != 1 || found[0].Code != "privacy/plain-loopback" {
		t.Errorf("found:\n%v", found)
	}
}

// diagnose returns errors and, for a valid contract, warnings.
func diagnose(text string) contract.Diagnostics {
	c, err := contract.Load(single(text), "contract.yaml")
	if found, ok := errors.AsType[contract.Diagnostics](err); ok {
		return found
	}
	return contract.Lint(c)
}

func places(list contract.Diagnostics) []string {
	var places []string
	for _, d := range list {
		places = append(places, fmt.Sprintf("%d:%d %s", d.Line, d.Column, d.Code))
	}
	return places
}

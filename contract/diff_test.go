package contract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

const released = `service_id: demo
name: Demo
version: 1.2.3
capabilities:
  - {type: chat, accuracy: {min: 0.9, target: 0.95}, capacity: {max_tokens: 4096}}
  - {type: review}
guarantees:
  accuracy: {min: 0.9, invariant: INV-1}
  latency: {p95: 500}
  determinism: {seed_required: false}
cost: {model: per_token, token_cost: 0.1, currency: EUR}
privacy: {data_locality: regional, encryption: true, encryption_type: tls, regions: [eu, ch], gdpr_compliant: true}
alignment: {safety_level: high, content_filtering: true}
constraints: {max_concurrent_requests: 10, rate_limit: {per_minute: 60}, requires_gpu: false, timeout_ms: 9000}
api:
  protocol: http
  base_url: https://demo.internal
  endpoints:
    - path: /chat
      method: POST
      input_schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 100}}}
      output_schema: {type: object, required: [text], properties: {text: {type: string}}}
    - {path: '/items/{id}', method: GET}
invariants:
  - {id: INV-1, description: accurate, formula: a >= 0.9, threshold: {min: 0.9}}
  - {id: INV-2}
metadata: {tags: [a]}
`

// The rules of evolution: what each edit of a released contract means.
func TestDiffClassifiesEveryChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"service_id: demo", "service_id: demo2", "breaking major contract/id-changed service_id"},
		{"name: Demo", "name: Demo!", "neutral patch contract/text name"},
		{"tags: [a]", "tags: [b]", "neutral patch contract/text metadata"},
		{"  - {type: review}\n", "", "breaking major capability/removed capabilities.review"},
		{"  - {type: review}\n", "  - {type: review}\n  - {type: run}\n", "additive minor capability/added capabilities.run"},
		{"{min: 0.9, target", "{min: 0.8, target", "breaking major capability/weakened capabilities.chat.accuracy.min"},
		{"{min: 0.9, target", "{min: 0.93, target", "additive minor capability/strengthened capabilities.chat.accuracy.min"},
		{"target: 0.95", "target: 0.94", "neutral minor capability/target-lowered capabilities.chat.accuracy.target"},
		{"max_tokens: 4096", "max_tokens: 2048", "breaking major capability/weakened capabilities.chat.capacity.max_tokens"},
		{"{min: 0.9, invariant: INV-1}", "{min: 0.95, invariant: INV-1}", "additive minor guarantee/strengthened guarantees.accuracy.bound.min"},
		{"p95: 500", "p95: 600", "breaking major guarantee/weakened guarantees.latency.bound.max"},
		{"p95: 500", "p95: 400", "additive minor guarantee/strengthened guarantees.latency.bound.max"},
		{"p95: 500", "p95: 500, p99: 900", "additive minor guarantee/added guarantees.latency"},
		{"  latency: {p95: 500}\n", "", "breaking major guarantee/removed guarantees.latency"},
		{"  latency:", "  speed:", "breaking major guarantee/renamed guarantees.latency"},
		{"seed_required: false", "seed_required: true", "breaking major guarantee/weakened guarantees.determinism.bound.seed_required"},
		{"token_cost: 0.1", "token_cost: 0.2", "breaking major cost/weakened cost.token_cost"},
		{"token_cost: 0.1", "token_cost: 0.05", "additive minor cost/strengthened cost.token_cost"},
		{"currency: EUR", "currency: USD", "breaking major cost/currency-changed cost.currency"},
		{"cost: {model: per_token, token_cost: 0.1, currency: EUR}\n", "", "breaking major cost/removed cost"},
		{"regional", "cloud", "breaking major privacy/weakened privacy.data_locality"},
		{"regional", "local", "additive minor privacy/strengthened privacy.data_locality"},
		{"encryption_type: tls", "encryption_type: mtls", "additive minor privacy/strengthened privacy.encryption_type"},
		{"[eu, ch]", "[eu, ch, us]", "breaking major privacy/region-added privacy.regions"},
		{"[eu, ch]", "[eu]", "additive minor privacy/region-removed privacy.regions"},
		{"gdpr_compliant: true", "gdpr_compliant: false", "breaking major privacy/weakened privacy.gdpr_compliant"},
		{"safety_level: high", "safety_level: medium", "breaking major alignment/weakened alignment.safety_level"},
		{"content_filtering: true", "content_filtering: false", "breaking major alignment/weakened alignment.content_filtering"},
		{"max_concurrent_requests: 10", "max_concurrent_requests: 5", "breaking major constraints/weakened constraints.max_concurrent_requests"},
		{"per_minute: 60", "per_minute: 120", "additive minor constraints/strengthened constraints.rate_limit.per_minute"},
		{"rate_limit: {per_minute: 60}, ", "", "additive minor constraints/strengthened constraints.rate_limit.per_minute"},
		{"requires_gpu: false", "requires_gpu: true", "breaking major constraints/weakened constraints.requires_gpu"},
		{"requires_gpu: false, ", "", "neutral patch constraints/stated constraints.requires_gpu"},
		{"timeout_ms: 9000", "timeout_ms: 5000", "breaking major constraints/weakened constraints.timeout_ms"},
		{"timeout_ms: 9000", "timeout_ms: 9000, zone: eu", "undecided major constraints/changed constraints.zone"},
		{"https://demo.internal", "https://other.internal", "neutral minor api/base-url-moved api.base_url"},
		{"    - {path: '/items/{id}', method: GET}\n", "", "breaking major endpoint/removed api.endpoints[GET /items/{id}]"},
		{"/items/{id}', method: GET}", "/items/{name}', method: GET}\n    - {path: /x, method: GET}", "additive minor endpoint/added api.endpoints[GET /x]"},
		{"maxLength: 100", "maxLength: 50", "breaking major schema/input-breaking api.endpoints[POST /chat].input_schema at text"},
		{"maxLength: 100", "maxLength: 200", "additive minor schema/input-widened api.endpoints[POST /chat].input_schema"},
		{"maxLength: 100", "maxLength: 100, pattern: a", "undecided major schema/input-undecided api.endpoints[POST /chat].input_schema at text"},
		{"maxLength: 100", "maxLength: 100, title: Text", "neutral patch schema/text api.endpoints[POST /chat].input_schema"},
		{"output_schema: {type: object, required: [text],", "output_schema: {type: object,", "breaking major schema/output-breaking api.endpoints[POST /chat].output_schema"},
		{"properties: {text: {type: string}}", "properties: {text: {type: string}, id: {type: string}}", "additive minor schema/output-narrowed api.endpoints[POST /chat].output_schema"},
		{"  - {id: INV-2}\n", "", "neutral minor invariant/removed invariants.INV-2"},
		{"  - {id: INV-2}\n", "  - {id: INV-2}\n  - {id: INV-3}\n", "additive minor invariant/added invariants.INV-3"},
		{"threshold: {min: 0.9}", "threshold: {min: 0.8}", "breaking major invariant/weakened invariants.INV-1.threshold.min"},
		{"formula: a >= 0.9", "formula: b >= 0.9", "undecided major invariant/formula-changed invariants.INV-1.formula"},
		{"description: accurate", "description: precise", "neutral patch invariant/text invariants.INV-1"},
	} {
		if !strings.Contains(released, c.old) {
			t.Fatalf("%q is not there", c.old)
		}
		text := strings.Replace(released, c.old, c.new, 1)
		after := mustParse(t, text)
		changes := contract.Diff(mustParse(t, released), after)
		var got []string
		for _, change := range changes.List {
			got = append(got, fmt.Sprintf("%s %s %s %s", change.Class, change.Bump, change.Rule, change.Path))
			if change.Why == "" {
				t.Errorf("no reason: %+v", change)
			}
		}
		if diff := cmp.Diff([]string{c.want}, got); diff != "" {
			t.Errorf("%q to %q (-want +got):\n%s", c.old, c.new, diff)
		}
	}
}

func TestDiffChecksTheVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, after, old, new, required, made, fault string }{
		{"1.2.3", "1.2.3", "", "", "none", "none", ""},
		{"1.2.3", "1.2.3", "p95: 500", "p95: 600", "major", "none", "the version is still 1.2.3, but the changes need a major step: 2.0.0"},
		{"1.2.3", "1.3.0", "p95: 500", "p95: 600", "major", "minor", "1.2.3 to 1.3.0 is a minor step, but the changes need a major one: 2.0.0"},
		{"1.2.3", "1.2.4", "p95: 500", "p95: 400", "minor", "patch", "1.2.3 to 1.2.4 is a patch step, but the changes need a minor one: 1.3.0"},
		{"1.2.3", "2.0.0", "p95: 500", "p95: 600", "major", "major", ""},
		{"1.2.3", "1.2.4", "name: Demo", "name: Other", "patch", "patch", ""},
		{"1.2.3", "1.2.2", "", "", "none", "none", "the version went back from 1.2.3 to 1.2.2"},
		{"1.10.0", "1.9.0", "", "", "none", "none", "the version went back from 1.10.0 to 1.9.0"},
		{"0.3.1", "0.3.2", "p95: 500", "p95: 600", "major", "minor", "0.3.1 to 0.3.2 is a minor step, but the changes need a major one: 0.4.0"},
		{"0.3.1", "0.4.0", "p95: 500", "p95: 600", "major", "major", ""},
		{"0.3.1", "0.3.2", "p95: 500", "p95: 400", "minor", "minor", ""},
		{"1.0.0-rc.9", "1.0.0-rc.10", "p95: 500", "p95: 600", "major", "major", ""},
		{"1.0.0-rc.1", "1.0.0", "p95: 500", "p95: 600", "major", "major", ""},
		{"1.0.0", "1.0.0-rc.1", "", "", "none", "none", "the version went back from 1.0.0 to 1.0.0-rc.1"},
	} {
		before := mustParse(t, strings.Replace(released, "1.2.3", c.before, 1))
		after := mustParse(t, strings.Replace(strings.Replace(released, "1.2.3", c.after, 1), c.old, c.new, 1))
		changes := contract.Diff(before, after)
		if got := [3]string{changes.Required.String(), changes.Made.String(), changes.VersionError}; got != [3]string{c.required, c.made, c.fault} {
			t.Errorf("%s to %s, %q: %q", c.before, c.after, c.new, got)
		}
	}
}

func TestDiffReadsWell(t *testing.T) {
	t.Parallel()
	after := mustParse(t, strings.NewReplacer("p95: 500", "p95: 600", "maxLength: 100", "maxLength: 50", "1.2.3", "1.3.0").Replace(released))
	changes := contract.Diff(mustParse(t, released), after)
	const want = `breaking: guarantees.latency.bound.max: changed from 500 to 600, to the disadvantage of callers [guarantee/weakened, major]
breaking: api.endpoints[POST /chat].input_schema at text: accepts less: maxLength is 50 now, 100 before [schema/input-breaking, major]
version: 1.2.3 to 1.3.0 is a minor step, but the changes need a major one: 2.0.0
`
	if diff := cmp.Diff(want, changes.String()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestDiffOfTheSameContractInAnotherShapeIsEmpty(t *testing.T) {
	t.Parallel()
	for name, text := range shapes {
		if name == "anchors and merge keys" {
			continue
		}
		if changes := contract.Diff(mustParse(t, plain), mustParse(t, text)); len(changes.List) > 0 || changes.VersionError != "" {
			t.Errorf("%s: %s", name, changes)
		}
	}
}

package registry_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

var registered = map[string]any{
	"service_id": "codex-bridge-001", "status": "registered", "message": "Service codex-bridge-001 registered successfully",
	"max_ttl_seconds": 86400.0, // beyond CAIO's documents: leases are granted
}

// Every way to register that CAIO documents gives the documented answer, the second time too.
func TestRegisterForms(t *testing.T) {
	t.Parallel()
	wrapped := `{"contract": ` + codexJSON(t) + `}`
	for name, e := range map[string]exchange{
		"services":              {path: "/api/v1/services", contentType: asJSON, body: wrapped},
		"services, bare":        {path: "/api/v1/services", contentType: asJSON, body: codexJSON(t)},
		"services, YAML":        {path: "/api/v1/services", contentType: "application/yaml; charset=utf-8", body: codexContract},
		"services, x-yaml":      {path: "/api/v1/services", contentType: "application/x-yaml", body: codexContract},
		"services, no type":     {path: "/api/v1/services", body: wrapped},
		"register-service":      {path: "/api/v1/register-service", contentType: asJSON, body: wrapped},
		"register-service YAML": {path: "/api/v1/register-service", contentType: "application/yaml", body: codexContract},
		"integration":           {path: "/api/v1/integration/register-service", contentType: asJSON, body: wrapped},
		"upload": {path: "/api/v1/integration/upload-contract", contentType: "multipart/form-data; boundary=x",
			body: "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"codex.yaml\"\r\n\r\n" + codexContract + "\r\n--x--\r\n"},
		"integration, null id": {path: "/api/v1/integration/register-service", contentType: asJSON, body: `{"service_id": null, "contract": ` + codexJSON(t) + `}`},
		"flat contract": {path: "/api/v1/services", contentType: asJSON, body: `{"contract": {"service_id": "codex-bridge-001", "name": "C", "version": "1.0.0", "capabilities": ["chat"],
			"api": {"protocol": "http", "base_url": "http://localhost:8082", "endpoints": [{"path": "/chat", "method": "POST"}]}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t, nil)
			e.method = "POST"
			for range 2 {
				status, body := e.send(t, reg)
				if diff := cmp.Diff(registered, body); status != 200 || diff != "" {
					t.Errorf("status %d, answer (-want +got):\n%s", status, diff)
				}
			}
		})
	}
}

func TestRegisterUnderAnotherID(t *testing.T) {
	t.Parallel()
	flat := `{"service_id": "flat-one", "name": "C", "version": "1.0.0", "capabilities": ["chat"],
		"api": {"protocol": "http", "base_url": "http://localhost:8082", "endpoints": [{"path": "/chat", "method": "POST"}]}}`
	for name, text := range map[string]string{"nested": codexJSON(t), "flat": flat} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t, nil)
			body := `{"service_id": "other", "contract": ` + text + `}`
			status, answer := exchange{method: "POST", path: "/api/v1/integration/register-service", contentType: asJSON, body: body}.send(t, reg)
			if status != 200 || answer["service_id"] != "other" {
				t.Fatalf("%d %v, want it registered as other", status, answer)
			}
			service, err := reg.Service(t.Context(), "other")
			if err != nil || service.Contract.ID != "other" {
				t.Errorf("Service = %+v, %v, want its contract to have the id", service, err)
			}
		})
	}
}

// What comes back of a contract is what went in, member for member.
func TestContractIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	exchange{method: "POST", path: "/api/v1/services", contentType: asJSON, body: `{"contract": ` + codexJSON(t) + `}`}.send(t, reg)
	var want any
	if err := json.Unmarshal([]byte(codexJSON(t)), &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/services/codex-bridge-001", "/api/services/codex-bridge-001"} {
		status, body := exchange{method: "GET", path: path}.send(t, reg)
		if diff := cmp.Diff(want, body["contract"]); status != 200 || diff != "" {
			t.Errorf("%s: %d, contract (-want +got):\n%s", path, status, diff)
		}
	}
}

func TestListForms(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"count": 1.0, "services": []any{map[string]any{
		"service_id": "codex-bridge-001", "service_name": "Codex Bridge Service", "version": "1.0.0",
		"capabilities": []any{"code_generation", "code_review"}, "status": "active",
		"guarantees": map[string]any{"latency": map[string]any{"property": "p95_latency_ms", "bound": map[string]any{"max": 5000.0}}},
	}}}
	none := map[string]any{"count": 0.0, "services": []any{}}
	discover := func(body string) exchange {
		return exchange{method: "POST", path: "/api/v1/integration/discover-services", contentType: asJSON, body: body}
	}
	for name, test := range map[string]struct {
		exchange exchange
		want     any
	}{
		"all":                  {exchange{method: "GET", path: "/api/v1/services"}, all},
		"capability":           {exchange{method: "GET", path: "/api/v1/services?capability=code_review&status=active"}, all},
		"other capability":     {exchange{method: "GET", path: "/api/v1/services?capability=web_search"}, none},
		"other status":         {exchange{method: "GET", path: "/api/v1/services?status=inactive"}, none},
		"discover anything":    {discover(`{}`), all},
		"discover empty":       {discover(`{"capabilities": [], "guarantees": {}, "constraints": {}}`), all},
		"discover both":        {discover(`{"capabilities": ["code_review", "code_generation"]}`), all},
		"discover one missing": {discover(`{"capabilities": ["code_review", "web_search"]}`), none},
		"discover bound met":   {discover(`{"guarantees": {"p95_latency_ms": {"max": 6000}}, "constraints": {"requires_gpu": false}}`), all},
		"discover bound unmet": {discover(`{"guarantees": {"p95_latency_ms": {"max": 4000}}}`), none},
		"discover constraint":  {discover(`{"constraints": {"requires_internet": false}}`), none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, got := test.exchange.send(t, reg)
			if diff := cmp.Diff(test.want, any(got)); status != 200 || diff != "" {
				t.Errorf("%d (-want +got):\n%s", status, diff)
			}
		})
	}
}

// Every body of orchestrate that CAIO documents is understood, in all of its requirements.
func TestOrchestrateForms(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
		t.Fatal(err)
	}
	for body, matches := range map[string]bool{
		`{"requirements": ["code_generation"], "context": {"prompt": "Write a Python function", "language": "python"}}`:         true,
		`{"requirements": ["code_generation", "web_search"]}`:                                                                   false,
		`{"requirements": [{"type": "code_generation"}]}`:                                                                       true,
		`{"requirements": {"capability": "code_review"}}`:                                                                       true,
		`{"requirements": {"capability": "web_search"}}`:                                                                        false,
		`{"requirements": {"capabilities": ["code_review"], "guarantees": {"p95_latency_ms": {"max": 5000}}}}`:                  true,
		`{"requirements": {"capabilities": ["code_review"], "guarantees": {"p95_latency_ms": {"max": 10}}}}`:                    false,
		`{"requirements": ["code_review"], "guarantees": {"p95_latency_ms": {"max": 10}}}`:                                      false,
		`{"requirements": ["code_review"], "constraints": {"requires_gpu": false}}`:                                             true,
		`{"requirements": ["code_review"], "constraints": {"requires_internet": false}}`:                                        false,
		`{"requirements": {"capabilities": ["code_review"], "constraints": {"requires_internet": false}}}`:                      false,
		`{"requirements": ["code_review"], "policies": [{"type": "constraint", "field": "requires_internet", "value": false}]}`: false,
		`{"request": {"intent": {"type": "code"}, "context": {}, "requirements": {"capabilities": ["code_generation"]}, "constraints": {"requires_gpu": false}, "user": {"trust_level": 1}},
		  "policies": [{"type": "constraint", "field": "requires_gpu", "value": false}], "context": {}}`: true,
		`{"request": {"requirements": {"capabilities": ["code_generation"]}, "constraints": {"requires_internet": false}}}`: false,
		`{"steps": [["code_generation"], {"capability": "code_review", "guarantees": {"p95_latency_ms": {"max": 5000}}}]}`:  true,
		`{"steps": [["code_generation"], {"capability": "code_review", "guarantees": {"p95_latency_ms": {"max": 10}}}]}`:    false,
		`{"request": {"requirements": ["code_review"], "sensitive": true}}`:                                                 false,
		`{"requirements": ["code_review"], "context": {"sensitive": true}}`:                                                 false,
	} {
		status, answer := exchange{method: "POST", path: "/api/v1/orchestrate", contentType: asJSON, body: body}.send(t, reg)
		if !matches {
			if code, message := refusal(answer); status != 400 || code != "NO_MATCHING_SERVICE" || !strings.Contains(message, "no matching service") {
				t.Errorf("%s: %d %v, want no match", body, status, answer)
			}
			continue
		}
		if status != 200 || answer["service_id"] != "codex-bridge-001" || answer["service_name"] != "Codex Bridge Service" || answer["base_url"] != "http://localhost:8082" {
			t.Errorf("%s: %d %v, want the service", body, status, answer)
			continue
		}
		proof := answer["proofs"].([]any)[0].(map[string]any)
		if proof["proof_type"] != "contract_matching" || proof["valid"] != true || len(proof["clauses"].([]any)) == 0 {
			t.Errorf("%s: proof %v", body, proof)
		}
		if answer["guarantees"] == nil || answer["trace"] == nil || len(answer["reasons"].([]any)) == 0 {
			t.Errorf("%s: answer %v misses members", body, answer)
		}
		status, trace := exchange{method: "GET", path: "/api/v1/trace/" + answer["decision_id"].(string)}.send(t, reg)
		if status != 200 || trace["timestamp"] == nil || trace["decision_id"] != answer["decision_id"] || cmp.Diff(trace["proofs"], answer["proofs"]) != "" {
			t.Errorf("%s: trace %d %v", body, status, trace)
		}
		if text, _ := json.Marshal(trace); strings.Contains(string(text), "Write a Python function") {
			t.Errorf("the trace keeps the caller's context: %s", text)
		}
	}
}

func TestValidateContract(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, nil)
	validate := func(body string) (int, map[string]any) {
		return exchange{method: "POST", path: "/api/v1/integration/validate-contract", contentType: asJSON, body: body}.send(t, reg)
	}
	status, body := validate(`{"contract": ` + codexJSON(t) + `}`)
	if status != 200 || body["is_valid"] != true || len(body["errors"].([]any)) != 0 {
		t.Errorf("valid contract: %d %v", status, body)
	}
	status, body = validate(`{"contract": {"service": {"id": "x"}}}`)
	if status != 200 || body["is_valid"] != false || len(body["errors"].([]any)) == 0 {
		t.Errorf("invalid contract: %d %v", status, body)
	}
	if services, _ := reg.Services(t.Context(), anyService); len(services) != 0 {
		t.Error("validating registered the contract")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	other := strings.Replace(codexContract, "1.0.0", "1.1.0", 1)
	for name, test := range map[string]struct {
		exchange exchange
		status   int
		code     string
		message  string // part of it
	}{
		"id taken":               {exchange{"POST", "/api/v1/services", "application/yaml", other, nil}, 409, "SERVICE_ALREADY_REGISTERED", "already registered"},
		"invalid contract":       {exchange{"POST", "/api/v1/services", asJSON, `{"contract": {"service": {"id": "x"}}}`, nil}, 400, "INVALID_CONTRACT", "required"},
		"invalid YAML":           {exchange{"POST", "/api/v1/services", "application/yaml", "service: [", nil}, 400, "INVALID_CONTRACT", ""},
		"contract is a text":     {exchange{"POST", "/api/v1/services", asJSON, `{"contract": "service: {}"}`, nil}, 400, "INVALID_CONTRACT", ""},
		"no JSON":                {exchange{"POST", "/api/v1/services", asJSON, `{"contract": `, nil}, 400, "INVALID_REQUEST", "not valid JSON"},
		"twice the same name":    {exchange{"POST", "/api/v1/services", asJSON, `{"contract": {}, "contract": {}}`, nil}, 400, "INVALID_REQUEST", "duplicate"},
		"no body":                {exchange{"POST", "/api/v1/services", asJSON, ``, nil}, 400, "INVALID_REQUEST", "no body"},
		"id is a number":         {exchange{"POST", "/api/v1/integration/register-service", asJSON, `{"service_id": 1, "contract": {}}`, nil}, 400, "INVALID_REQUEST", "/service_id"},
		"form":                   {exchange{"POST", "/api/v1/services", "application/x-www-form-urlencoded", `a=b`, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"},
		"text/plain":             {exchange{"POST", "/api/v1/orchestrate", "text/plain", `{}`, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"},
		"YAML to orchestrate":    {exchange{"POST", "/api/v1/orchestrate", "application/yaml", `{}`, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"},
		"too large":              {exchange{"POST", "/api/v1/services", asJSON, strings.Repeat(" ", 1<<20), nil}, 413, "REQUEST_TOO_LARGE", "larger"},
		"nothing required":       {exchange{"POST", "/api/v1/orchestrate", asJSON, `{}`, nil}, 400, "INVALID_REQUEST", "no capability"},
		"requirements a text":    {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": "chat"}`, nil}, 400, "INVALID_REQUEST", "/requirements: must be a list"},
		"unknown requirement":    {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"request": {"requirements": {"capabilities": ["a"], "speed": 1}}}`, nil}, 400, "INVALID_REQUEST", "/request/requirements/speed"},
		"bound without min, max": {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": {"capabilities": ["a"], "guarantees": {"accuracy": 0.9}}}`, nil}, 400, "INVALID_REQUEST", `{"min": 0.9}`},
		"bound of wrong type":    {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": {"capabilities": ["a"], "guarantees": {"accuracy": {"min": "high"}}}}`, nil}, 400, "INVALID_REQUEST", "min must be a number"},
		"contradiction":          {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "constraints": {"requires_gpu": true}, "request": {"constraints": {"requires_gpu": false}}}`, nil}, 400, "INVALID_REQUEST", "another value"},
		"unknown policy":         {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "policies": [{"type": "rule"}]}`, nil}, 400, "INVALID_REQUEST", "/policies/0"},
		"unknown policy member":  {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "policies": [{"type": "constraint", "field": "x", "value": 1, "unless": {}}]}`, nil}, 400, "INVALID_REQUEST", "/policies/0/unless"},
		"unknown condition":      {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "policies": [{"type": "constraint", "field": "x", "value": 1, "when": {"weather": 1}}]}`, nil}, 400, "INVALID_REQUEST", "intent.NAME"},
		"policy without bound":   {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "policies": [{"type": "constraint", "field": "guarantees.accuracy", "value": 1}]}`, nil}, 400, "INVALID_REQUEST", "/policies/0"},
		"steps and requirements": {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"], "steps": [["b"]]}`, nil}, 400, "INVALID_REQUEST", "both steps"},
		"empty step":             {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"steps": [["a"], []]}`, nil}, 400, "INVALID_REQUEST", "no capability"},
		"too many steps":         {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"steps": [["a"]` + strings.Repeat(`,["a"]`, 16) + `]}`, nil}, 400, "INVALID_REQUEST", "more than 16"},
		"request is a list":      {exchange{"POST", "/api/v1/orchestrate", asJSON, `[]`, nil}, 400, "INVALID_REQUEST", "the request: unexpected JSON array"},
		"too many requirements":  {exchange{"POST", "/api/v1/orchestrate", asJSON, `{"requirements": ["a"` + strings.Repeat(`,"a"`, 64) + `]}`, nil}, 400, "INVALID_REQUEST", "more than 64"},
		"numbers that grow":      {exchange{"POST", "/api/v1/services", "application/yaml", strings.Replace(codexContract, "  api:", "  alignment: {a: ["+strings.Repeat("1e20,", 14_000)+"1]}\n  api:", 1), nil}, 400, "INVALID_CONTRACT", "digits"},
		"unknown service":        {exchange{"GET", "/api/v1/services/nobody", "", "", nil}, 404, "SERVICE_NOT_FOUND", "nobody"},
		"unregister unknown":     {exchange{"DELETE", "/api/v1/services/nobody", "", "", nil}, 404, "SERVICE_NOT_FOUND", "nobody"},
		"unknown decision":       {exchange{"GET", "/api/v1/trace/dec-0", "", "", nil}, 404, "DECISION_NOT_FOUND", "dec-0"},
		"unknown path":           {exchange{"GET", "/api/v2/services", "", "", nil}, 404, "NOT_FOUND", "/api/v2/services"},
		"path with dots":         {exchange{"GET", "/api/v1/integration/../services", "", "", nil}, 404, "NOT_FOUND", "not offered"},
		"path with two slashes":  {exchange{"GET", "/api//v1/services", "", "", nil}, 404, "NOT_FOUND", "not offered"},
		"method":                 {exchange{"PUT", "/api/v1/services", "", "", nil}, 405, "METHOD_NOT_ALLOWED", "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t, nil)
			if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
				t.Fatal(err)
			}
			status, body := test.exchange.send(t, reg)
			if code, message := refusal(body); status != test.status || code != test.code || !strings.Contains(message, test.message) {
				t.Errorf("%d %s: %s, want %d %s with %q", status, code, message, test.status, test.code, test.message)
			}
		})
	}
}

// An invalid contract is answered with every fault, each with its place and what to write.
func TestInvalidContractDetails(t *testing.T) {
	t.Parallel()
	broken := strings.Replace(strings.Replace(codexContract, "version: 1.0.0", "version: one", 1), "protocol: http", "protocol: carrier-pigeon", 1)
	_, body := exchange{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: broken}.send(t, newRegistry(t, nil))
	details := body["error"].(map[string]any)["details"].(map[string]any)
	list, _ := details["diagnostics"].([]any)
	if len(list) < 2 {
		t.Fatalf("details %v, want a diagnostic for version and one for protocol", details)
	}
	for _, item := range list {
		diagnostic := item.(map[string]any)
		if diagnostic["line"].(float64) < 1 || diagnostic["path"] == "" || diagnostic["message"] == "" {
			t.Errorf("diagnostic %v misses its place", diagnostic)
		}
	}
}

func TestRegistryIsBounded(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t, &registry.Options{MaxServices: 1, MaxTraces: 2})
	if _, err := reg.Register(t.Context(), parse(t, codexContract), nil); err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(codexContract, "codex-bridge-001", "codex-bridge-002", 1)
	status, body := exchange{method: "POST", path: "/api/v1/services", contentType: "application/yaml", body: more}.send(t, reg)
	if code, _ := refusal(body); status != 507 || code != "REGISTRY_FULL" {
		t.Errorf("one service too many: %d %v", status, body)
	}

	var decisions []string
	for range 3 {
		_, body := exchange{method: "POST", path: "/api/v1/orchestrate", contentType: asJSON, body: `{"requirements": ["code_review"]}`}.send(t, reg)
		decisions = append(decisions, body["decision_id"].(string))
	}
	for i, id := range decisions {
		if _, err := reg.Trace(t.Context(), id); (err == nil) != (i > 0) {
			t.Errorf("trace %d of 3, of which 2 are kept: %v", i, err)
		}
	}
}

// Whatever body is sent, the answer is JSON with a status below 500.
func FuzzRequests(f *testing.F) {
	paths := []string{"/api/v1/services", "/api/v1/integration/register-service", "/api/v1/integration/validate-contract",
		"/api/v1/integration/discover-services", "/api/v1/orchestrate"}
	for path, body := range map[int]string{
		0: `{"contract": ` + codexJSON(f) + `}`, 1: `{"service_id": "x", "contract": {"service": {"id": "y"}}}`, 2: `{"contract": {}}`,
		3: `{"capabilities": ["code_review"], "guarantees": {"accuracy": {"min": 0.5}}}`,
		4: `{"request": {"requirements": {"capability": "code_review"}}, "policies": [{"type": "constraint", "field": "requires_gpu", "value": [1]}]}`,
	} {
		f.Add(path, asJSON, body)
	}
	f.Add(0, "application/yaml", codexContract)
	f.Add(4, asJSON, `{"requirements": ["code_generation"], "guarantees": {"latency": {"max": 1e308}}}`)
	reg, err := registry.New(&registry.Options{MaxServices: 100})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path int, contentType, body string) {
		defer costtest.AllocatesAtMost(t, 96<<20)() // 64 for the contract
		if path < 0 || path >= len(paths) || strings.ContainsAny(contentType, "\r\n") {
			t.Skip()
		}
		status, answer := exchange{method: "POST", path: paths[path], contentType: contentType, body: body}.send(t, reg)
		if status >= 500 && status != 507 {
			t.Errorf("%d %v", status, answer)
		}
	})
}

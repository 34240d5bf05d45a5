package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/bridge/internal/openapi"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func parse(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Parse("contract.yaml", []byte(`
service_id: x
name: X
version: 1.0.0
capabilities: [x]
api:
  protocol: http
  base_url: http://localhost:1
  endpoints:
    - {path: /openapi/json, method: POST, input_schema: {$ref: "#/$defs/a", $defs: {a: {type: object}}}}
    - {path: "/things/{id}", method: GET}
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func document(t *testing.T, opts openapi.Options) map[string]any {
	t.Helper()
	c := parse(t)
	var endpoints []openapi.Endpoint
	for _, e := range c.API.Endpoints {
		endpoints = append(endpoints, openapi.Endpoint{Endpoint: e, HasBody: e.Method == "POST", Streams: e.Method == "POST"})
	}
	text, err := openapi.Document(c, endpoints, opts)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestReferencesResolveAndNamesAreUnique(t *testing.T) {
	t.Parallel()
	doc := document(t, openapi.Options{Secured: true, Jobs: true, MaxSchemaValues: 7})
	names := map[string]bool{}
	var check func(v any)
	check = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				check(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && lookUp(doc, ref) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			if name, ok := v["operationId"].(string); ok {
				if names[name] {
					t.Errorf("two operations have the name %s", name)
				}
				names[name] = true
			}
			for _, member := range v {
				check(member)
			}
		}
	}
	check(doc)
	if len(names) != 9 {
		t.Errorf("%d operations, want 7 of every bridge and 2 of the contract: %v", len(names), names)
	}
}

func lookUp(doc any, ref string) any {
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		members, _ := doc.(map[string]any)
		doc = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return doc
}

func TestOpenBridgeWithoutJobsMentionsNeither(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(document(t, openapi.Options{})["paths"])
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"bearer", "401", "202", "409", "/jobs", "Idempotency-Key", `x-max-schema-values":10000`}
	for _, word := range words {
		if strings.Contains(string(text), word) {
			t.Errorf("the document mentions %s", word)
		}
	}
}

package codex_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

func TestNewReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := codex.New(&codex.Options{APIKey: "a b", BaseURL: "localhost:11434", Model: "two words"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"APIKey", "BaseURL", "Model"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not mention %s: %v", want, err)
		}
	}
	_, err = codex.New(&codex.Options{BaseURL: "http://host/v1", HTTPClient: http.DefaultClient, MaxConnsPerHost: 1})
	if err == nil || !strings.Contains(err.Error(), "MaxConnsPerHost") {
		t.Errorf("a bound for a client that is not the provider's own: %v", err)
	}
	if _, err := codex.New(nil); err == nil || !strings.Contains(err.Error(), "Options.APIKey") {
		t.Errorf("without key and base URL: %v", err)
	}
	for _, url := range []string{"ftp://host", "http://", "http://u:p@host/v1", "http://host/v1?key=x",
		"http://host/v1#x", "http://host:port"} {
		if _, err := codex.New(&codex.Options{BaseURL: url}); err == nil {
			t.Errorf("base URL %s is accepted", url)
		}
	}
}

func TestEffortBelongsToTheDefaultModel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opts codex.Options
		want any
	}{
		{"default model", codex.Options{}, map[string]any{"effort": "low"}},
		{"default model by name", codex.Options{Model: codex.DefaultModel}, map[string]any{"effort": "low"}},
		{"another model", codex.Options{Model: "qwen3-coder"}, nil},
		{"as asked", codex.Options{Model: "qwen3-coder", ReasoningEffort: "high"}, map[string]any{"effort": "high"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got map[string]any
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				if r.Header.Get("Authorization") != "" {
					t.Error("a key is sent although there is none")
				}
				writeJSON(200, completed("x"))(w, r)
			}))
			defer server.Close()
			test.opts.BaseURL = server.URL
			p, err := codex.New(&test.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, err := ask(t, p); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got["reasoning"]); diff != "" {
				t.Errorf("reasoning (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokensErrOnTheLargeSide(t *testing.T) {
	t.Parallel()
	p, err := codex.New(&codex.Options{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	base := p.CountTokens(codex.GenerateRequest{Prompt: "x"})
	if base < 200 || base > 1000 {
		t.Errorf("an empty request counts %d tokens; instructions and schema are about 500", base)
	}
	// 300 English words take 300 to 450 tokens.
	grown := p.CountTokens(codex.GenerateRequest{Prompt: strings.Repeat("word ", 300)})
	if grown-base < 450 {
		t.Errorf("300 words count %d tokens", grown-base)
	}
	reviewed := p.CountTokens(codex.ReviewRequest{Code: strings.Repeat("x := 1\n", 300)})
	if reviewed < 700 {
		t.Errorf("300 lines of code count %d tokens", reviewed)
	}
}

// TestSchemasMatchTypes checks that schemas and Go types have the same members.
func TestSchemasMatchTypes(t *testing.T) {
	t.Parallel()
	for file, typ := range map[string]reflect.Type{
		"codex_generate_request":  reflect.TypeFor[codex.GenerateRequest](),
		"codex_generate_response": reflect.TypeFor[codex.GenerateResponse](),
		"codex_review_request":    reflect.TypeFor[codex.ReviewRequest](),
		"codex_review_response":   reflect.TypeFor[codex.ReviewResponse](),
	} {
		data, err := os.ReadFile("schemas/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var schema jsonSchema
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		compare(t, file, schema, typ)
	}
}

type jsonSchema struct {
	Properties map[string]jsonSchema
	Items      *jsonSchema
}

func compare(t *testing.T, at string, schema jsonSchema, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ == reflect.TypeFor[codex.CallContext](): // accepts further members
	case typ.Kind() == reflect.Slice:
		compare(t, at+"[]", *schema.Items, typ.Elem())
	case typ.Kind() == reflect.Struct:
		var want, got []string
		for name := range schema.Properties {
			want = append(want, name)
		}
		for _, field := range reflect.VisibleFields(typ) {
			if field.Anonymous {
				continue
			}
			name := field.Tag.Get("json")
			got = append(got, name)
			compare(t, at+"."+name, schema.Properties[name], field.Type)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: members (-schema +type):\n%s", at, diff)
		}
	}
}

func TestSchemaExamplesAreValid(t *testing.T) {
	t.Parallel()
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.API.Endpoints {
		for file, schema := range map[string]interface{ Validate([]byte) error }{e.InputFile: e.InputSchema,
			e.OutputFile: e.OutputSchema} {
			if file == "" {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var examples struct{ Examples []json.RawMessage }
			if err := json.Unmarshal(data, &examples); err != nil {
				t.Fatal(err)
			}
			if len(examples.Examples) == 0 {
				t.Errorf("%s has no example", file)
			}
			for i, example := range examples.Examples {
				if err := schema.Validate(example); err != nil {
					t.Errorf("%s: example %d: %v", file, i, err)
				}
			}
		}
	}
}

// newBridge returns a bridge with the embedded contract and handler as the model's server.
func newBridge(t *testing.T, handler http.HandlerFunc) *bridge.Bridge {
	t.Helper()
	p, _ := newProvider(t, handler)
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(c, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func post(b *bridge.Bridge, path, accept, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func TestGenerateThroughTheBridge(t *testing.T) {
	t.Parallel()
	const text = `{"code":"a","explanation":"e","language":"go"}`
	b := newBridge(t, sse(events(textDelta(text), `{"type":"response.completed","response":`+completed(text)+`}`)))

	w := post(b, "/generate", "application/json", `{"prompt":"p"}`)
	var got struct {
		Code      string `json:"code"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Code != "a" ||
		got.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("answer = %d %s (X-Request-Id %s)", w.Code, w.Body, w.Header().Get("X-Request-Id"))
	}

	w = post(b, "/generate", "text/event-stream", `{"prompt":"p"}`)
	body := w.Body.String()
	if !strings.Contains(body, "event: delta\ndata: {\"field\":\"code\",\"text\":\"a\"}") ||
		strings.Count(body, "event: result\n") != 1 {
		t.Errorf("stream =\n%s", body)
	}
}

// The model receives unknown members of the context unchanged.
func TestContextReachesTheModel(t *testing.T) {
	t.Parallel()
	var asked struct{ Input string }
	b := newBridge(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		writeJSON(200, completed(`{"code":"a","explanation":"e","language":"go"}`))(w, r)
	})
	w := post(b, "/generate", "application/json", `{"prompt":"p","context":{"language":"go","framework":{"name":"none"}}}`)
	if want := `{"language":"go","framework":{"name":"none"}}`; w.Code != 200 || !strings.Contains(asked.Input, want) {
		t.Errorf("%d: the model was not told %s:\n%s", w.Code, want, asked.Input)
	}
}

func TestReviewThroughTheBridge(t *testing.T) {
	t.Parallel()
	b := newBridge(t, writeJSON(200,
		completed(`{"findings":[],"overall_correctness":"patch is correct","overall_explanation":"e","overall_confidence_score":1}`)))
	if w := post(b, "/review", "", `{"code":"x"}`); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `"verdict":"correct"`) {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
	for _, body := range []string{`{}`, `{"code":"x","diff":"y"}`, `{"code":"x","max_tokens":16}`, `{"code":" "}`} {
		if w := post(b, "/review", "", body); w.Code != 422 {
			t.Errorf("%s is answered with %d %s, want 422", body, w.Code, w.Body)
		}
	}
}

// The contract promises a confidence from 0 to 1, so the bridge does not send any other.
func TestAnswersOutsideTheContractAreNotSent(t *testing.T) {
	t.Parallel()
	b := newBridge(t, writeJSON(200,
		completed(`{"findings":[],"overall_correctness":"patch is correct","overall_explanation":"e","overall_confidence_score":7}`)))
	if w := post(b, "/review", "", `{"code":"x"}`); w.Code != 502 ||
		!strings.Contains(w.Body.String(), `"code":"invalid_response"`) {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
}

// Each caller has its own safety_identifier, without its name.
func TestCallersArePseudonymous(t *testing.T) {
	t.Parallel()
	var sent []string
	p, _ := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			SafetyIdentifier string `json:"safety_identifier"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		sent = append(sent, body.SafetyIdentifier)
		writeJSON(200, completed(`{"code":"a","explanation":"e","language":"go"}`))(w, r)
	})
	c, err := codex.Contract()
	if err != nil {
		t.Fatal(err)
	}
	caller := "alice"
	b, err := bridge.New(c, p, &bridge.Options{Authenticate: func(*http.Request) (string, error) { return caller, nil }})
	if err != nil {
		t.Fatal(err)
	}
	post(b, "/generate", "", `{"prompt":"p"}`)
	post(b, "/generate", "", `{"prompt":"q"}`)
	caller = "bob"
	post(b, "/generate", "", `{"prompt":"p"}`)
	if len(sent) != 3 || len(sent[0]) != 64 || sent[0] != sent[1] || sent[0] == sent[2] ||
		strings.Contains(sent[0], "alice") {
		t.Errorf("safety identifiers = %q", sent)
	}
}

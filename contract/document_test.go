package contract_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

func mustJSON(t testing.TB, c *contract.Contract) []byte {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever was read can be read again from its JSON, which is how contracts are sent and kept.
func TestJSONCanBeReadAgain(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]string{
		"DEL":            `x-a: "a\x7fb"`,
		"control":        `x-a: "\v\e\0\N\_\L\P"`,
		"as JSON":        `x-a: {"a": "\u007f\u001f", "\u007f": 1}`,
		"many controls":  `x-a: "` + strings.Repeat(`\v`, 40_000) + `"`,
		"many aliases":   "x-a: &a " + strings.Repeat("x", 100) + "\nx-b: [" + strings.Repeat("*a,", 900) + "]",
		"what HTML uses": `x-a: "` + strings.Repeat("<&>", 60_000) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, plain+member+"\n")
			text, err := c.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := contract.Parse("again.json", text)
			if err != nil || !again.Equal(c) {
				t.Errorf("read again: %.300v", err)
			}
		})
	}
}

func TestMarshalJSONKeepsTheAuthorsShape(t *testing.T) {
	t.Parallel()
	for name, text := range shapes {
		c := mustParse(t, text)
		data := mustJSON(t, c)
		again, err := contract.Parse(name, data)
		if err != nil || !again.Equal(c) {
			t.Errorf("%s: reading back: %v", name, err)
			continue
		}
		if !bytes.Equal(data, mustJSON(t, again)) {
			t.Errorf("%s: written twice, it differs", name)
		}
	}
	got := string(mustJSON(t, mustParse(t, plain+"x-b: {z: 1.50, a: [1e3, ~]}\n")))
	want := `{"service_id":"demo","name":"Demo","version":"1.0.0","capabilities":["chat"],"api":{"protocol":"http","base_url":"http://127.0.0.1:8082",` +
		`"endpoints":[{"path":"/chat","method":"POST","input_schema":{"type":"object"},"output_schema":{"type":"object","required":["text"]}},` +
		`{"path":"/health","method":"GET"}]},"x-b":{"z":1.50,"a":[1e3,null]}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	c := mustParse(t, plain+`x-a: {yes: "no", "1": ["2026-01-07", 0.50, "0777", "<<", "", "a: b", "two\nlines", "\u0085", 1e3, 123456789012345678901234567890, ~, true]}`)
	data, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, string(data))
	if !again.Equal(c) || len(contract.Lint(again)) > 0 {
		t.Errorf("read back it differs, or is doubtful: %v\n%s", contract.Lint(again), data)
	}
	if !strings.HasPrefix(string(data), "service_id: demo\nname: Demo\nversion: 1.0.0\ncapabilities:\n    - chat\n") {
		t.Errorf("not as the author wrote it:\n%s", data)
	}
	if _, err := new(contract.Contract).YAML(); err == nil {
		t.Error("a contract that was not loaded has no document")
	}
}

func TestDigestIsStable(t *testing.T) {
	t.Parallel()
	// The value is part of what others may have stored. If this test fails, so will their comparisons.
	const want = "sha256:feec5cac9f3f1904e81723d88c103ca2c76906180233471c752e9ce0b7926b1c"
	c := mustParse(t, string(read(t, "testdata/planned_codex.yaml")))
	if got := c.Digest(); got != want {
		t.Errorf("digest %s", got)
	}
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(c.Digest()) {
		t.Errorf("digest %q", c.Digest())
	}
	var none *contract.Contract
	if none.Digest() != "" || !none.Equal(nil) {
		t.Error("no contract should have no digest and equal itself")
	}
	if _, err := json.Marshal(&contract.Contract{}); err == nil {
		t.Error("a contract that was not loaded has no document")
	}
}

func TestDigestIsTheSameWithAndWithoutFiles(t *testing.T) {
	t.Parallel()
	c, err := contract.Load(files(), "svc/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if far := mustParse(t, string(mustJSON(t, c))); far.Digest() != c.Digest() {
		t.Error("the digest changes where the files cannot be opened")
	}
}

func TestWithBaseURL(t *testing.T) {
	t.Parallel()
	c, err := contract.Load(files(), "svc/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	moved, err := c.WithBaseURL("https://bridge.test:8443/v1/")
	if err != nil {
		t.Fatal(err)
	}
	if moved.API.BaseURL != "https://bridge.test:8443/v1" || c.API.BaseURL != "http://127.0.0.1:8082" {
		t.Errorf("base URLs %s and %s", moved.API.BaseURL, c.API.BaseURL)
	}
	if moved.Equal(c) || moved.API.Endpoints[0].InputSchema != c.API.Endpoints[0].InputSchema {
		t.Error("the copy should differ in its digest and share the schemas")
	}
	if !strings.Contains(string(mustJSON(t, moved)), `"base_url":"https://bridge.test:8443/v1/"`) {
		t.Error("the document should have the new URL")
	}
	back, err := moved.WithBaseURL("http://127.0.0.1:8082")
	if err != nil || !back.Equal(c) {
		t.Errorf("there and back again: %v", err)
	}
	for _, bad := range []string{"", "localhost:8082", "ftp://x", "http://", "http://u@h", "http://h?q", "http://h#f", "http://h:99999", "http://a b", "http://h/../x"} {
		if _, err := c.WithBaseURL(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Run with -race: a contract and its schemas serve many goroutines.
func TestContractIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c, err := contract.Load(files(), "svc/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				_ = c.API.Endpoints[0].InputSchema.Validate([]byte(`{"text": 1}`))
				_ = c.Match(contract.Requirements{Capabilities: []string{"chat"}})
				_, _ = c.MarshalJSON()
				_ = c.Digest()
				_ = contract.Lint(c)
			}
		})
	}
	group.Wait()
}

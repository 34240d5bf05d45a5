package contract_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/contract"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestParseReadsTheWholeContract(t *testing.T) {
	t.Parallel()
	c := mustParse(t, string(read(t, "testdata/planned_codex.yaml")))
	type summary struct {
		ID, Version  string
		Capabilities int
		Guarantees   []contract.Guarantee
		Cost         contract.Cost
		Privacy      contract.Privacy
		Alignment    contract.Alignment
		Constraints  contract.Constraints
		Endpoints    []contract.Endpoint
		Invariants   int
		Metadata     contract.Metadata
	}
	got := summary{c.ID, c.Version, len(c.Capabilities), c.Guarantees, *c.Cost, *c.Privacy, *c.Alignment, c.Constraints, c.API.Endpoints, len(c.Invariants), c.Metadata}
	want := summary{
		ID: "codex-bridge-001", Version: "1.0.0", Capabilities: 6,
		Guarantees: []contract.Guarantee{
			{Name: "accuracy", Property: "classification_accuracy", Bound: contract.Bound{Min: new(0.85)}, Invariant: "INV-CODEX-0002"},
			{Name: "determinism", Property: "deterministic_output", Bound: contract.Bound{SeedRequired: new(false)}, Invariant: "INV-CODEX-0003"},
			{Name: "latency", Property: "p95_latency_ms", Bound: contract.Bound{Max: new(5000.0)}, Invariant: "INV-CODEX-0001"},
		},
		Cost:      contract.Cost{Model: "per_token", TokenCost: new(0.0001), Currency: "USD"},
		Privacy:   contract.Privacy{DataLocality: "cloud", Encryption: new(true), EncryptionType: "tls", DataRetention: "session", GDPRCompliant: new(true), HIPAACompliant: new(false)},
		Alignment: contract.Alignment{SafetyLevel: "high", ContentFiltering: new(true), BiasMitigation: new(true), ToxicityFiltering: new(true)},
		Constraints: contract.Constraints{MaxConcurrentRequests: 10, RateLimit: contract.RateLimit{PerMinute: 60, PerHour: 1000},
			MaxContextTokens: 4096, RequiresInternet: new(true)},
		Endpoints: []contract.Endpoint{
			{Method: "POST", Path: "/generate", InputFile: "schemas/codex_generate_request.json", OutputFile: "schemas/codex_generate_response.json"},
			{Method: "POST", Path: "/review", InputFile: "schemas/codex_review_request.json", OutputFile: "schemas/codex_review_response.json"},
			{Method: "GET", Path: "/health"},
		},
		Invariants: 3,
		Metadata: contract.Metadata{Tags: []string{"code-generation", "code-review", "external-service", "openai"}, Category: "code-assistant",
			Provider: "OpenAI", DocumentationURL: "https://developers.openai.com/codex"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contract (-want +got):\n%s", diff)
	}
}

// Every text below says what plain says.
var shapes = map[string]string{
	"nested": `
service:
  id: demo
  name: Demo
  version: 1.0.0
  capabilities:
    - type: chat
  api: {protocol: http, base_url: 'http://127.0.0.1:8082', endpoints: [
      {path: /chat, method: POST, input_schema: {type: object}, output_schema: {type: object, required: [text]}},
      {path: /health, method: GET}]}
`,
	"nested, other order, lower-case method, slash at the end": `
service:
  version: "1.0.0"
  service_id: demo
  api:
    base_url: http://127.0.0.1:8082/
    protocol: http
    endpoints:
      - {method: post, path: /chat, output_schema: {required: [text], type: object}, input_schema: {type: object}}
      - {method: get, path: /health}
  capabilities: [chat]
  name: Demo
`,
	"registration body in JSON": `{"contract": {"service": {"id": "demo", "name": "Demo", "version": "1.0.0", "capabilities": ["chat"],
 "api": {"protocol": "http", "base_url": "http://127.0.0.1:8082", "endpoints": [
  {"path": "/chat", "method": "POST", "input_schema": {"type": "object"}, "output_schema": {"type": "object", "required": ["text"]}},
  {"path": "/health", "method": "GET"}]}}}}`,
	"flat registration body": "contract:\n  " + strings.ReplaceAll(strings.TrimSpace(plain), "\n", "\n  ") + "\n",
	"anchors and merge keys": `
x-unused: &chat {path: /chat, input_schema: {type: object}}
` + strings.Replace(plain, "{path: /chat, method: POST, input_schema: {type: object}, ", "{<<: *chat, method: POST, ", 1),
	"escaped JSON": `{"service_id": "d\u0065mo", "name": "Demo", "version": "1.0.0", "capabilities": [{"type": "chat"}],
 "api": {"protocol": "http", "base_url": "http:\/\/127.0.0.1:8082", "endpoints": [
  {"path": "/chat", "method": "POST", "input_schema": {"type": "object"}, "output_schema": {"type": "object", "required": ["text"]}},
  {"path": "/health", "method": "GET"}]}}`,
}

func TestShapesLoadToEqualContracts(t *testing.T) {
	t.Parallel()
	want := mustParse(t, plain)
	for name, text := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustParse(t, text)
			got.Extensions = nil
			if name == "anchors and merge keys" {
				if diff := cmp.Diff(want.API.Endpoints[0].String(), got.API.Endpoints[0].String()); diff != "" || got.API.Endpoints[0].InputSchema == nil {
					t.Errorf("endpoint (-want +got):\n%s", diff)
				}
				return // x-unused makes it another contract
			}
			if !cmp.Equal(want, got) || want.Digest() != got.Digest() {
				t.Errorf("not equal: %s and %s", want.Digest(), got.Digest())
			}
		})
	}
}

func TestEqualSeesEveryDifference(t *testing.T) {
	t.Parallel()
	a := mustParse(t, plain)
	for _, change := range [][2]string{{"Demo", "Demos"}, {"1.0.0", "1.0.1"}, {"[chat]", "[chat, more]"}, {"required: [text]", "required: [text, id]"}, {"/health", "/healthy"}} {
		if b := mustParse(t, strings.Replace(plain, change[0], change[1], 1)); a.Equal(b) {
			t.Errorf("%q and %q make no difference", change[0], change[1])
		}
	}
	if b := mustParse(t, plain+"x-owner: me\n"); a.Equal(b) || a.Equal(nil) {
		t.Error("an extension, or nothing at all, makes no difference")
	}
	if b := mustParse(t, "# a remark\n"+plain); !a.Equal(b) {
		t.Error("a remark makes a difference")
	}
}

func TestUTF8ByteOrderMarkIsIgnored(t *testing.T) {
	t.Parallel()
	if c := mustParse(t, "\uFEFF"+plain); c.ID != "demo" {
		t.Errorf("id %q", c.ID)
	}
	body, err := mustParse(t, plain).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if c := mustParse(t, "\uFEFF"+string(body)); c.ID != "demo" {
		t.Errorf("id %q", c.ID)
	}
}

func TestDiagnosticsOfARealisticContract(t *testing.T) {
	t.Parallel()
	_, err := contract.Load(os.DirFS("testdata"), "broken.yaml")
	if err == nil {
		t.Fatal("the contract should be refused")
	}
	golden := "testdata/broken.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, golden)), err.Error()+"\n"); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

func TestAtMostHundredDiagnostics(t *testing.T) {
	t.Parallel()
	found := diagnose(plain + strings.Repeat("name: again\n", 500))
	if len(found) != 100 {
		t.Errorf("%d diagnostics", len(found))
	}
	found = diagnose(plain + "invariants: [" + strings.Repeat("{}, ", 400) + "]\n")
	if len(found) != 100 {
		t.Errorf("%d diagnostics", len(found))
	}
}

func TestErrorsNameThePathAsItWasWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"service: {id: A}":                    "service.id",
		"service: {service_id: A}":            "service.service_id",
		"service_id: A":                       "service_id",
		"contract: {service: {id: A}}":        "contract.service.id",
		`{"contract": {"service_id": "A"}}`:   "contract.service_id",
		"service: {id: a, capabilities: [1]}": "service.capabilities[0]",
	} {
		var paths []string
		for _, d := range diagnose(text) {
			paths = append(paths, d.Path)
		}
		if !strings.Contains(strings.Join(paths, "\n")+"\n", want+"\n") {
			t.Errorf("%s: want %s, found %v", text, want, paths)
		}
	}
}

func TestPasswordsAreNotRepeated(t *testing.T) {
	t.Parallel()
	_, err := contract.Parse("x", []byte(strings.Replace(plain, "http://127", "http://user:hunter2@127", 1)))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error repeats the password: %v", err)
	}
	_, err = mustParse(t, plain).WithBaseURL("http://user:hunter2@localhost")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error repeats the password: %v", err)
	}
}

// files is a contract with schemas that share a file.
func files() fstest.MapFS {
	return fstest.MapFS{
		"svc/contract.yaml":        {Data: []byte(strings.NewReplacer("input_schema: {type: object}", "input_schema: schemas/request.json").Replace(plain))},
		"svc/schemas/request.json": {Data: []byte(`{"type": "object", "required": ["text"], "properties": {"text": {"$ref": "common/types.json#/$defs/text"}, "next": {"$ref": "#"}}}`)},
		"svc/schemas/common/types.json": {Data: []byte(`{"$defs": {"text": {"type": "string", "maxLength": 5, "$comment": "see other"},
			"other": {"$ref": "../request.json"}}}`)},
		"secret.json": {Data: []byte(`{"const": "hunter2"}`)},
	}
}

func TestLoadBringsFilesTogether(t *testing.T) {
	t.Parallel()
	c, err := contract.Load(files(), "svc/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	input := c.API.Endpoints[0].InputSchema
	if err := input.Validate([]byte(`{"text": "hello", "next": {"text": "a"}}`)); err != nil {
		t.Error(err)
	}
	err = input.Validate([]byte(`{"text": "hello!", "next": {"text": 1}}`))
	want := contract.Violations{
		{Pointer: "/next/text", Detail: "must be text, found the number 1"},
		{Pointer: "/text", Detail: "must have at most 5 characters, found 6"},
	}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(input)
	if err != nil || !strings.Contains(string(text), `"$defs":{"svc.schemas.common.types.json.text"`) {
		t.Errorf("bundled schema %s, %v", text, err)
	}
}

func TestLoadReportsUnreadableFiles(t *testing.T) {
	t.Parallel()
	if _, err := contract.Load(fstest.MapFS{}, "none.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want a missing file, got %v", err)
	}
	if _, err := contract.LoadFile(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want a missing file, got %v", err)
	}
	if _, err := contract.LoadFile(t.TempDir() + string(filepath.Separator)); err == nil {
		t.Error("a folder is not a contract")
	}
	disk := files()
	disk["svc/schemas/request.json"] = &fstest.MapFile{Data: []byte(`{"type": "objekt"`)}
	_, err := contract.Load(disk, "svc/contract.yaml")
	found, _ := errors.AsType[contract.Diagnostics](err)
	if len(found) != 1 || found[0].File != "svc/schemas/request.json" || found[0].Code != "file/syntax" {
		t.Errorf("want a syntax error in the schema file, got %v", err)
	}
	delete(disk, "svc/schemas/request.json")
	disk["svc/schemas/requests.json"] = &fstest.MapFile{Data: []byte(`{}`)}
	_, err = contract.Load(disk, "svc/contract.yaml")
	if found, _ := errors.AsType[contract.Diagnostics](err); len(found) != 1 || found[0].Fix != `did you mean "schemas/requests.json"?` {
		t.Errorf("want a hint, got %v", err)
	}
}

// Nothing outside the folder of the contract is opened, whatever names it.
func TestSchemaFilesCannotEscape(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../secret.json", "schemas/../../secret.json", "/secret.json", "/etc/passwd", `..\secret.json`, `C:\secret.json`,
		"file:///secret.json", "file:secret.json", "https://example.com/secret.json", "%2e%2e/secret.json", "..%2fsecret.json", "schemas/..", ".", ""} {
		opened := ""
		disk := opening{files(), func(file string) { opened = file }}
		disk.MapFS["svc/contract.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(plain, "{type: object}", "'"+name+"'", 1))}
		_, err := contract.Load(disk, "svc/contract.yaml")
		if err == nil || strings.Contains(err.Error(), "hunter2") || opened == "secret.json" || opened == "etc/passwd" {
			t.Errorf("input_schema %q: error %v, opened %q", name, err, opened)
		}
	}
	for _, ref := range []string{"../../secret.json", "/secret.json", "file:///secret.json", "http://example.com/x", "%2e%2e/%2e%2e/secret.json", "//host/x", "secret.json?x"} {
		opened := ""
		disk := opening{files(), func(file string) { opened = file }}
		disk.MapFS["svc/schemas/request.json"] = &fstest.MapFile{Data: []byte(`{"$ref": "` + ref + `"}`)}
		_, err := contract.Load(disk, "svc/contract.yaml")
		if err == nil || strings.Contains(err.Error(), "hunter2") || opened == "secret.json" {
			t.Errorf("$ref %q: error %v, opened %q", ref, err, opened)
		}
	}
}

// opening tells which files are opened.
type opening struct {
	fstest.MapFS
	opened func(string)
}

func (o opening) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".yaml") {
		o.opened(name)
	}
	return o.MapFS.Open(name)
}

func TestLoadFileDoesNotFollowLinksOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, files()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "svc", "contract.yaml")
	if _, err := contract.LoadFile(file); err != nil {
		t.Fatal(err)
	}
	request := filepath.Join(dir, "svc", "schemas", "request.json")
	relink := func(target string) {
		t.Helper()
		if err := os.Remove(request); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, request); err != nil {
			t.Skipf("links cannot be made here: %v", err)
		}
	}
	relink(filepath.Join("..", "..", "secret.json"))
	_, err := contract.LoadFile(file)
	found, _ := errors.AsType[contract.Diagnostics](err)
	if len(found) != 1 || found[0].Code != "endpoint/schema-file" || found[0].File != file {
		t.Errorf("a link out of the folder was followed: %v", err)
	}
	inside := filepath.Join(dir, "svc", "schemas", "plain.json")
	if err := os.WriteFile(inside, []byte(`{"type": "object"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	relink("plain.json")
	if _, err := contract.LoadFile(file); err != nil {
		t.Errorf("a link inside the folder should be followed: %v", err)
	}
}

func TestParseLeavesSchemaFilesAlone(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(plain, "{type: object}", "schemas/request.json", 1))
	e := c.API.Endpoints[0]
	if e.InputSchema != nil || e.InputFile != "schemas/request.json" || e.OutputSchema == nil || e.OutputFile != "" {
		t.Errorf("endpoint %+v", e)
	}
}

// The error names the file as it was asked for, not only the last element of its path.
func TestLoadFileNamesTheFileThatIsMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nowhere.yaml")
	if _, err := contract.LoadFile(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "read "+path+":") {
		t.Errorf("LoadFile = %v, want an error that names %s", err, path)
	}
}

package fast_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"
	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// both compiles one schema for the engine and for the fast check; either may be nil.
func both(schema []byte) (*jsonschema.Schema, *fast.Schema) {
	root, problems := tree.Parse(tree.NewSource("schema.json", schema))
	if len(problems) > 0 {
		return nil, nil
	}
	engine, bad := jsonschema.Inspect(root, jsonschema.NewBudget())
	if len(bad) > 0 {
		return nil, nil
	}
	return engine, fast.Compile(engine.Document(), engine.MaxDepth())
}

// allows is the engine's verdict.
func allows(engine *jsonschema.Schema, data []byte) bool {
	value, syntax := jsonschema.Decode(data, engine.MaxDepth())
	if syntax != nil {
		return false
	}
	found, err := engine.Check(value, jsonschema.MaxPrice)
	return err == nil && len(found) == 0
}

const person = `{
	"type": "object",
	"properties": {
		"name": {"type": "string", "minLength": 1, "maxLength": 5},
		"age": {"type": "integer", "minimum": 0, "maximum": 150},
		"mood": {"enum": ["good", "bad", null, 3, true]},
		"zip": {"type": "string", "pattern": "^[0-9]{5}$"},
		"tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
		"boss": {"$ref": "#"},
		"extra": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/flag"}]}
	},
	"required": ["name"],
	"additionalProperties": false,
	"$defs": {"flag": {"type": "boolean"}}
}`

func TestValid(t *testing.T) {
	t.Parallel()
	engine, quick := both([]byte(person))
	if quick == nil {
		t.Fatal("the schema is not understood")
	}
	for data, want := range map[string]bool{
		`{"name":"Ann"}`: true,
		" {\n\"name\" :\t\"Ann\" , \"age\" : 7 }\r": true,
		`{"name":"Ännéñ"}`:                          true,  // five characters, eight bytes
		`{"name":"Ännéñö"}`:                         false, // six
		`{"name":"\u00e4\ud83d\ude00\n"}`:           true,  // three characters
		`{"name":"\ud83d"}`:                         false, // half a character
		`{"name":"\x"}`:                             false,
		"{\"name\":\"a\tb\"}":                       false,
		"{\"name\":\"\xff\"}":                       false,
		`{"name":""}`:                               false,
		`{}`:                                        false,
		`{"name":"A","name":"B"}`:                   false,
		`{"name":"A","nick":"B"}`:                   false,
		`{"Name":"A"}`:                              false,
		`{"name":"A","age":150}`:                    true,
		`{"name":"A","age":-0}`:                     true,
		`{"name":"A","age":7.0}`:                    true,
		`{"name":"A","age":7.5}`:                    false,
		`{"name":"A","age":151}`:                    false,
		`{"name":"A","age":07}`:                     false,
		`{"name":"A","age":"7"}`:                    false,
		`{"name":"A","mood":"good"}`:                true,
		`{"name":"A","mood":null}`:                  true,
		`{"name":"A","mood":3.0}`:                   true,
		`{"name":"A","mood":true}`:                  true,
		`{"name":"A","mood":false}`:                 false,
		`{"name":"A","mood":[]}`:                    false,
		`{"name":"A","zip":"12345"}`:                true,
		`{"name":"A","zip":"1234"}`:                 false,
		`{"name":"A","tags":["a","b"]}`:             true,
		`{"name":"A","tags":[]}`:                    false,
		`{"name":"A","tags":["a",]}`:                false,
		`{"name":"A","tags":["a","b","c","d"]}`:     false,
		`{"name":"A","boss":{"name":"B"}}`:          true,
		`{"name":"A","boss":{"name":7}}`:            false,
		`{"name":"A","extra":1.5}`:                  true,
		`{"name":"A","extra":false}`:                true,
		`{"name":"A","extra":"no"}`:                 false,
		`{"name":"A"} {}`:                           false,
		`{"name":"A"`:                               false,
		`{"name":"A",}`:                             false,
		``:                                          false,
	} {
		if got := quick.Valid([]byte(data), true) == fast.Valid; got != want {
			t.Errorf("Valid(%s) = %v, want %v", data, got, want)
		}
		if got := allows(engine, []byte(data)); got != want {
			t.Errorf("the engine says %v of %s, want %v", got, data, want)
		}
	}
}

// Most texts of a request have escapes, and callers often may choose between members: both must be quick.
func TestPatternsBetweenEscapesAndChoicesOfMembers(t *testing.T) {
	t.Parallel()
	engine, quick := both([]byte(`{
		"properties": {"code": {"type": "string", "pattern": "\\S"}, "line": {"type": "string", "pattern": "^a"}, "word": {"type": "string", "pattern": "ab"}},
		"oneOf": [{"required": ["code"]}, {"required": ["diff"]}, {"required": ["line", "word"]}]
	}`))
	if quick == nil {
		t.Fatal("the schema is not understood")
	}
	for data, want := range map[string]struct{ valid, quick bool }{
		`{"code":"a\nb"}`:                     {true, true},
		`{"code":"\n\u0041\nb"}`:              {true, true},
		`{"code":"\n \t"}`:                    {false, false},
		`{"code":"\u0041"}`:                   {true, true},
		`{"diff":1}`:                          {true, true},
		`{"code":"a","diff":1}`:               {false, false},
		`{"line":"a","word":"ab"}`:            {true, true},
		`{"line":"a","word":"\nab"}`:          {true, true},
		`{"line":"\na","word":"ab"}`:          {false, false}, // the match begins a part, but not the text
		`{"code":"a","word":"a\tb"}`:          {false, false}, // the parts match only together
		`{"code":"a","line":"a"}`:             {true, true},
		`{"code":"a","line":"a","word":"ab"}`: {false, false},
		`{}`:                                  {false, false},
		`[]`:                                  {false, false},
		`{"code":"Ünïcödé, long enough"}`:     {true, true},
	} {
		if got := quick.Valid([]byte(data), true) == fast.Valid; got != want.quick {
			t.Errorf("Valid(%s) = %v, want %v", data, got, want.quick)
		}
		if got := allows(engine, []byte(data)); got != want.valid {
			t.Errorf("the engine says %v of %s, want %v", got, data, want.valid)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	_, quick := both([]byte(`{}`))
	if fast.Valid != quick.Valid([]byte(strings.Repeat("[", 64)+strings.Repeat("]", 64)), true) {
		t.Error("64 levels are refused")
	}
	if fast.Unknown != quick.Valid([]byte(strings.Repeat("[", 65)+strings.Repeat("]", 65)), true) {
		t.Error("65 levels are accepted")
	}
}

func TestUnknownKeywordsAreLeftToTheEngine(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"not": {"type": "null"}}`, `{"oneOf": [{"type": "null"}]}`, `{"format": "date"}`, `{"multipleOf": 2}`, `{"minimum": 0.1}`,
		`{"patternProperties": {"a": true}}`, `{"properties": {"a": {"uniqueItems": true}}}`, `{"enum": [[]]}`, `{"exclusiveMinimum": 1}`,
	} {
		if _, quick := both([]byte(schema)); quick != nil {
			t.Errorf("%s was compiled", schema)
		}
	}
}

// Whatever schema and text: yes and no are said only where the engine says so, too.
func FuzzYesMeansYes(f *testing.F) {
	texts := []string{`{"name":"Ann","age":7}`, `{"name":"\u00e4"}`, `[1,2.5,-0,1e3]`, `{"a":{"a":{}}}`, `"text"`, `null`, `{"a":1,"a":2}`, `123456789012345678`, "\"\xf0\x9f\x98\x80\"", `{"name":"A","tags":["x"],"boss":{"name":"B"}}`}
	schemas := []string{person, `{}`, `true`, `false`, `{"type":["integer","string"]}`, `{"items":{"minimum":1}}`, `{"additionalProperties":{"$ref":"#"}}`,
		`{"allOf":[{"required":["a"]},{"properties":{"a":{"const":1}}}]}`, `{"maxLength":1}`, `{"minProperties":1,"maxProperties":2}`, `{"pattern":"^a"}`, `{"enum":[1,"a",null]}`,
		`{"pattern":"a|n"}`, `{"minLength":3,"pattern":"\\S"}`, `{"oneOf":[{"required":["a"]},{"required":["name"]}]}`, `{"oneOf":[{"required":["age","name"]},{"required":["b"]}],"additionalProperties":{}}`}
	for _, schema := range schemas {
		for _, text := range texts {
			f.Add([]byte(schema), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, schema, text []byte) {
		engine, quick := both(schema)
		if quick == nil {
			return
		}
		want := allows(engine, text)
		if quick.Valid(text, true) == fast.Valid && !want {
			t.Errorf("schema %s, text %s: yes, but the engine says no", schema, text)
		}
		if _, syntax := jsonschema.Scan(text, engine.MaxDepth()); syntax != nil {
			return
		}
		if faults, known := quick.Faults(text, false, 3); known && (len(faults) == 0) != want {
			t.Errorf("schema %s, text %s: %v, but the engine says %v", schema, text, faults, want)
		}
	})
}

// Random values of a schema that is understood: yes and no agree with the engine on plain texts.
func TestAgreesWithTheEngine(t *testing.T) {
	t.Parallel()
	engine, quick := both([]byte(person))
	random := rand.New(rand.NewPCG(5, 6))
	yes := 0
	for range 20_000 {
		data, err := json.Marshal(randomPerson(random, 2))
		if err != nil {
			t.Fatal(err)
		}
		got, want := quick.Valid(data, true) == fast.Valid, allows(engine, data)
		if got != want {
			t.Fatalf("Valid(%s) = %v, the engine says %v", data, got, want)
		}
		if got {
			yes++
		}
	}
	if yes < 1_000 || yes > 19_000 {
		t.Errorf("%d of 20,000 values are valid: the test tells little", yes)
	}
}

func randomPerson(r *rand.Rand, depth int) any {
	pick := func(options ...any) any { return options[r.IntN(len(options))] }
	person := map[string]any{"name": pick("Ann", "Bo", "Bo", "Ann", "", "Gertrude", 7)}
	for name, value := range map[string]any{
		"age": pick(1, 30, 150, 151, -1, 1.5, "1"), "mood": pick("good", "bad", nil, 3, true, false, "so"), "zip": pick("12345", "1234"),
		"tags": pick([]string{"a"}, []string{"a", "b"}, []string{}, []int{1}), "extra": pick(1, true, 0.5, "x"), "unknown": 1,
	} {
		if r.IntN(8) == 0 {
			person[name] = value
		}
	}
	if depth > 0 && r.IntN(3) == 0 {
		person["boss"] = randomPerson(r, depth-1)
	}
	return person
}

func BenchmarkValid(b *testing.B) {
	_, quick := both([]byte(person))
	data := []byte(`{"name":"Ann","age":77,"mood":"good","zip":"12345","tags":["one","two"],"boss":{"name":"Bo","age":50,"tags":["one","two","three"]}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if quick.Valid(data, true) != fast.Valid {
			b.Fatal("not valid")
		}
	}
}

package contract

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

//go:embed service_contract.schema.json
var structureText []byte

// structureSchema is the schema of contracts in the flat, full form.
var structureSchema = sync.OnceValue(func() *jsonschema.Schema {
	root, problems := tree.Parse(tree.NewSource("service_contract.schema.json", structureText))
	if len(problems) > 0 {
		panic(fmt.Sprintf("contract: embedded schema: %v", problems))
	}
	schema, faults := jsonschema.Inspect(root, jsonschema.NewBudget())
	if len(faults) > 0 {
		panic(fmt.Sprintf("contract: embedded schema: %s", faults[0].Message))
	}
	return schema
})

// structureDocument is structureSchema as decoded JSON.
var structureDocument = sync.OnceValue(func() any { return structureSchema().Document() })

// JSONSchema returns the JSON Schema (2020-12) of contracts in the flat shape, for editors and
// other tools. [Load] checks more than a schema can say.
func JSONSchema() json.RawMessage { return slices.Clone(structureText) }

// maxStructurePrice lets the engine check every contract that is not made to be costly. It
// allocates about half of that for a valid contract.
const maxStructurePrice = 32 << 20

// checkStructure reports what the schema does not allow in a flat contract, and whether there was
// anything.
func checkStructure(flat *tree.Node, idName string, r *report) bool {
	violations, err := structureSchema().Check(shortened(withoutExtensions(flat)).Any(), maxStructurePrice)
	if err != nil {
		r.addKey(flat, "schema/value", "", "the contract could not be checked: %v", err)
		return false
	}
	s := structure{report: r, flat: flat, idName: idName, named: map[*tree.Node]bool{}}
	for _, v := range violations {
		if v.Keyword == "required" {
			s.missing(v)
		}
	}
	for _, v := range violations {
		if v.Keyword != "required" {
			s.violation(v)
		}
	}
	s.misspelt(flat, structureDocument())
	return len(violations) == 0
}

// withoutExtensions spares the engine what may be anything.
func withoutExtensions(flat *tree.Node) *tree.Node {
	return flat.Filter(func(key string) bool { return !strings.HasPrefix(key, "x-") })
}

type structure struct {
	*report
	flat   *tree.Node
	idName string
	named  map[*tree.Node]bool // unknown members that were reported already
	looked int                 // members compared with known ones by misspelt
}

// violation words one violation other than of "required".
func (s *structure) violation(v jsonschema.Violation) {
	if v.Keyword == "additionalProperties" {
		s.unknown(s.flat.Find(v.Path...), v.Name, v.Known)
		return
	}
	n := s.flat.Find(v.Path...)
	if n == nil {
		n = s.flat
	}
	path := n.Path()
	switch {
	case v.Keyword == "pattern" && slices.Equal(v.Path, []string{"service_id"}):
		s.add(n, "contract/id", "write for example "+strconv.Quote(plainID(n.Text())),
			"%s must be lowercase letters, digits, \"-\" and \"_\", found %s", path, n.Describe())
		return
	case v.Keyword == "enum":
		s.choice(n, path, v.Known)
		return
	}
	code, fix := "schema/value", ""
	if v.Keyword == "type" {
		code, fix = "schema/type", typeFix(n, v.Detail)
	}
	detail := v.Detail
	if v.Keyword == "type" && n.Kind == tree.Null {
		detail = strings.Replace(detail, "found null", "found nothing", 1)
	}
	s.add(n, code, fix, "%s %s", orContract(path), detail)
}

func orContract(path string) string {
	if path == "" {
		return "the contract"
	}
	return path
}

// choice reports a value that is none of the known ones.
func (s *structure) choice(n *tree.Node, path string, known []string) {
	fix := "one of: " + strings.Join(known, ", ")
	if near := nearest(n.Text(), known); near != "" {
		fix = fmt.Sprintf("did you mean %q? (%s)", near, fix)
	}
	if n.Kind != tree.Text {
		s.add(n, "schema/enum", fix, "%s must be text, found %s", path, n.Describe())
		return
	}
	s.add(n, "schema/enum", fix, "%q is not a value of %s", tree.Shorten(n.Scalar), path)
}

// missing reports an absent member, together with the unknown one that is probably meant for it.
func (s *structure) missing(v jsonschema.Violation) {
	n := s.flat.Find(v.Path...)
	if n == nil {
		return
	}
	name := v.Name
	if name == "service_id" {
		name = s.idName
	}
	known := s.knownMembers(v.Path)
	for _, m := range n.Members {
		if slices.Contains(known, m.Key) || s.named[m.Value] || strings.HasPrefix(m.Key, "x-") || nearest(m.Key, []string{name}) == "" {
			continue
		}
		s.named[m.Value] = true
		s.addKey(m.Value, "schema/unknown-field", fmt.Sprintf("did you mean %q?", name),
			"unknown field %q; the required field %q is missing", tree.Shorten(m.Key), name)
		return
	}
	s.addKey(n, "schema/required", "add  "+name+": …", "%s lacks the required field %q", orContract(n.Path()), name)
}

// unknown reports a member that has no meaning.
func (s *structure) unknown(n *tree.Node, name string, known []string) {
	if n == nil || s.named[n] {
		return
	}
	s.named[n] = true
	fix := "remove it, or call it x-" + tree.Shorten(name) + " to keep it as a remark"
	if near := nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	s.addKey(n, "schema/unknown-field", fix, "unknown field %q", tree.Shorten(name))
}

// misspelt looks for members that the schema does not name, but nearly: objects that take further
// members would swallow them.
func (s *structure) misspelt(n *tree.Node, schema any) {
	rules := rulesFor(schema, n)
	if rules == nil {
		return
	}
	for _, item := range n.Items {
		s.misspelt(item, rules["items"])
	}
	known := names(rules)
	for _, m := range n.Members {
		if inner := innerRules(rules, m.Key); slices.Contains(known, m.Key) || len(known) == 0 {
			s.misspelt(m.Value, inner)
			continue
		}
		const most = 2_000 // more are not written by hand, and comparing takes time
		if s.looked++; strings.HasPrefix(m.Key, "x-") || s.looked > most {
			continue
		}
		if near := nearest(m.Key, known); near != "" && n.Get(near) == nil {
			s.unknown(m.Value, m.Key, known)
		}
	}
}

// knownMembers returns the names that the schema gives to the members of the object at a path.
func (s *structure) knownMembers(path []string) []string {
	n := s.flat
	rules := rulesFor(structureDocument(), n)
	for _, token := range path {
		inner := innerRules(rules, token)
		if n.Is(tree.List) {
			inner = rules["items"]
		}
		n = n.Find(token)
		rules = rulesFor(inner, n)
	}
	return names(rules)
}

// rulesFor returns the keywords of a schema for a value, references and conditions resolved; nil if
// there are none.
func rulesFor(schema any, n *tree.Node) map[string]any {
	rules, _ := schema.(map[string]any)
	if n == nil {
		return nil
	}
	if ref, ok := rules["$ref"].(string); ok {
		defs, _ := structureDocument().(map[string]any)["$defs"].(map[string]any)
		return rulesFor(defs[strings.TrimPrefix(ref, "#/$defs/")], n)
	}
	if otherwise, ok := rules["else"]; ok {
		if n.Kind != tree.List {
			return rulesFor(otherwise, n)
		}
		return rulesFor(rules["then"], n)
	}
	return rules
}

func innerRules(rules map[string]any, name string) any {
	properties, _ := rules["properties"].(map[string]any)
	if inner, named := properties[name]; named {
		return inner
	}
	return rules["additionalProperties"]
}

func names(rules map[string]any) []string {
	properties, _ := rules["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(properties))
}

// typeFix says what to write instead of a value of the wrong type.
func typeFix(n *tree.Node, detail string) string {
	yesNo := map[string]string{"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
	switch {
	case strings.HasSuffix(n.Path(), "version") && n.Kind == tree.Number:
		parts := strings.Split(n.Scalar, ".")
		for len(parts) < 3 {
			parts = append(parts, "0")
		}
		return fmt.Sprintf("write %q: three numbers, in quotes", strings.Join(parts[:3], "."))
	case strings.Contains(detail, "must be text") && (n.Kind == tree.Number || n.Kind == tree.Bool):
		return fmt.Sprintf("put it in quotes: %q", tree.Shorten(n.Scalar))
	case strings.Contains(detail, "true or false") && yesNo[strings.ToLower(n.Text())] != "":
		return "write  " + yesNo[strings.ToLower(n.Text())]
	case strings.Contains(detail, "number") && n.Kind == tree.Text:
		if _, err := strconv.ParseFloat(n.Scalar, 64); err == nil {
			return "leave out the quotes"
		}
	case n.Kind == tree.Null:
		return "give it a value, or remove the line"
	}
	return ""
}

// plainID turns text into something that may be an id.
func plainID(text string) string {
	id := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(tree.Shorten(text))), "-_")
	if id == "" {
		return "my-service"
	}
	return id
}

package jsonschema

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Limits of a schema. They keep the engine's compile and validate times in the milliseconds.
const (
	maxSchemaDepth     = 64     // levels of JSON; 2,000 take the engine 7 s to compile
	maxSchemaValues    = 3_000  // JSON values; 5,000 properties take 1 s to compile
	maxInPlace         = 500    // subschemas that look at one value, references followed
	maxPattern         = 512    // bytes of a regular expression
	maxPatternProgram  = 3_000  // instructions of a compiled expression
	maxPatternPrograms = 20_000 // instructions of all expressions
	maxPatternKeys     = 20     // patternProperties of one object
)

// A Problem is a reason to refuse a schema.
type Problem struct {
	Node    *tree.Node // where it was written
	AtKey   bool       // it is about Node's key rather than its value
	Code    string     // "endpoint/schema-unsafe" and so on
	Message string
	Fix     string // "" if there is nothing to suggest
}

// subschemas says where JSON Schema 2020-12 holds schemas, and whether they look at the same value as their parent.
var subschemas = map[string]struct {
	form    form
	inPlace bool
}{
	"properties": {mapForm, false}, "patternProperties": {mapForm, false}, "dependentSchemas": {mapForm, true},
	"$defs": {mapForm, false}, "definitions": {mapForm, false},
	"allOf": {listForm, true}, "anyOf": {listForm, true}, "oneOf": {listForm, true}, "prefixItems": {listForm, false},
	"not": {oneForm, true}, "if": {oneForm, true}, "then": {oneForm, true}, "else": {oneForm, true},
	"items": {oneForm, false}, "contains": {oneForm, false}, "additionalProperties": {oneForm, false},
	"propertyNames": {oneForm, false}, "unevaluatedItems": {oneForm, false}, "unevaluatedProperties": {oneForm, false},
	"dependencies": {mapForm, true},
}

type form uint8

const (
	oneForm form = iota
	listForm
	mapForm
)

// forbidden keywords change what references mean. `{"$id":"?"}` alone ends the process: the engine recurses until the
// stack overflows, which cannot be recovered from.
var forbidden = []string{"$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}

// draft2020 lists the values of $schema that name the draft we validate by.
var draft2020 = []string{"https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"}

// A gate walks a schema before the engine sees it.
type gate struct {
	root     *tree.Node
	values   int
	programs int
	graph    graph
	schemas  []*tree.Node // the nodes that are schemas, in the author's order
	seen     map[*tree.Node]bool
	problems []Problem
}

// inspect refuses schemas that could hurt the process, and returns how deep an instance may be.
func inspect(root *tree.Node) (maxDepth int, problems []Problem) {
	g := &gate{root: root, graph: graph{}, seen: map[*tree.Node]bool{}}
	g.measure(root, 0)
	if len(g.problems) > 0 {
		return 0, g.problems
	}
	g.schema(root)
	g.references()
	if len(g.problems) > 0 {
		return 0, g.problems
	}
	if at, looks := g.graph.widest(g.schemas); at != nil {
		message := "the schema refers to itself without going deeper into the value"
		if looks > 0 {
			message = fmt.Sprintf("%d or more subschemas look at one value, at most %d may", looks, maxInPlace)
		}
		g.unsafe(at, message, "simplify allOf, anyOf, oneOf and the references in them")
		return 0, g.problems
	}
	return g.graph.maxDepth(root), nil
}

func (g *gate) unsafe(n *tree.Node, message, fix string) {
	g.problems = append(g.problems, Problem{Node: n, Code: "endpoint/schema-unsafe", Message: message, Fix: fix})
}

func (g *gate) invalid(n *tree.Node, message, fix string) {
	g.problems = append(g.problems, Problem{Node: n, Code: "endpoint/schema-invalid", Message: message, Fix: fix})
}

// measure counts values and levels.
func (g *gate) measure(n *tree.Node, depth int) {
	g.values++
	switch {
	case len(g.problems) > 0:
		return
	case depth > maxSchemaDepth:
		g.unsafe(n, fmt.Sprintf("the schema has more than %d levels", maxSchemaDepth), "give parts a name under $defs")
		return
	case g.values > maxSchemaValues:
		g.unsafe(g.root, fmt.Sprintf("the schema has more than %d values", maxSchemaValues), "split it into smaller schemas")
		return
	}
	for _, item := range n.Items {
		g.measure(item, depth+1)
	}
	for _, m := range n.Members {
		g.measure(m.Value, depth+1)
	}
}

// schema checks one schema and those in it.
func (g *gate) schema(n *tree.Node) {
	if g.seen[n] {
		return
	}
	g.seen[n] = true
	g.schemas = append(g.schemas, n)
	if n.Kind == tree.Bool {
		return
	}
	if n.Kind != tree.Map {
		g.invalid(n, "a schema must be an object, true or false, found "+n.Describe(), "")
		return
	}
	g.keywords(n)
	for _, m := range n.Members {
		where, known := subschemas[m.Key]
		if !known {
			continue
		}
		for name, child := range children(m.Value, where.form) {
			if m.Key == "dependencies" && child.Kind == tree.List {
				continue // draft-07's dependentRequired
			}
			g.schema(child)
			g.graph.add(n, child, m.Key, name, where.inPlace)
		}
	}
}

// children yields the schemas that a keyword holds. Values of the wrong form are left to the metaschema.
func children(value *tree.Node, form form) func(yield func(string, *tree.Node) bool) {
	return func(yield func(string, *tree.Node) bool) {
		switch {
		case form == oneForm:
			yield("", value)
		case form == mapForm && value.Kind == tree.Map:
			for _, m := range value.Members {
				if !yield(m.Key, m.Value) {
					return
				}
			}
		case form == listForm && value.Kind == tree.List:
			for i, item := range value.Items {
				if !yield(fmt.Sprint(i), item) {
					return
				}
			}
		}
	}
}

// keywords checks what is dangerous or silently misunderstood in one schema object.
func (g *gate) keywords(n *tree.Node) {
	for _, key := range forbidden {
		if value := n.Get(key); value != nil {
			g.unsafe(value, key+" is not supported in schemas of a contract", "remove it; refer to parts with  $ref: \"#/$defs/name\"")
		}
	}
	if value := n.Get("$schema"); value != nil && (n != g.root || !slices.Contains(draft2020, value.Text())) {
		g.unsafe(value, "$schema must be "+draft2020[0]+" and stand at the top", "write that, or leave it out")
	}
	if value := n.Get("enum"); value.Is(tree.List) && len(value.Items) == 0 {
		// The engine takes it for "anything".
		g.problems = append(g.problems, Problem{Node: value, Code: "schema/empty-enum",
			Message: "an empty enum allows no value at all", Fix: "list the values, or remove the enum"})
	}
	if value := n.Get("pattern"); value.Is(tree.Text) {
		g.pattern(value, value.Scalar)
	}
	if value := n.Get("patternProperties"); value.Is(tree.Map) {
		if len(value.Members) > maxPatternKeys {
			g.unsafe(value, fmt.Sprintf("%d patterns for names, at most %d may be used", len(value.Members), maxPatternKeys), "join them with |")
		}
		for _, m := range value.Members {
			g.pattern(m.Value, m.Key)
		}
	}
}

// pattern refuses expressions that are large, or grow large when compiled.
func (g *gate) pattern(at *tree.Node, expression string) {
	if len(expression) > maxPattern {
		g.unsafe(at, fmt.Sprintf("the pattern has %d bytes, at most %d are allowed", len(expression), maxPattern), "check the format in the program instead")
		return
	}
	if _, err := regexp.Compile(expression); err != nil {
		g.invalid(at, "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "use RE2 syntax; look-around and back references do not exist there")
		return
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return // compiled above
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return
	}
	g.programs += len(program.Inst)
	if len(program.Inst) > maxPatternProgram || g.programs > maxPatternPrograms {
		g.unsafe(at, "the patterns are too costly to check", "use smaller repetition counts")
	}
}

// references checks every $ref of a schema found, and follows it in the graph.
func (g *gate) references() {
	for _, n := range g.schemas {
		ref := n.Get("$ref")
		if ref == nil {
			continue
		}
		target, problem := g.resolve(ref)
		if problem != "" {
			g.unsafe(ref, problem, `refer to parts of the same schema with  $ref: "#/$defs/name"`)
			continue
		}
		g.graph.add(n, target, "$ref", "", true)
	}
}

func (g *gate) resolve(ref *tree.Node) (target *tree.Node, problem string) {
	if ref.Kind != tree.Text {
		return nil, "$ref must be text, found " + ref.Describe()
	}
	if ref.Scalar == "#" {
		return g.root, ""
	}
	for _, home := range []string{"$defs", "definitions"} {
		name, ok := strings.CutPrefix(ref.Scalar, "#/"+home+"/")
		if !ok {
			continue
		}
		if strings.ContainsAny(name, "/%~") {
			return nil, "$ref must name a definition, found " + tree.Shorten(ref.Scalar)
		}
		target := g.root.Find(home, name)
		if target == nil {
			known := []string{}
			if defs := g.root.Get(home); defs.Is(tree.Map) {
				for _, m := range defs.Members {
					known = append(known, m.Key)
				}
			}
			return nil, fmt.Sprintf("$ref names %s, which is not defined (defined: %s)", tree.Shorten(ref.Scalar), list(known))
		}
		return target, ""
	}
	return nil, "$ref must stay inside the schema, found " + tree.Shorten(ref.Scalar)
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > 8 {
		names = append(slices.Clip(names[:8]), "…")
	}
	return strings.Join(names, ", ")
}

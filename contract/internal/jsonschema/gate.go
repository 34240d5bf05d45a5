package jsonschema

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A Problem is a reason to refuse a schema.
type Problem struct {
	Node    *tree.Node // the value in question, with its place in the file
	AtKey   bool       // the key of Node is in question rather than its value
	Code    string     // "endpoint/schema-unsafe" and so on
	Message string
	Fix     string // "" if there is nothing to suggest
}

// forbidden keywords change the meaning of references. `{"$id":"?"}` alone ends the process: the
// engine recurses until the stack overflows, and a program cannot recover from that.
var forbidden = []string{"$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}

// draft2020 lists the values of $schema that name the draft we validate by.
var draft2020 = []string{"https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"}

// A gate judges a schema without compiling it. It refuses each schema that the engine would refuse,
// and each that could harm the process.
type gate struct {
	root     *tree.Node
	budget   *Budget
	values   int
	graph    graph
	schemas  []*tree.Node // the nodes that are schemas, in the author's order
	seen     map[*tree.Node]bool
	problems []Problem
}

// inspect refuses schemas that could harm the process, and returns how deep an instance may be.
func inspect(root *tree.Node, budget *Budget) (maxDepth int, problems []Problem) {
	g := &gate{root: root, budget: budget, graph: graph{}, seen: map[*tree.Node]bool{}}
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
	depth, known := g.graph.maxDepth(root, budget)
	if !known {
		g.unsafe(root, "the references in the schema are too entangled", "simplify allOf, anyOf, oneOf and the references in them")
		return 0, g.problems
	}
	return depth, nil
}

func (g *gate) unsafe(n *tree.Node, message, fix string) {
	g.problems = append(g.problems, Problem{Node: n, Code: "endpoint/schema-unsafe", Message: message, Fix: fix})
}

func (g *gate) invalid(n *tree.Node, message, fix string) {
	g.problems = append(g.problems, Problem{Node: n, Code: "endpoint/schema-invalid", Message: message, Fix: fix})
}

// measure counts values and levels, and stops at the first that is over a limit.
func (g *gate) measure(n *tree.Node, depth int) {
	if len(g.problems) > 0 {
		return
	}
	g.values++
	g.budget.values--
	switch {
	case depth > maxSchemaDepth:
		g.unsafe(n, fmt.Sprintf("the schema has more than %d levels", maxSchemaDepth), "give parts a name under $defs")
		return
	case g.values > maxSchemaValues:
		g.unsafe(g.root, fmt.Sprintf("the schema has more than %d values", maxSchemaValues), "split it into smaller schemas")
		return
	case g.budget.values < 0:
		g.unsafe(g.root, "the schemas of the contract have more than 32,000 JSON values in sum",
			"let fewer endpoints refer to large definitions: each different schema counts them again")
		return
	}
	for _, item := range n.Items {
		g.measure(item, depth+1)
	}
	for _, m := range n.Members {
		g.measure(m.Value, depth+1)
	}
}

// schema checks one schema and its subschemas.
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
		if g.budget.Spent() {
			return
		}
		word := keywords[m.Key]
		for name, child := range children(m.Value, word.holds) {
			if m.Key == "dependencies" && child.Kind == tree.List {
				continue // draft-07's dependentRequired
			}
			g.schema(child)
			g.graph.add(n, child, m.Key, name, word.inPlace)
		}
	}
}

// children yields the schemas that a keyword holds, and nothing from values of the wrong form.
func children(value *tree.Node, form schemaForm) func(yield func(string, *tree.Node) bool) {
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

// keywords checks the keywords of one schema object.
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
	for _, m := range n.Members {
		form := keywords[m.Key].takes
		if bad := form.misfit(m.Value); bad != nil {
			g.invalid(bad, fmt.Sprintf("not a JSON Schema: %q cannot be %s", m.Key, bad.Describe()), "it takes "+formNames[form])
		}
	}
	if value := n.Get("pattern"); value.Is(tree.Text) {
		g.pattern(value, value.Scalar)
	}
	if value := n.Get("patternProperties"); value.Is(tree.Map) {
		if len(value.Members) > maxPatternKeys {
			g.unsafe(value, fmt.Sprintf("%d patterns for names, at most %d may be used", len(value.Members), maxPatternKeys), "join them with |")
			return
		}
		for _, m := range value.Members {
			g.pattern(m.Value, m.Key)
		}
	}
}

// pattern refuses expressions that are large when compiled. It measures the parsed expression and
// compiles nothing.
func (g *gate) pattern(at *tree.Node, expression string) {
	if g.budget.Spent() {
		return
	}
	if len(expression) > maxPattern {
		g.unsafe(at, fmt.Sprintf("the pattern has %d bytes, at most %d are allowed", len(expression), maxPattern), "check the format in the program instead")
		return
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		g.invalid(at, "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "use RE2 syntax; look-around and back references do not exist there")
		return
	}
	size := patternSize(parsed)
	g.budget.patterns -= size
	switch {
	case size > maxPatternSize:
		g.budget.patterns = -1 // even measuring the next one like it would take long
		g.unsafe(at, fmt.Sprintf("the pattern is too large: compiled it has about %d instructions, at most %d are allowed", size, maxPatternSize), "use smaller repetition counts")
	case g.budget.patterns < 0:
		g.unsafe(at, fmt.Sprintf("the patterns of the contract are too large: compiled they have more than %d instructions in sum", maxPatternsSize), "use smaller repetition counts")
	}
}

// references checks every $ref of a schema found, and follows it in the graph.
func (g *gate) references() {
	definitions := map[string]*tree.Node{"#": g.root}
	var defined []string
	for _, home := range []string{"$defs", "definitions"} {
		defs := g.root.Get(home)
		if !defs.Is(tree.Map) {
			continue
		}
		for _, m := range defs.Members {
			definitions["#/"+home+"/"+m.Key] = m.Value
			defined = append(defined, m.Key)
		}
	}
	for _, n := range g.schemas {
		ref := n.Get("$ref")
		if ref == nil {
			continue
		}
		if target := definitions[ref.Text()]; target != nil && !strings.ContainsAny(ref.Text()[1:], "%~") && strings.Count(ref.Text(), "/") != 3 {
			g.graph.add(n, target, "$ref", "", true)
			continue
		}
		g.unsafe(ref, refProblem(ref, defined), `refer to parts of the same schema with  $ref: "#/$defs/name"`)
	}
}

// refProblem says why a $ref is refused.
func refProblem(ref *tree.Node, defined []string) string {
	if ref.Kind != tree.Text {
		return "$ref must be text, found " + ref.Describe()
	}
	for _, home := range []string{"#/$defs/", "#/definitions/"} {
		name, ok := strings.CutPrefix(ref.Scalar, home)
		switch {
		case ok && strings.ContainsAny(name, "/%~"):
			return "$ref must name a definition, found " + tree.Shorten(ref.Scalar)
		case ok:
			return fmt.Sprintf("$ref names %s, which is not defined (defined: %s)", tree.Shorten(ref.Scalar), list(defined))
		}
	}
	return "$ref must stay inside the schema, found " + tree.Shorten(ref.Scalar)
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

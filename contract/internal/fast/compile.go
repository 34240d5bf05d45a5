// Package fast checks JSON text against the common part of JSON Schema without decoding it.
//
// [Schema.Valid] never says no: it reads the text once and stops at the first doubt.
// [Schema.Faults] finds the places of faults, in text that is known to be JSON. Both are bounded: a
// text is read twice in sum, whatever the schema, and regular expressions have a limit of their
// own.
package fast

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// A Schema checks texts. It is immutable and safe for concurrent use.
type Schema struct {
	root     *node
	maxDepth int
}

// MaxMatching bounds the work of regular expressions on one text: instructions times bytes. Go's
// regexp needs at most 10 ns for each.
const MaxMatching = 8 << 20

// Compile returns a checker for a schema, given as decoded JSON, and for instances of at most
// maxDepth levels. It returns nil if the schema uses anything that this package does not know.
func Compile(schema any, maxDepth int) *Schema {
	c := compiler{document: schema, nodes: map[string]*node{}}
	root := c.compile(schema, nil)
	if c.unknown {
		return nil
	}
	return &Schema{root: root, maxDepth: maxDepth}
}

// A kind is a set of JSON types. Integers are numbers, not a type of their own.
type kind uint8

const (
	null kind = 1 << iota
	boolean
	number
	text
	array
	object
	anyKind = null | boolean | number | text | array | object
)

// A node is one schema. Make it with newNode, because its limits have no useful zero values.
type node struct {
	at       []string // the way from the root of the document
	kinds    kind
	typed    kind // kinds that "type" allows
	never    bool // the schema is false
	inPlace  bool // only all and anyOf say anything
	integral bool // numbers must be whole

	low, high float64 // bounds of numbers, whole numbers within ±2^53

	minLength, maxLength int // of text, in characters
	pattern              *regexp.Regexp
	patternSize          int  // instructions
	floating             bool // pattern has no anchors

	items              *node
	minItems, maxItems int

	properties         []property
	index              map[string]int // of properties
	folded             map[string]int // of properties, by fold
	longest            int            // bytes of a folded name
	required           uint64         // bits: indexes of properties
	oneOf              []uint64       // exactly one of these sets must be complete; nil if not used
	others             *node          // of members not in properties; nil forbids them
	minProps, maxProps int

	values *values // nil unless enum or const
	choice string  // "enum" or "const"
	all    []*node // must allow the value too
	anyOf  []*node // one of them must; nil if not used
}

type property struct {
	name   string
	schema *node
}

// values are the constants that enum and const list.
type values struct {
	texts   map[string]bool
	numbers map[float64]bool
	kinds   kind // null if it is listed
	bools   [2]bool
}

const maxWhole = 1 << 53 // up to here, a float64 is as exact as the text it came from

func newNode() *node {
	return &node{kinds: anyKind, typed: anyKind, low: math.Inf(-1), high: math.Inf(1), maxLength: math.MaxInt, maxItems: math.MaxInt, maxProps: math.MaxInt}
}

// anything allows every value.
var anything = func() *node {
	n := newNode()
	n.items, n.others = n, n
	return n
}()

type compiler struct {
	document any
	nodes    map[string]*node // by reference, so that recursion ends
	unknown  bool
}

func (c *compiler) giveUp() *node {
	c.unknown = true
	return anything
}

// compile compiles the schema that lies at a place of the document.
func (c *compiler) compile(schema any, at []string) *node {
	switch schema := schema.(type) {
	case bool:
		if schema {
			return anything
		}
		never := newNode()
		never.at, never.kinds, never.never = at, 0, true
		return never
	case map[string]any:
		n := newNode()
		n.at, n.items, n.others = at, anything, anything
		n.inPlace = true
		for keyword, value := range schema {
			n.inPlace = n.inPlace && slices.Contains(inPlace, keyword)
			c.keyword(n, schema, keyword, value)
		}
		c.properties(n, schema)
		return n
	}
	return c.giveUp()
}

// inPlace are the keywords that leave all to other schemas, or say nothing.
var inPlace = append([]string{"allOf", "anyOf", "$ref"}, annotations...)

var annotations = []string{"$schema", "$defs", "definitions", "title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}

func (c *compiler) keyword(n *node, schema map[string]any, keyword string, value any) {
	switch keyword {
	case "type":
		c.types(n, value)
	case "enum":
		list, _ := value.([]any)
		c.constants(n, keyword, list)
	case "const":
		c.constants(n, keyword, []any{value})
	case "minimum":
		n.low = max(n.low, c.whole(value))
	case "maximum":
		n.high = min(n.high, c.whole(value))
	case "minLength":
		n.minLength = c.count(value)
	case "maxLength":
		n.maxLength = c.count(value)
	case "pattern":
		c.pattern(n, value)
	case "items":
		n.items = c.compile(value, n.below(keyword))
	case "minItems":
		n.minItems = c.count(value)
	case "maxItems":
		n.maxItems = c.count(value)
	case "minProperties":
		n.minProps = c.count(value)
	case "maxProperties":
		n.maxProps = c.count(value)
	case "additionalProperties":
		if n.others = c.compile(value, n.below(keyword)); value == false {
			n.others = nil
		}
	case "allOf":
		n.all = append(n.all, c.list(value, n.below(keyword))...)
	case "anyOf":
		n.anyOf = c.list(value, n.below(keyword))
	case "$ref":
		n.all = append(n.all, c.reference(value))
	case "properties", "required", "oneOf": // once, together: see properties
	default:
		if !slices.Contains(annotations, keyword) && !strings.HasPrefix(keyword, "x-") {
			c.giveUp()
		}
	}
}

func (c *compiler) types(n *node, value any) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	n.kinds = 0
	for _, name := range list {
		switch name {
		case "null":
			n.kinds |= null
		case "boolean":
			n.kinds |= boolean
		case "number":
			n.kinds |= number
		case "integer":
			n.kinds |= number
			n.integral = true
		case "string":
			n.kinds |= text
		case "array":
			n.kinds |= array
		case "object":
			n.kinds |= object
		default:
			c.giveUp()
		}
	}
	if slices.Contains(list, any("number")) {
		n.integral = false
	}
	n.typed = n.kinds
}

// constants takes scalar values; two of these keywords in one schema are left to the engine.
func (c *compiler) constants(n *node, keyword string, list []any) {
	if n.values != nil || len(list) == 0 {
		c.giveUp()
		return
	}
	n.choice, n.values = keyword, &values{texts: map[string]bool{}, numbers: map[float64]bool{}}
	for _, value := range list {
		switch value := value.(type) {
		case string:
			n.values.texts[value] = true
		case float64:
			n.values.numbers[c.whole(value)] = true
		case bool:
			if value {
				n.values.bools[1] = true
			} else {
				n.values.bools[0] = true
			}
		case nil:
			n.values.kinds |= null
		default:
			c.giveUp()
		}
	}
}

func (c *compiler) pattern(n *node, value any) {
	expression, _ := value.(string)
	compiled, err := regexp.Compile(expression)
	if err != nil {
		c.giveUp()
		return
	}
	n.pattern = compiled
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		c.giveUp()
		return
	}
	n.floating = !looksAround(parsed)
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		c.giveUp()
		return
	}
	n.patternSize = len(program.Inst)
}

// below returns the place of a part of the schema.
func (n *node) below(tokens ...string) []string { return append(slices.Clip(n.at), tokens...) }

// looksAround reports if an expression has anchors or word boundaries.
func looksAround(e *syntax.Regexp) bool {
	switch e.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(e.Sub, looksAround)
}

// properties joins properties, required and oneOf: a name that is required somewhere has a bit,
// whether or not it has a schema.
func (c *compiler) properties(n *node, schema map[string]any) {
	members, ok := schema["properties"].(map[string]any)
	if _, stated := schema["properties"]; stated && !ok {
		c.giveUp()
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n.properties = append(n.properties, property{name, c.compile(members[name], n.below("properties", name))})
	}
	if required, stated := schema["required"]; stated {
		n.required = c.set(n, required)
	}
	if branches, stated := schema["oneOf"]; stated {
		c.choices(n, branches)
	}
	if len(n.properties) > 64 {
		c.giveUp()
	}
	n.index, n.folded = make(map[string]int, len(n.properties)), make(map[string]int, len(n.properties))
	for i, p := range n.properties {
		folded := fold(nil, p.name)
		n.index[p.name], n.folded[string(folded)] = i, i
		n.longest = max(n.longest, len(folded))
	}
}

// set returns the bits of a list of names.
func (c *compiler) set(n *node, required any) (bits uint64) {
	list, ok := required.([]any)
	if !ok {
		c.giveUp()
	}
	for _, value := range list {
		name, _ := value.(string)
		at := slices.IndexFunc(n.properties, func(p property) bool { return p.name == name })
		if at < 0 {
			at = len(n.properties)
			if n.others == nil {
				c.giveUp() // required and forbidden
				return 0
			}
			n.properties = append(n.properties, property{name, n.others})
		}
		bits |= 1 << at
	}
	return bits
}

// choices takes oneOf if its branches do nothing but require members. Other branches are left to
// the engine: here "no" does not mean that a branch refuses the value.
func (c *compiler) choices(n *node, branches any) {
	list, ok := branches.([]any)
	if !ok || len(list) == 0 {
		c.giveUp()
	}
	for _, value := range list {
		branch, _ := value.(map[string]any)
		required, stated := branch["required"]
		if !stated || len(branch) != 1 {
			c.giveUp()
			return
		}
		n.oneOf = append(n.oneOf, c.set(n, required))
	}
	if len(list) > 1 {
		n.kinds &= object // other kinds satisfy all branches
	}
}

func (c *compiler) list(value any, at []string) []*node {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		c.giveUp()
	}
	nodes := make([]*node, len(list))
	for i, schema := range list {
		nodes[i] = c.compile(schema, append(slices.Clip(at), strconv.Itoa(i)))
	}
	return nodes
}

// reference follows "#" and "#/..." inside the document.
func (c *compiler) reference(value any) *node {
	ref, _ := value.(string)
	if n, ok := c.nodes[ref]; ok {
		return n
	}
	path, ok := strings.CutPrefix(ref, "#")
	if !ok || strings.ContainsRune(path, '%') {
		return c.giveUp()
	}
	target, at := c.document, []string(nil)
	for token := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path == "" {
			break
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		at = append(at, token)
		switch parent := target.(type) {
		case map[string]any:
			target, ok = parent[token]
		case []any:
			i, err := strconv.Atoi(token)
			if ok = err == nil && i >= 0 && i < len(parent); ok {
				target = parent[i]
			}
		default:
			ok = false
		}
		if !ok {
			return c.giveUp()
		}
	}
	n := &node{}
	c.nodes[ref] = n
	*n = *c.compile(target, at)
	return n
}

// whole takes numbers that a float64 holds exactly.
func (c *compiler) whole(value any) float64 {
	f, ok := value.(float64)
	if !ok || f != math.Trunc(f) || math.Abs(f) > maxWhole {
		c.giveUp()
	}
	return f
}

func (c *compiler) count(value any) int {
	f := c.whole(value)
	if f < 0 || f > math.MaxInt32 {
		c.giveUp()
		return 0
	}
	return int(f)
}
